"""Addition with a fixed vector: plain, source reversed, peeky decoder, or both.

A peeky decoder sees the context, the encoder's last state, at every step.

python -m benchmarks.lineage.addition --addition FILE [--seeds 1]
"""

import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from benchmarks.lineage.trial import RUNS_DIR, judge, train
from benchmarks.lineage.verdicts import print_verdicts
from bert_jax.lineage.config import Seq2SeqConfig
from bert_jax.training.runlog import read_metrics
from configs.train_translator import addition


@dataclass(frozen=True)
class Options:
    """Data and seeds."""

    addition: str = "../shared/data/dates/addition.txt"
    """50,000 lines such as "16+75 _91"."""
    seeds: int = 3
    """Runs of each model."""


def main(options: Options) -> int:
    """Run the benchmark; return the exit code."""
    folder = Path(RUNS_DIR) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    lines = Path(options.addition).read_text(encoding="utf-8").splitlines()
    random.Random(0).shuffle(lines)
    for name, part in (("train", lines[:-5000]), ("dev", lines[-5000:])):
        (folder / f"addition_{name}.txt").write_text("\n".join(part) + "\n", encoding="utf-8")
    files = {"train": (f"{folder}/addition_train.txt",), "dev": (f"{folder}/addition_dev.txt",)}
    scores: dict[tuple[bool, bool], list[float]] = {}
    for seed in range(options.seeds):
        for reverse_source in (False, True):
            for peeky in (False, True):
                config = addition()
                assert isinstance(config.model, Seq2SeqConfig)
                model = replace(config.model, reverse_source=reverse_source, peeky=peeky)
                name = f"addition-{'reversed' if reverse_source else 'forward'}"
                name += f"-{'peeky' if peeky else 'plain'}-{seed}"
                train(config, name, model=model, seed=seed, **files)
                metrics = read_metrics(Path(RUNS_DIR) / name / "metrics.jsonl")
                exact = [record["exact"] for record in metrics if record["split"] == "eval"]
                scores.setdefault((reverse_source, peeky), []).append(max(exact[-5:]))
    plain = sum(scores[False, False]) / options.seeds
    return print_verdicts("Addition, 25 epochs, greedy, best of the last 5 evaluations", [
        judge("plain: exact", scores[False, False], "<= 0.45"),
        judge("reversed: exact", scores[True, False], f">= {plain + 0.1:.3f}"),
        judge("peeky: exact", scores[False, True], "<= 0.9"),
        judge("peeky and reversed: exact", scores[True, True], ">= 0.97"),
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
