"""What a translation run leaves to look at: scores, translations, and where it looked."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bert_jax.data.bitext import Pair
from bert_jax.reports.heatmap import heat_map
from bert_jax.translator import Translator


def write_evaluation(
    run: Path, report: dict[str, Any], pairs: Sequence[Pair], said: Sequence[str]
) -> None:
    """Scores, and every translation beside its source and reference."""
    folder = run / "evaluation"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    rows = (
        "\t".join((pair.source, pair.target, text)) for pair, text in zip(pairs, said, strict=True)
    )
    (folder / "translations.tsv").write_text(
        "\n".join(["source\treference\ttranslation", *rows]) + "\n", encoding="utf-8"
    )


def draw_alignment(translator: Translator, text: str, path: Path) -> None:
    """Writes a heat map: the translation's tokens down, the source's across."""
    (found,) = translator.align([text])
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"{text} → {''.join(found.target[:-1]).replace('▁', ' ').strip()}"
    path.write_text(heat_map(found.weights, found.target, found.source, title), encoding="utf-8")
    print(f"{title}\ndrawn in {path}")
