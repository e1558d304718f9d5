"""Acceptance test of the Neural Turing Machine: of 3 seeds, 2 must pass.

    python -m benchmarks.lineage.ntm                      # everything
    python -m benchmarks.lineage.ntm --only copy --seeds 1

Outputs are the model's own, on sequences that training never saw. Copy must work beyond the length
of training, where memorized sequences fail; an LSTM of equal size and a machine without addressing
by location must not, nor may the trained machine when its heads can no longer shift. Runs are kept
in runs/lineage: re-run the same command to resume; finished runs are only measured.
"""

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import tyro

import copytask
from benchmarks.lineage.verdicts import Verdict, print_verdicts
from bert_jax.drawing.heatmap import heat_map
from bert_jax.lineage.config import CopyTaskConfig
from bert_jax.lineage.copying import eval_batch, make_copying_objective
from bert_jax.lineage.ntm import NeuralTuringMachine
from bert_jax.models.functional import build
from bert_jax.training.checkpoint_arrays import load_params
from configs.copytask import RUNS

Report = Mapping[str, Any]


class Check(NamedTuple):
    """A number in a run's report, and the condition that it must meet."""

    run: str
    name: str
    expected: str
    number: Callable[[Report], float]
    passes: Callable[[float], bool]


def at(size: int, repeats: int, field: str) -> Callable[[Report], float]:
    """Return a function that picks a field of one size and number of repetitions."""

    def number(report: Report) -> float:
        return next(
            row[field]
            for row in report["sizes"]
            if (row["size"], row["repeats"]) == (size, repeats)
        )

    return number


def converged(report: Report) -> float:
    """Return the update at which the run converged; infinity if it did not."""
    return report["converged_at"] or float("inf")


def at_most(limit: float) -> Callable[[float], bool]:
    """Return the condition `number <= limit`."""
    return lambda number: number <= limit


def at_least(limit: float) -> Callable[[float], bool]:
    """Return the condition `number >= limit`."""
    return lambda number: number >= limit


CHECKS = [
    Check("copy", "converged at update", "< 10,000", converged, lambda x: x < 10_000),
    Check("copy", "wrong bits at 20", "≤ 0.5 of 160", at(20, 1, "wrong_bits"), at_most(0.5)),
    Check("copy", "wrong bits at 40", "≤ 0.5 of 320", at(40, 1, "wrong_bits"), at_most(0.5)),
    Check("copy", "share wrong at 60", "≤ 0.05", at(60, 1, "bit_error"), at_most(0.05)),
    Check("copy", "wrong bits at 20, no shifts", "≥ 40 of 160",
          at(20, 1, "wrong_bits_without_shift"), at_least(40)),
    Check("copy_lstm", "wrong bits at 20", "≥ 20 of 160", at(20, 1, "wrong_bits"), at_least(20)),
    Check(
        "copy_content_only", "wrong bits at 40", "≥ 40 of 320", at(40, 1, "wrong_bits"),
        at_least(40),
    ),
    # Random bits are 0.43 wrong (the end marker is easy): half of that. It learns without solving.
    Check("repeat_copy_short", "share wrong, 5 x 5", "≤ 0.22", at(5, 5, "bit_error"),
          at_most(0.22)),
    Check("repeat_copy_short", "share wrong, 5 x 5, no shifts", "≥ 0.35",
          at(5, 5, "bit_error_without_shift"), at_least(0.35)),
    # Random bits are 0.5 wrong: a tenth of that.
    Check("associative_recall", "share wrong, 6 items", "≤ 0.05", at(6, 1, "bit_error"),
          at_most(0.05)),
    Check("associative_recall", "share wrong, 6 items, no shifts", "≥ 0.4",
          at(6, 1, "bit_error_without_shift"), at_least(0.4)),
]  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Runs, seeds and folder."""

    only: tuple[str, ...] = tuple(dict.fromkeys(check.run for check in CHECKS))
    """Runs of configs/copytask.py."""
    seeds: int = 3
    """Seeds of each run, from 0 on; two thirds of them must pass."""
    runs_dir: str = "runs/lineage"
    """Folder of the runs."""


def main(options: Options | None = None) -> int:
    """Train the runs that are missing, print the table; return 0 if everything passed."""
    options = options or Options()
    folder = Path(options.runs_dir)
    jax.config.update("jax_compilation_cache_dir", str(folder.absolute() / "compiled"))
    reports = {
        run: [train(run, seed, options.runs_dir) for seed in range(options.seeds)]
        for run in options.only
    }
    for run, of_seeds in reports.items():
        picture = draw_sizes(run, of_seeds)
        (folder / f"ntm-{run}.svg").write_text(picture, encoding="utf-8")
        print(f"\n{run}: share of wrong bits by size, each seed, median")
        print(describe_sizes(of_seeds))
    verdicts = [judge(check, reports[check.run]) for check in CHECKS if check.run in reports]
    verdicts += [judge_seeds(run, of_seeds) for run, of_seeds in reports.items()]
    return print_verdicts(f"Neural Turing Machine, {options.seeds} seed(s)", verdicts)


def train(run: str, seed: int, runs_dir: str) -> Report:
    """Return the report of one run; train or resume it first if it is not finished."""
    name = f"ntm-{run}-{seed}"
    config = replace(RUNS[run](), seed=seed, runs_dir=runs_dir, name=name)
    code = copytask.main(config)
    if code:
        sys.exit(code)
    reports = (Path(runs_dir) / name / "evaluation").glob("*/report.json")
    newest = max(reports, key=lambda path: path.stat().st_mtime)
    report = json.loads(newest.read_text(encoding="utf-8"))
    if config.model.kind == "ntm" and config.model.addressing.shift:
        for row in report["sizes"]:
            row |= without_shift(config, row["size"], row["repeats"])
    return report


def without_shift(config: CopyTaskConfig, size: int, repeats: int) -> dict[str, float]:
    """Return the errors of the trained machine when its heads can no longer shift."""
    task, addressing = config.task, replace(config.model.addressing, shift=False)
    model = partial(NeuralTuringMachine, in_width=task.in_width, out_width=task.out_width)
    _, merge = build(replace(config.model, addressing=addressing), model)
    params, _, _ = load_params(Path(config.runs_dir) / config.name, "best", print)
    batch = jax.tree.map(jnp.asarray, eval_batch(task, size, repeats, config.eval_sequences))
    objective = make_copying_objective(merge)
    _, metrics = jax.jit(objective.loss)(params, batch, objective.counts(batch), None)
    return {
        f"{name}_without_shift": float(metrics[name][0] / metrics[name][1])
        for name in ("wrong_bits", "bit_error")
    }


def judge(check: Check, reports: Sequence[Report]) -> Verdict:
    """Return one line of the table; two thirds of the seeds must pass."""
    numbers = [check.number(report) for report in reports]
    passed = sum(map(check.passes, numbers))
    measured = ", ".join(f"{number:.4g}" for number in numbers)
    ok = 3 * passed >= 2 * len(numbers)
    return Verdict(f"{check.run}: {check.name}", check.expected, measured, ok)


def judge_seeds(run: str, reports: Sequence[Report]) -> Verdict:
    """Return the last line of a run: two thirds of the seeds must pass all of its checks."""
    checks = [check for check in CHECKS if check.run == run]
    good = [
        seed
        for seed, report in enumerate(reports)
        if all(check.passes(check.number(report)) for check in checks)
    ]
    measured = ", ".join(map(str, good)) or "none"
    ok = 3 * len(good) >= 2 * len(reports)
    return Verdict(f"{run}: seeds that pass all checks", "two thirds", measured, ok)


def sizes_of(report: Report) -> list[str]:
    """Return the sizes of a report's rows, with the repetitions where there are several."""
    several = len({row["repeats"] for row in report["sizes"]}) > 1
    return [f"{r['size']} x {r['repeats']}" if several else f"{r['size']}" for r in report["sizes"]]


def describe_sizes(reports: Sequence[Report]) -> str:
    """Format the shares of wrong bits, a line for each size."""
    lines = []
    for i, size in enumerate(sizes_of(reports[0])):
        shares = [report["sizes"][i]["bit_error"] for report in reports]
        each = "  ".join(f"{share:7.2%}" for share in shares)
        lines.append(f"{size:>8}  {each}  {statistics.median(shares):7.2%}")
    return "\n".join(lines)


def draw_sizes(run: str, reports: Sequence[Report]) -> str:
    """Draw the shares of wrong bits, seeds by sizes."""
    shares = [[row["bit_error"] for row in report["sizes"]] for report in reports]
    seeds = [f"seed {seed}" for seed in range(len(reports))]
    return heat_map(shares, seeds, sizes_of(reports[0]), f"{run}: share of wrong bits by size")


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
