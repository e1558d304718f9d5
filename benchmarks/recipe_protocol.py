"""Conclusions of the race from its runs: steps of a budget, the target, and the ratio of times."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bert_jax.errors import ConfigError


@dataclass(frozen=True)
class Cost:
    """Measured time of one recipe on this machine."""

    fixed: float
    """Seconds outside the steps: start of the run, compilation, evaluation, the last save."""
    step: float
    """Seconds of a step."""

    def steps(self, seconds: float) -> int:
        """Return how many steps fit.

        Raises:
            ConfigError: not even one.
        """
        steps = math.floor((seconds - self.fixed) / self.step + 1e-9)
        if steps < 1:
            raise ConfigError(
                f"{seconds:.0f} seconds are too short for a run: it takes {self.fixed:.0f} seconds "
                "to start",
                "a budget of which the smallest part holds some steps",
                "pass more --minutes, or smaller --fractions",
            )
        return steps

    def seconds(self, steps: int) -> float:
        """Return the time of a run."""
        return self.fixed + steps * self.step


@dataclass(frozen=True)
class Result:
    """A finished run of the race, a line of results.jsonl."""

    name: str
    side: str
    """Recipe."""
    rate: float
    """Peak learning rate."""
    fraction: int
    """The budget was divided by this number."""
    seed: int
    removed: str
    """Part that the modern recipe lacked; empty: none."""
    steps: int
    tokens: float
    """Tokens of text in these steps, without padding."""
    loss: float | None
    """Held-out MLM loss at the end; None: it diverged."""
    mask_loss: float | None
    """The same where the input is [MASK]."""
    seconds: float
    """Wall time, with the start and compilation."""
    step_seconds: float
    """Wall time of the steps alone."""
    processor: float | None
    """Processor time of all threads; None for a run that was interrupted."""
    stolen: float
    """Share of the processors' time that the host of a virtual machine took away."""
    resumed: bool
    """True for a run that was interrupted: its wall time is that of its steps, and a measured
    start."""
    curve: list[tuple[float, float]]
    """Minutes and held-out loss at each checkpoint."""

    @property
    def final_loss(self) -> float:
        """Held-out loss, infinite for a run that diverged."""
        return math.inf if self.loss is None else self.loss


class Ratio(NamedTuple):
    """Time of the original over that of the modern recipe, its shortest run to the longest one."""

    wall: float
    steps_alone: float
    """By wall time without start, compilation and the count of the PPMI start."""
    processor: float | None
    tokens: float


def best_rate(results: Sequence[Result]) -> float:
    """Return the learning rate of the lowest loss.

    Raises:
        ConfigError: every run diverged.
    """
    best = min(results, key=lambda result: result.final_loss)
    if best.loss is None:
        raise ConfigError(
            f"every learning rate of {best.side} diverged",
            "a rate at which the run is stable",
            f"pass lower --{best.side}-rates",
        )
    return best.rate


def target_loss(originals: Sequence[Result]) -> float:
    """Return the loss to reach: the best seed of the original after its whole budget."""
    return min(result.final_loss for result in originals)


def reaches(results: Sequence[Result], target: float) -> bool:
    """Return True if the worst seed reaches the target at the end of its schedule."""
    return max(result.final_loss for result in results) <= target


def largest_reaching(fractions: Sequence[int], reached: Callable[[int], bool]) -> int | None:
    """Bisect for the largest fraction whose runs reach the target; None if none does.

    It relies on a longer run ending lower, and calls `reached` for log2(n) of the n fractions, the
    first time for the middle one.

    Args:
        fractions: divisors of the budget, ascending.
        reached: tells whether the runs of a fraction reach the target; called once for each.
    """
    low, high = -1, len(fractions)  # reached at `low`, not at `high`
    while high - low > 1:
        middle = (low + high) // 2  # that of `middle_of` at first
        if reached(fractions[middle]):
            low = middle
        else:
            high = middle
    return fractions[low] if low >= 0 else None


def middle_of(fractions: Sequence[int]) -> int:
    """Return the fraction that the bisection begins with."""
    return fractions[(len(fractions) - 1) // 2]


def ratio(originals: Sequence[Result], moderns: Sequence[Result]) -> Ratio:
    """Compare the times of runs that end at the same loss or below."""
    processor = None
    ours, theirs = [r.processor for r in moderns], [r.processor for r in originals]
    if None not in (*ours, *theirs):
        processor = min(filter(None, theirs)) / max(filter(None, ours))
    return Ratio(
        min(r.seconds for r in originals) / max(r.seconds for r in moderns),
        min(r.step_seconds for r in originals) / max(r.step_seconds for r in moderns),
        processor,
        min(r.tokens for r in originals) / max(r.tokens for r in moderns),
    )


def verdict(
    originals: Sequence[Result], moderns: Sequence[Result], fractions: Sequence[int]
) -> list[str]:
    """Return the lines with which the race ends.

    Args:
        originals: the original's runs of the whole budget, at the rate that was chosen.
        moderns: the modern recipe's runs at the largest fraction that reached the target; at the
            smallest fraction if none did.
        fractions: all fractions, ascending.
    """
    target, worst = target_loss(originals), max(r.final_loss for r in moderns)
    line = "time to the original's loss: "
    if not reaches(moderns, target):
        return [
            f"after 1/{fractions[0]} of the time the worst seed is at {worst:.3f}, the best of the "
            f"original at {target:.3f}",
            f"{line}not reached in 1/{fractions[0]}",
        ]
    times = ratio(originals, moderns)
    processor = "" if times.processor is None else f", processor time 1/{times.processor:.1f}"
    more = ""
    if moderns[0].fraction == fractions[-1]:
        more = f"; 1/{fractions[-1]} is the smallest part of the budget that was tried"
    return [
        f"worst seed {worst:.3f}, best of the original {target:.3f}; steps alone "
        f"1/{times.steps_alone:.1f}{processor}, tokens 1/{times.tokens:.1f}{more}",
        f"{line}1/{times.wall:.1f}",
    ]
