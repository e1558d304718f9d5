"""The race: which runs it takes, what it writes, and that it goes on after an interruption."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from benchmarks import recipe, recipe_runs, recipe_sides
from benchmarks.recipe_protocol import Cost
from benchmarks.recipe_runs import read_results
from benchmarks.recipe_timing import Measured
from bert_jax.errors import ConfigError
from bert_jax.training.signals import StopSignal
from tests.nano import make_nano

STEP = 5.0  # seconds: a minute has 12 steps


@pytest.fixture
def options(prepared, tmp_path, monkeypatch):
    """Return a race of the smallest run, whose budgets are a dozen steps and fewer."""
    monkeypatch.setitem(recipe_sides.RUNS, "nano", lambda: make_nano(prepared, tmp_path))
    costs = {side: Cost(0.0, STEP) for side in ("original", "modern")}
    monkeypatch.setattr(recipe_runs, "load_costs", lambda *arguments: costs)
    return recipe.Options(
        str(prepared), "nano", minutes=1.0, seeds=(0, 1), original_rates=(1e-3, 2e-3),
        modern_rates=(0.02, 0.04), fractions=(2, 3, 4, 6), eval_rows=64,
        output=str(tmp_path / "race"),
    )  # fmt: skip


@pytest.fixture
def fake_runs(monkeypatch):
    """Replace training by a formula: modern is where the original is after three times the steps.

    Returns the names of the runs, in order.
    """
    runs, configs = [], {}

    def run(config, tries):
        folder, steps = Path(config.runs_dir) / config.name, config.loop.steps
        folder.mkdir(parents=True)
        record = {"step": steps, "split": "train", "steps_per_second": 1 / STEP}
        (folder / "metrics.jsonl").write_text(json.dumps(record | {"tokens_per_row": 30.0}) + "\n")
        runs.append(config.name)
        configs[folder] = config
        return Measured(STEP * steps, STEP * steps, 0.0, False)

    def evaluate(arena, folder):
        config = configs[folder]
        modern = folder.name.startswith("modern")
        steps = config.loop.steps * (3 if modern else 1)
        worse = config.optimizer.learning_rate in (2e-3, recipe_sides.ADAM_SHARE * 0.04)
        loss = 9.0 - steps / 10 + 0.01 * config.seed + worse + 0.5 * (folder.name.count("-") > 3)
        return {config.loop.steps: (loss, loss + 0.5)}

    monkeypatch.setattr(recipe_runs, "run_quietly", run)
    monkeypatch.setattr(recipe_runs, "evaluate_run", evaluate)
    return runs


def test_a_race_ends_with_the_smallest_time_at_the_better_rates(options, fake_runs, capsys):
    options = dataclasses.replace(options, seeds=(0,), ablate=1)
    assert recipe.main(options) == 0
    folder = Path(options.output)
    text, lines = (folder / "results.md").read_text(), capsys.readouterr().out.splitlines()
    assert lines[-1] == text.splitlines()[-1] == "time to the original's loss: 1/3.0"
    assert "| original | 0.001 | 1 | 12 | 0.01M | 7.800 | 8.300 | 1.00 | 1.00 | 1.00 |" in text
    assert fake_runs[:6] == [
        "original-0.001-1-0", "modern-0.02-3-0", "original-0.002-1-0", "modern-0.04-3-0",
        "modern-0.02-4-0", "modern-0.02-3-0-PPMI-start",
    ]  # fmt: skip
    assert fake_runs[-1] == "modern-0.02-3-0-MLM-alone"
    assert "modern-0.001-3-0-Muon" in fake_runs  # with the original's optimizer and rate
    assert "| without PPMI start |" in text
    assert "| with NSP |" in text
    assert (folder / "loss.svg").read_text().count('class="other-eval"') == 2  # and in the legend


def test_the_worst_seed_counts_and_known_runs_are_not_repeated(options, fake_runs, capsys):
    """Run seed 1, worse by 0.01, too: at a third of the time it misses the target."""
    assert recipe.main(options) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "time to the original's loss: 1/2.0"
    before = len(fake_runs)
    assert len(set(fake_runs)) == before
    assert recipe.main(options) == 0
    assert len(fake_runs) == before
    assert recipe.main(dataclasses.replace(options, seeds=(0, 1, 2))) == 0
    assert {name[-1] for name in fake_runs[before:]} == {"2"}


def test_a_folder_holds_one_race(options, fake_runs):
    recipe.Race(options)
    with pytest.raises(ConfigError, match="another minutes"):
        recipe.Race(dataclasses.replace(options, minutes=2.0))


def test_both_recipes_try_as_many_rates(options):
    with pytest.raises(ConfigError, match="1 --original-rates, 2 --modern-rates"):
        dataclasses.replace(options, original_rates=(1e-3,))


@pytest.mark.heavy
def test_an_interrupted_race_of_real_runs_goes_on(options, monkeypatch, capsys):
    options = dataclasses.replace(
        options, seeds=(0,), original_rates=(1e-3,), modern_rates=(0.02,), fractions=(2,)
    )
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, step: step == 5)
        with pytest.raises(SystemExit) as exit:
            recipe.main(options)
        assert exit.value.code == 75
    assert recipe.main(options) == 0
    assert "original-0.001-1-0: loss" in capsys.readouterr().out
    results = read_results(Path(options.output) / "results.jsonl")
    assert {name: r.steps for name, r in results.items()} == {
        "original-0.001-1-0": 12, "modern-0.02-2-0": 6
    }  # fmt: skip
    first, second = results.values()
    assert (first.resumed, second.resumed) == (True, False)
    assert first.processor is None
    assert [len(r.curve) for r in results.values()] == [4, 3]
    for result in results.values():
        losses = [loss for _, loss in result.curve]
        assert all(map(math.isfinite, losses))
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] == result.loss != result.mask_loss
