"""Warnings in the plan of a run."""

from dataclasses import replace

import pytest

from bert_jax.config import LoopConfig, OptimizerConfig, Phase
from bert_jax.reports.plan import plan_warnings
from tests.nano import make_nano


@pytest.fixture
def run(tmp_path):
    """Return a run of 100 steps of 10 rows of 32 tokens."""
    config = make_nano(tmp_path, tmp_path)
    return replace(config, phases=(Phase(32, 10),), loop=LoopConfig(steps=100))


def test_a_usual_run_has_no_warnings(run):
    assert plan_warnings(run, {32: 1000}) == []
    assert plan_warnings(run, {}) == []


def test_a_warm_up_as_long_as_the_run_is_reported_with_the_rate_that_is_reached(run):
    slow = replace(run, optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=1000))
    (warning,) = plan_warnings(slow, {})
    assert warning.startswith(
        "warning: the warm-up of 1,000 steps does not end within the run's 100: the learning rate "
        "reaches 0.000198 at most, not 0.002."
    )
    assert "--optimizer.warmup-steps 10," in warning


@pytest.mark.parametrize(
    ("num_rows", "said"),
    [
        (10, "reads the prepared rows 100 times"),
        (11, None),
        (10_000, None),
        (10_001, "note: the run reads 10.0% of the prepared rows; --epochs 1 is 1,000 steps"),
    ],
)
def test_rows_that_are_read_too_often_or_too_little_are_reported(run, num_rows, said):
    warnings = plan_warnings(run, {32: num_rows})
    assert len(warnings) == (said is not None)
    assert said is None or said in warnings[0]
    if num_rows == 10:
        assert "--epochs 40 is 40 steps" in warnings[0]


def test_a_run_without_held_out_rows_says_what_that_means(run):
    (note,) = plan_warnings(run, {32: 1000}, held_out=False)
    assert "trains without evaluation, and its newest checkpoint counts as the best" in note
