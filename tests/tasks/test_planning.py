"""Runs with a time budget: what is measured, planned and kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import pretrain
from bert_jax.config import Phase, PretrainConfig, read_json
from bert_jax.tasks import planning
from bert_jax.training.budget import Costs
from bert_jax.training.runlog import read_metrics
from bert_jax.training.signals import StopSignal
from tests.nano import make_nano
from tests.training import children


@pytest.fixture
def nano(prepared, tmp_path):
    return replace(make_nano(prepared, tmp_path), budget="1h")


def measured(monkeypatch, steps):
    """Let a measurement find that so many steps fit into an hour."""
    costs = Costs(0.0, (3600 * 0.97 / (steps + 0.5),), (0.0,), 0.0)
    monkeypatch.setattr(planning, "measure_costs", lambda *args: costs)


def test_the_run_has_the_planned_steps_and_keeps_them_when_resumed(nano, monkeypatch, capsys):
    nano = replace(nano, phases=(Phase(32, 16),))
    folder = Path(nano.runs_dir) / "nano"
    measured(monkeypatch, 24)
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == 6)
        assert pretrain.main(nano) == 75
    begun = capsys.readouterr().out
    assert "plan: 24 steps (24 at length 32), 2 of them warm-up; an evaluation every 2" in begun
    measured(monkeypatch, 99)
    assert pretrain.main(nano) == 0
    resumed = capsys.readouterr().out
    assert "--budget 1h: the run keeps its plan" in resumed
    assert "plan: 24 steps" in resumed
    assert "done: 24 steps in " in resumed
    assert " since step 6, planned for 1h; curves in" in resumed
    saved = read_json(PretrainConfig, folder / "config.json")
    assert (saved.loop.steps, saved.loop.eval_every, saved.budget) == (24, 2, "1h")
    records = [x for x in read_metrics(folder / "metrics.jsonl") if x["split"] == "train"]
    rates = [x["learning_rate"] / nano.optimizer.learning_rate for x in records]
    assert rates[:3] == pytest.approx([0, 0.5, 1])
    assert rates[-2:] == pytest.approx([2 / 22, 1 / 22])  # of the 22 steps after the warm-up


def test_a_dry_run_measures_and_prints_the_plan_and_writes_nothing(nano, monkeypatch, capsys):
    monkeypatch.setattr(planning, "MAX_MEASURING_SECONDS", 0.01)
    assert pretrain.main(replace(nano, budget="1d", dry_run=True)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "--budget 1d: its steps are timed for 0.01s"
    assert lines[1].startswith("a step takes ")
    assert " at length 32, batch size 16; " in lines[1]
    assert " at length 64, batch size 8" in lines[1]
    assert lines[2].startswith("an evaluation takes ")
    steps = int(lines[3].split()[1].replace(",", ""))
    assert steps > 1000
    start = lines.index("{")
    config = json.loads("\n".join(lines[start : lines.index("}") + 1]))
    assert config["loop"]["steps"] == steps
    assert not Path(nano.runs_dir).exists()


PAIR = """
from pathlib import Path
from bert_jax.tasks import planning
from bert_jax.training.budget import Costs
from bert_jax.training.parallel import DataParallel
from dataclasses import replace
from tests.nano import make_nano

config = replace(make_nano(Path("x"), Path(sys.argv[3])), budget="1h")
second = jax.process_index()
costs = Costs(0.0, (1.0 + second, 1.0 + second), (0.0, 0.0), 0.0)
planning.measure_costs = lambda *args: costs
config, _ = planning.plan_run(config, Path(sys.argv[3]), None, DataParallel(), 0.0)
print(config.loop.steps)
"""


def test_the_plan_of_the_first_process_is_everybody_s(tmp_path):
    results = children.finish_pair(children.start_pair(PAIR, tmp_path))
    for code, out, err in results:
        assert code == 0, err
        assert out.splitlines()[-1] == "3492"  # 97 % of an hour, at a second a step
