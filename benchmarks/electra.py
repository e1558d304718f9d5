"""Replaced-token detection (ELECTRA, Clark et al. 2020) against MLM, in equal time, by accuracy.

    python -m benchmarks.electra --data data/reviews --train train.tsv --dev dev.tsv --minutes 8

Both sides are the modern recipe of benchmarks/recipe.py, and differ in the objective: MLM alone; or
a generator of a quarter of the width, whose samples take the place of masked tokens, and an encoder
that tells for every token whether it was replaced (λ = 50; 15 % masks, all by [MASK]). Losses of
two objectives do not compare, so both encoders are fine-tuned in the same way.

As in the race, times include the start and compilation, sides take turns, and re-running the
command resumes. The last line is the accuracy of both.
"""

import dataclasses
import statistics
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import tyro

import finetune
from benchmarks.electra_model import replaced_objective
from benchmarks.recipe_protocol import Cost
from benchmarks.recipe_sides import MASK_RATE, MODERN, Entry, make_config
from benchmarks.recipe_timing import Measured, load_costs, run_quietly
from bert_jax.config import FinetuneConfig, MaskingConfig, PretrainConfig
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import report_user_errors
from bert_jax.training.runlog import read_metrics

MLM, ELECTRA = "mlm", "electra"


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the comparison."""

    data: str
    """Folder that prepare.py wrote."""
    train: str
    """Labelled texts to fine-tune on."""
    dev: str
    """Labelled texts to score on."""
    preset: str = "tiny"
    """Pretraining run whose model and batch size both sides start from."""
    minutes: float = 8.0
    """Wall time of each pretraining, with its start."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; the learning rate is chosen by dev accuracy on the first one."""
    rates: tuple[float, ...] = (0.01, 0.02, 0.04)
    """Learning rates of Muon that both sides try."""
    epochs: float = 3.0
    """Passes of fine-tuning."""
    finetuning_rate: float = 6e-4
    """Learning rate of fine-tuning."""
    output: str = "runs/electra"
    """Folder of runs and results."""


class Side(NamedTuple):
    """One objective at one learning rate, from one seed."""

    objective: str
    """MLM or ELECTRA."""
    rate: float
    """Learning rate of Muon."""
    seed: int

    @property
    def name(self) -> str:
        """Name of its runs."""
        return f"{self.objective}-{self.rate:g}-{self.seed}"


def main(options: Options) -> int:
    """Run the comparison; return the exit code."""

    def make(objective: str, seed: int, steps: int) -> PretrainConfig:
        return make_pretraining(options, Side(objective, options.rates[0], seed), steps)

    costs = load_costs(Path(options.output), make, (MLM, ELECTRA), run)
    first = options.seeds[0]
    scores: dict[str, dict[Side, float]] = {MLM: {}, ELECTRA: {}}
    for rate in options.rates:
        for objective, of_sides in scores.items():
            side = Side(objective, rate, first)
            of_sides[side] = accuracy(options, side, costs[objective])
    best = {objective: max(of, key=of.__getitem__).rate for objective, of in scores.items()}
    for seed in options.seeds[1:]:
        for objective, of_sides in scores.items():
            side = Side(objective, best[objective], seed)
            of_sides[side] = accuracy(options, side, costs[objective])
    print("| objective | learning rate | seed | steps | accuracy |\n| - | - | - | - | - |")
    for objective, of_sides in scores.items():
        steps = costs[objective].steps(60 * options.minutes)
        for side, score in of_sides.items():
            print(f"| {objective} | {side.rate:g} | {side.seed} | {steps:,} | {score:.2%} |")
    ends = []
    for objective, of_sides in scores.items():
        kept = [score for side, score in of_sides.items() if side.rate == best[objective]]
        deviation = f" ± {statistics.stdev(kept):.2%}" if len(kept) > 1 else ""
        ends.append(f"{objective} {statistics.mean(kept):.2%}{deviation}")
    print(f"accuracy after {options.minutes:g} minutes: {', '.join(ends)}")
    return 0


def make_pretraining(options: Options, side: Side, steps: int) -> PretrainConfig:
    """Return a side's pretraining."""
    length = PreparedData(options.data).lengths[0]
    entry = Entry(MODERN, side.rate, 1, side.seed)
    config = make_config(options.preset, options.data, length, entry, steps)
    if side.objective == ELECTRA:
        masking = MaskingConfig(MASK_RATE, mask_share=1.0, random_share=0.0)
        config = replace(config, masking=masking)
    return replace(config, name=side.name, runs_dir=f"{options.output}/pretraining")


def run(config: PretrainConfig) -> Measured:
    """Run a pretraining, with the objective that its name says, and measure it."""
    with replaced_objective() if config.name.startswith(ELECTRA) else nullcontext():
        return run_quietly(config, tries=2)


def accuracy(options: Options, side: Side, cost: Cost) -> float:
    """Pretrain and fine-tune; return the accuracy on the held-out texts at the end."""
    config = make_pretraining(options, side, cost.steps(60 * options.minutes))
    run(config)
    tuning = FinetuneConfig(
        task="classification",
        encoder=f"{config.runs_dir}/{config.name}",
        train=options.train,
        dev=options.dev,
        max_length=64,
        epochs=options.epochs,
        learning_rate=options.finetuning_rate,
        seed=side.seed,
        name=side.name,
        runs_dir=f"{options.output}/finetuning",
    )
    if code := finetune.main(tuning):
        raise SystemExit(code)
    records = read_metrics(Path(tuning.runs_dir) / side.name / "metrics.jsonl")
    return [r["accuracy"] for r in records if r["split"] == "eval"][-1]


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    options = tyro.cli(Options, description=__doc__)
    jax.config.update("jax_enable_compilation_cache", False)  # every run compiles
    return main(options)


if __name__ == "__main__":
    sys.exit(command_line())
