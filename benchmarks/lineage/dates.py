"""Dates to ISO form: attention learns it and aligns the digits; a fixed vector does not learn it.

python -m benchmarks.lineage.dates --dates FILE [--seeds 3]
"""

import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.lineage.trial import RUNS_DIR, judge, train
from benchmarks.lineage.verdicts import print_verdicts
from bert_jax.drawing.heatmap import heat_map
from bert_jax.labelled.rejects import Rejects
from bert_jax.lineage.bitext import Pair, read_bitext
from bert_jax.lineage.evaluation import exact_share
from bert_jax.lineage.translator import Translator
from configs.train_translator import dates, dates_fixed


@dataclass(frozen=True)
class Options:
    """Data, seeds and figure."""

    dates: str = "../shared/data/dates/date.txt"
    """50,000 lines such as "september 27, 1994 _1994-09-27"."""
    seeds: int = 3
    """Runs of each model."""
    figure: str | None = None
    """File to draw an alignment to, for example docs/figures/date_alignment.svg."""


def main(options: Options) -> int:
    """Run the benchmark; return the exit code."""
    folder = Path(RUNS_DIR) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    lines = Path(options.dates).read_text(encoding="utf-8").splitlines()
    random.Random(0).shuffle(lines)
    for name, part in (("train", lines[:-5000]), ("dev", lines[-5000:])):
        (folder / f"dates_{name}.txt").write_text("\n".join(part) + "\n", encoding="utf-8")
    files = {"train": (f"{folder}/dates_train.txt",), "dev": (f"{folder}/dates_dev.txt",)}
    test = read_bitext(files["dev"], Rejects())
    scores: dict[str, list[float]] = {"attention": [], "fixed": [], "alignment": []}
    for seed in range(options.seeds):
        for name, config in (("attention", dates()), ("fixed", dates_fixed())):
            translator = train(config, f"dates-{name}-{seed}", seed=seed, **files)
            translations = translator.translate([pair.source for pair in test])
            scores[name].append(exact_share(translations, [pair.target for pair in test]))
            if name == "attention":
                scores["alignment"].append(aligned_year_digits(translator, test[:2000]))
                if seed == 0 and options.figure:
                    draw_pair(translator, test[0], Path(options.figure))
    return print_verdicts("Dates, 5 epochs of 45,000, 5,000 others to test", [
        judge("attention: exact", scores["attention"], ">= 0.995"),
        judge("fixed vector: exact", scores["fixed"], "<= 0.01"),
        judge("attention: year digits aligned within one position", scores["alignment"], ">= 0.9"),
    ])  # fmt: skip


def aligned_year_digits(translator: Translator, pairs: list[Pair]) -> float:
    """Return the share of the year's digits whose largest weight is within one position of them."""
    with_year = [(p, m.start()) for p in pairs if (m := re.search(r"\d{4}", p.source))]
    texts, targets = ([getattr(p, side) for p, _ in with_year] for side in ("source", "target"))
    hits = []
    for alignment, (_, start) in zip(translator.align(texts, targets), with_year, strict=True):
        positions = alignment.weights[:4].argmax(axis=1)
        hits += (np.abs(positions - (start + np.arange(4))) <= 1).tolist()
    return float(np.mean(hits))


def draw_pair(translator: Translator, pair: Pair, path: Path) -> None:
    """Draw the alignment of a pair."""
    (alignment,) = translator.align([pair.source], [pair.target])
    title = f"{pair.source} → {pair.target}"
    picture = heat_map(alignment.weights, alignment.target, alignment.source, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
