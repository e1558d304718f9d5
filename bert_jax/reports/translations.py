"""What a translation run leaves to look at: scores, and every translation."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bert_jax.data.bitext import Pair


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
