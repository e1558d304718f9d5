"""The race's table and figure."""

import statistics
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.recipe_protocol import Result, best_rate, target_loss
from benchmarks.recipe_sides import MODERN, ORIGINAL
from bert_jax.drawing.curves import Curve, plot_curves

COLUMNS = (
    "recipe", "learning rate", "time", "steps", "tokens", "held-out loss", "on [MASK] alone",
    "minutes", "steps alone", "processor",
)  # fmt: skip
NOTES = (
    "Time: share of the budget. Minutes: wall time with the PPMI start, compilation, evaluation",
    "and saves (*: interrupted, so its steps and a measured start); steps alone: without these;",
    "processor: minutes of processor time.",
    "",
)
KINDS = {ORIGINAL: ("other-eval", "other-train"), MODERN: ("eval", "train")}


def table(results: Iterable[Result]) -> list[str]:
    """Return a Markdown table: a line for each recipe, learning rate and time, over its seeds."""
    lines = [_row(COLUMNS), _row("-" * len(COLUMNS))]
    return lines + [_row(_cells(runs)) for runs in group(results)]


def group(results: Iterable[Result]) -> list[list[Result]]:
    """Return the runs that differ in nothing but their seed together, the original's first."""

    def key(result: Result) -> tuple[bool, str, int, float]:
        return result.side == MODERN, result.removed, result.fraction, result.rate

    return [list(runs) for _, runs in groupby(sorted(results, key=key), key)]


def draw(results: Sequence[Result], output: Path) -> None:
    """Draw loss against minutes as an SVG: every run, and a line through the ends of runs.

    Runs that lack a part are left out, and so are those at other learning rates than the best. The
    dashed line is the loss to reach.
    """
    curves = []
    for side in (ORIGINAL, MODERN):
        whole = [r for r in results if r.side == side and not r.removed and r.loss is not None]
        runs = [r for r in whole if r.rate == best_rate(whole)]
        of_ends, of_runs = KINDS[side]
        curves += [Curve("", run.curve, of_runs) for run in runs]
        ends = [
            (statistics.mean(r.seconds for r in x) / 60, statistics.mean(r.final_loss for r in x))
            for x in group(runs)
        ]
        curves.append(Curve(f"{side}: ends of runs", sorted(ends), of_ends))
        if side == ORIGINAL:
            target, longest = target_loss(runs), max(r.seconds for r in runs) / 60
            curves.append(Curve("its best seed", [(0, target), (longest, target)], "base"))
    plot_curves(curves, output, "minutes")


def _cells(runs: Sequence[Result]) -> list[str]:
    first = runs[0]
    name = first.side
    if first.removed:
        name = "with NSP" if first.removed == "MLM alone" else f"without {first.removed}"
    name += f" ({len(runs)} seeds)" if len(runs) > 1 else ""
    processors = [r.processor for r in runs if r.processor is not None]
    mark = "*" if any(r.resumed for r in runs) else ""
    return [
        name,
        f"{first.rate:g}",
        "1" if first.fraction == 1 else f"1/{first.fraction}",
        f"{first.steps:,}",
        f"{first.tokens / 1e6:.2f}M",
        _spread([r.loss for r in runs], 3),
        _spread([r.mask_loss for r in runs], 3),
        _spread([r.seconds / 60 for r in runs], 2) + mark,
        _spread([r.step_seconds / 60 for r in runs], 2),
        _spread([x / 60 for x in processors], 2) if processors else "–",
    ]


def _spread(values: Sequence[float | None], digits: int) -> str:
    """Format mean ± standard deviation, or the only value; a run that diverged has none."""
    numbers = [x for x in values if x is not None]
    if len(numbers) < len(values):
        return f"{len(values) - len(numbers)} of {len(values)} diverged"
    deviation = f" ± {statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else ""
    return f"{statistics.mean(numbers):.{digits}f}{deviation}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
