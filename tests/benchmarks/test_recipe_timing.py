"""Times of runs: measured in turns, repeated while the host disturbs them, read from their log."""

import json
from pathlib import Path

import pytest

from benchmarks import recipe_timing
from benchmarks.quiet import MAX_STOLEN
from benchmarks.recipe_protocol import Cost
from benchmarks.recipe_timing import COST_ROUNDS, COST_STEPS, Measured, load_costs, step_seconds
from bert_jax.errors import DivergedError
from tests.nano import make_nano


@pytest.fixture
def config(tmp_path):
    return make_nano(tmp_path, tmp_path)


def write_log(folder, steps, seconds):
    folder.mkdir(parents=True)
    record = {"step": steps, "split": "train", "steps_per_second": steps / seconds}
    (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")


def test_seconds_of_steps_leave_out_compilation_and_pauses(tmp_path):
    records = [
        {"step": 1, "split": "train"},  # the first step, which compiles, has no speed
        {"step": 11, "split": "train", "steps_per_second": 5.0, "time": 0.0},
        {"step": 11, "split": "eval", "steps_per_second": 1.0},
        {"step": 31, "split": "train", "steps_per_second": 10.0, "time": 99.0},
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(text)
    assert step_seconds(tmp_path) == 10 / 5 + 20 / 10
    assert step_seconds(tmp_path / "nothing logged") == 0


def test_costs_are_medians_of_runs_in_turns_and_kept(config, tmp_path):
    order = []

    def make(side, seed, steps):
        order.append(side)
        assert (seed, steps) == ((len(order) - 1) // 2, COST_STEPS)
        return config

    def run(config):
        slow = 9.0 if len(order) == 1 else 1.0  # the first of all
        step = slow * (0.01 if order[-1] == "a" else 0.03)
        write_log(Path(config.runs_dir) / config.name, COST_STEPS, COST_STEPS * step)
        return Measured(4.0 + COST_STEPS * step, 0.0, 0.0, False)

    costs = load_costs(tmp_path, make, ("a", "b"), run)
    assert order == ["a", "b"] * COST_ROUNDS
    assert costs["a"].step == pytest.approx(0.01)
    assert costs["b"].step == pytest.approx(0.03)
    assert costs["a"].fixed == costs["b"].fixed == pytest.approx(4.0)
    assert not (tmp_path / "costs").exists()
    assert load_costs(tmp_path, make, ("a", "b"), pytest.fail) == costs
    assert isinstance(costs["a"], Cost)


@pytest.mark.parametrize(("shares", "expected"), [
    ([0.0], 1), ([2 * MAX_STOLEN, 0.0], 2), ([2 * MAX_STOLEN] * 3, 3),
])  # fmt: skip
def test_a_disturbed_run_is_repeated_from_the_start(config, monkeypatch, shares, expected):
    runs = []

    def run(config):
        write_log(Path(config.runs_dir) / config.name, 10, 1.0)  # fails if it is there
        runs.append(config.name)
        return Measured(1.0, 1.0, shares[len(runs) - 1], False)

    monkeypatch.setattr(recipe_timing, "run_once", run)
    assert recipe_timing.run_quietly(config, 3).stolen == shares[-1]
    assert len(runs) == expected


def test_a_run_that_went_on_is_not_repeated(config, monkeypatch):
    resumed = Measured(1.0, 1.0, 1.0, True)
    monkeypatch.setattr(recipe_timing, "run_once", lambda config: resumed)
    assert recipe_timing.run_quietly(config, 3) == resumed


def test_divergence_is_a_result_and_a_signal_ends_the_race(config, monkeypatch):
    def diverge(config):
        raise DivergedError("NaN", "finite losses", "lower the rate")

    monkeypatch.setattr("pretrain.main", diverge)
    assert recipe_timing.run_once(config).diverged
    monkeypatch.setattr("pretrain.main", lambda config: 75)
    with pytest.raises(SystemExit, match="75"):
        recipe_timing.run_once(config)
