"""What the rows share: training by translate.py, made-up tasks, and a table with a verdict."""

import random
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import translate
from benchmarks.lineage.verdicts import Verdict
from bert_jax.config import TranslateConfig
from bert_jax.tasks.translation import exact_share
from bert_jax.translator import Translator, load_translator

RUNS_DIR = "runs/lineage"  # the same command again goes on, and only measures what is done
LETTERS = "abcdefghijklmnopqrst"  # 20 symbols


def judge(what: str, values: Sequence[float], wanted: str) -> Verdict:
    """Compares the mean over the seeds with a limit such as ">= 0.995"."""
    sign, limit = wanted.split()
    mean = statistics.mean(values)
    passed = mean >= float(limit) if sign == ">=" else mean <= float(limit)
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return Verdict(what, wanted, f"{mean:.4f}{spread}", passed)


def train(
    config: TranslateConfig,
    name: str,
    mutant: AbstractContextManager | None = None,
    **changes: object,
) -> Translator:
    """Trains a run in runs/lineage, or goes on with it, and loads its best checkpoint.

    Args:
        config: the run.
        name: of the run.
        mutant: patches what the run is to go without, in training and in use.
        changes: other values of the configuration.
    """
    config = replace(config, runs_dir=RUNS_DIR, name=name, **changes)  # type: ignore[arg-type]
    with mutant or nullcontext():
        if code := translate.main(config):
            raise SystemExit(code)
        return load_translator(Path(RUNS_DIR) / name)


def write_pairs(path: Path, task: Callable[[str], str], lengths: range, num: int, seed: int) -> str:
    """Made-up pairs as a table: strings of letters, and what the task makes of them."""
    pairs = make_pairs(task, lengths, num, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    return str(path)


def make_pairs(
    task: Callable[[str], str], lengths: range, num: int, seed: int
) -> list[tuple[str, str]]:
    """Strings of letters of random length, and what the task makes of them."""
    rng = random.Random(seed)
    texts = ["".join(rng.choices(LETTERS, k=rng.choice(lengths))) for _ in range(num)]
    return [(text, task(text)) for text in texts]


def reverse(text: str) -> str:
    """From the last letter to the first."""
    return text[::-1]


def sort(text: str) -> str:
    """In the order of the alphabet."""
    return "".join(sorted(text))


def accuracy(translator: Translator, task: Callable[[str], str], length: int) -> float:
    """Share of 200 new strings of one length that greedy search gets right to the last letter."""
    pairs = make_pairs(task, range(length, length + 1), 200, seed=10_000 + length)
    said = translator.translate([source for source, _ in pairs])
    return exact_share(said, [target for _, target in pairs])
