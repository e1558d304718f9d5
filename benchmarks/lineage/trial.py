"""Parts that the benchmarks share: training runs, synthetic tasks, and checks against a limit."""

import random
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import train_translator
from benchmarks.lineage.verdicts import Verdict
from bert_jax.lineage.config import TrainTranslatorConfig
from bert_jax.lineage.evaluation import exact_share
from bert_jax.lineage.translator import Translator, load_translator

RUNS_DIR = "runs/lineage"  # re-run a command to resume; finished runs are only measured
LETTERS = "abcdefghijklmnopqrst"  # 20 symbols


def judge(check: str, values: Sequence[float], expected: str) -> Verdict:
    """Compare the mean over the seeds with a limit such as ">= 0.995"."""
    sign, limit = expected.split()
    mean = statistics.mean(values)
    passed = mean >= float(limit) if sign == ">=" else mean <= float(limit)
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return Verdict(check, expected, f"{mean:.4f}{deviation}", passed)


def train(
    config: TrainTranslatorConfig,
    name: str,
    mutant: AbstractContextManager | None = None,
    **changes: object,
) -> Translator:
    """Train a run in runs/lineage, or resume it, and load its best checkpoint.

    Args:
        config: the run.
        name: of the run.
        mutant: patches out a part of the model while the run trains and loads.
        changes: other values of the configuration.
    """
    config = replace(config, runs_dir=RUNS_DIR, name=name, **changes)  # type: ignore[arg-type]
    with mutant or nullcontext():
        if code := train_translator.main(config):
            raise SystemExit(code)
        return load_translator(Path(RUNS_DIR) / name)


def write_pairs(path: Path, task: Callable[[str], str], lengths: range, num: int, seed: int) -> str:
    """Write synthetic pairs as a table; return its path."""
    pairs = make_pairs(task, lengths, num, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    return str(path)


def make_pairs(
    task: Callable[[str], str], lengths: range, num: int, seed: int
) -> list[tuple[str, str]]:
    """Return pairs of a random string of letters and the task's output for it."""
    rng = random.Random(seed)
    texts = ["".join(rng.choices(LETTERS, k=rng.choice(lengths))) for _ in range(num)]
    return [(text, task(text)) for text in texts]


def reverse(text: str) -> str:
    """Reverse the letters."""
    return text[::-1]


def sort(text: str) -> str:
    """Sort the letters."""
    return "".join(sorted(text))


def accuracy(translator: Translator, task: Callable[[str], str], length: int) -> float:
    """Return the share of 200 new strings of one length that greedy search gets exactly right."""
    pairs = make_pairs(task, range(length, length + 1), 200, seed=10_000 + length)
    translations = translator.translate([source for source, _ in pairs])
    return exact_share(translations, [target for _, target in pairs])
