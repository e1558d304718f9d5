"""Conclusions of the race: steps of a budget, the target, bisection, and the ratio of times."""

import math
from dataclasses import replace

import pytest

from benchmarks.recipe_protocol import (
    Cost,
    Result,
    best_rate,
    largest_reaching,
    middle_of,
    ratio,
    reaches,
    target_loss,
    verdict,
)
from bert_jax.errors import ConfigError

FRACTIONS = (2, 4, 6, 8, 10, 12)
RUN = Result(
    name="", side="original", rate=1e-3, fraction=1, seed=0, removed="", steps=100, tokens=1000.0,
    loss=5.0, mask_loss=5.5, seconds=480.0, step_seconds=470.0, processor=500.0, stolen=0.0,
    resumed=False, curve=[],
)  # fmt: skip


def modern(**values):
    return replace(RUN, side="modern", **values)


def test_steps_of_a_budget_leave_room_for_its_start():
    cost = Cost(fixed=10.0, step=0.5)
    assert cost.steps(20.0) == 20
    assert cost.steps(20.4) == 20
    assert cost.seconds(20) == 20.0
    assert Cost(0.0, 0.1).steps(0.3) == 3  # not 2, by rounding of 0.3 / 0.1
    with pytest.raises(ConfigError, match="10 seconds are too short"):
        cost.steps(10.0)


def test_the_target_is_the_best_seed_and_the_worst_must_reach_it():
    originals = [replace(RUN, loss=x) for x in (5.1, 4.9, 5.0)]
    assert target_loss(originals) == 4.9
    assert reaches([modern(loss=4.9), modern(loss=4.2)], 4.9)
    assert not reaches([modern(loss=4.91), modern(loss=4.2)], 4.9)
    assert not reaches([modern(loss=None), modern(loss=4.2)], 4.9)


def test_the_best_rate_is_that_of_the_lowest_loss_and_not_of_a_run_that_diverged():
    runs = [replace(RUN, rate=r, loss=x) for r, x in ((1e-3, 5.0), (2e-3, 4.8), (4e-3, None))]
    assert best_rate(runs) == 2e-3
    with pytest.raises(ConfigError, match="every learning rate of original diverged"):
        best_rate(runs[2:])


@pytest.mark.parametrize("limit", [0, 2, 3, 4, 6, 9, 10, 12, 99])
def test_bisection_finds_what_a_scan_finds(limit):
    asked = []

    def reached(fraction):
        asked.append(fraction)
        return fraction <= limit

    expected = max((f for f in FRACTIONS if f <= limit), default=None)
    assert largest_reaching(FRACTIONS, reached) == expected
    assert asked[0] == middle_of(FRACTIONS) == 6
    assert len(asked) == len(set(asked)) <= 3


def test_the_ratio_takes_the_shortest_original_and_the_longest_modern():
    originals = [replace(RUN, seconds=480.0), replace(RUN, seconds=500.0, processor=600.0)]
    moderns = [
        modern(seconds=60.0, step_seconds=40.0, processor=100.0, tokens=200.0),
        modern(seconds=80.0, step_seconds=47.0, processor=90.0, tokens=200.0),
    ]
    assert ratio(originals, moderns) == (6.0, 10.0, 5.0, 5.0)
    assert ratio(originals, [modern(processor=None)]).processor is None


def test_the_last_line_says_the_time():
    originals = [replace(RUN, loss=x) for x in (5.1, 4.9)]
    moderns = [modern(fraction=6, loss=x, seconds=79.0) for x in (4.85, 4.9)]
    lines = verdict(originals, moderns, FRACTIONS)
    assert lines[-1] == "time to the original's loss: 1/6.1"
    assert "worst seed 4.900, best of the original 4.900" in lines[0]
    assert "smallest part" not in lines[0]
    last = verdict(originals, [replace(r, fraction=12) for r in moderns], FRACTIONS)
    assert "1/12 is the smallest part of the budget that was tried" in last[0]


def test_a_recipe_that_never_reaches_the_target_says_so():
    lines = verdict([RUN], [modern(fraction=2, loss=5.001)], FRACTIONS)
    assert lines[-1] == "time to the original's loss: not reached in 1/2"
    assert "5.001" in lines[0]
    diverged = verdict([RUN], [modern(fraction=2, loss=None)], FRACTIONS)
    assert diverged[-1] == lines[-1]
    assert math.isinf(modern(loss=None).final_loss)
