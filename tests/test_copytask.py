"""copytask.py end to end, on tiny sequences: resuming, the end of a run, refusals, learning."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import copytask
from bert_jax.config import LoopConfig, OptimizerConfig, from_dict, to_json
from bert_jax.errors import ConfigError
from bert_jax.lineage.config import AddressingConfig, CopyTaskConfig, MemoryTaskConfig, NTMConfig
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.runlog import read_metrics
from bert_jax.training.signals import StopSignal
from configs.copytask import RUNS
from tests.training.interrupted import interrupt_while_saving

ROOT = Path(__file__).parent.parent


@pytest.fixture
def nano(tmp_path):
    return make_nano(tmp_path)


def make_nano(folder):
    return CopyTaskConfig(
        task=MemoryTaskConfig(width=2, max_size=2),
        model=NTMConfig(width=6, slots=8, slot_width=4),
        optimizer=OptimizerConfig(
            name="rmsprop", schedule="constant", learning_rate=1e-3, warmup_steps=0, b2=0.95,
            weight_decay=0.0, clip_norm=None, clip_value=10.0,
        ),
        loop=LoopConfig(steps=6, log_every=1, eval_every=2, checkpoint_every=2),
        eval_sizes=(2, 4),
        eval_sequences=4,
        criterion_sizes=(3,),
        criterion_sequences=4,
        name="nano",
        runs_dir=str(folder / "runs"),
    )  # fmt: skip


def final_state(config):
    """Return the final parameters, and the losses of every step as text."""
    run = Path(config.runs_dir) / config.name
    params, _, _ = load_params(run)
    records = read_metrics(run / "metrics.jsonl")
    return jax.tree.leaves(params), [(r["step"], r["split"], repr(r["loss"])) for r in records]


def report_of(config):
    folder = Path(config.runs_dir) / config.name / "evaluation"
    newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    return json.loads((newest / "report.json").read_text())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    config = make_nano(tmp_path_factory.mktemp("uninterrupted"))
    assert copytask.main(config) == 0
    return config


@pytest.mark.parametrize("step", [2, 3])
def test_resuming_gives_the_same_bits_as_never_stopping(nano, uninterrupted, monkeypatch, step):
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == step)
        assert copytask.main(nano) == 75
    assert copytask.main(nano) == 0
    (params, losses), (expected, expected_losses) = map(final_state, (nano, uninterrupted))
    assert losses == expected_losses
    for a, b in zip(params, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert report_of(nano) == report_of(uninterrupted)


def test_the_report_and_the_pictures(uninterrupted):
    report = report_of(uninterrupted)
    assert [(row["size"], row["repeats"]) for row in report["sizes"]] == [(2, 1), (4, 1)]
    for row in report["sizes"]:
        assert row["wrong_bits"] == pytest.approx(row["bit_error"] * row["size"] * 2)
    run = Path(uninterrupted.runs_dir) / "nano"
    evaluations = [x for x in read_metrics(run / "metrics.jsonl") if x["split"] == "eval"]
    best = min(evaluations, key=lambda x: (x["wrong_bits"] + x["wrong_bits_3"], -x["step"]))
    assert report["best_step"] == best["step"]
    assert report["converged_at"] is None
    titles = [
        text.text
        for text in ET.parse(run / "plots" / "heads.svg").iter("{http://www.w3.org/2000/svg}text")
        if text.get("class") == "title"
    ]
    assert titles == ["inputs", "targets", "outputs", "read head 0", "write head 0"]
    assert (run / "plots" / "loss.svg").is_file()


def test_a_run_ends_some_steps_after_it_has_converged(nano, capsys):
    easy = replace(nano, converged_bits=100.0, steps_after=2)
    assert copytask.main(easy) == 0
    assert "converged at step 2" in capsys.readouterr().out
    assert final_state(easy)[1][-1][:2] == (4, "eval")
    assert report_of(easy)["converged_at"] == 2
    before = final_state(easy)
    assert copytask.main(easy) == 0  # it is over: nothing is trained
    assert final_state(easy)[1] == before[1]
    assert copytask.main(replace(easy, steps_after=None)) == 0  # it may continue
    assert final_state(easy)[1][-1][:2] == (6, "eval")


@pytest.mark.parametrize("change", [
    {"model": NTMConfig(kind="lstm", width=6)},
    {"task": MemoryTaskConfig("repeat_copy", width=2, max_size=2, max_repeats=2),
     "eval_repeats": (2, 3), "num_devices": 2},
    {"task": MemoryTaskConfig("associative_recall", width=2, min_size=2, max_size=3, item_length=1),
     "model": NTMConfig(controller="feed_forward", width=6, slots=8, slot_width=4, read_heads=2)},
], ids=["lstm", "repeat_copy", "associative_recall"])  # fmt: skip
def test_the_other_model_and_the_other_tasks(nano, change):
    config = replace(nano, **change, loop=replace(nano.loop, steps=2), name="other")
    assert copytask.main(config) == 0
    report = report_of(config)
    repeats = change.get("eval_repeats", (1,))
    assert [(r["size"], r["repeats"]) for r in report["sizes"]] == [
        (size, n) for n in repeats for size in (2, 4)
    ]
    heads = Path(config.runs_dir) / "other" / "plots" / "heads.svg"
    assert heads.exists() == (config.model.kind == "ntm")


def test_two_devices_train_as_one(nano, uninterrupted):
    assert copytask.main(replace(nano, num_devices=2)) == 0
    for a, b in zip(final_state(nano)[0], final_state(uninterrupted)[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_changed_configuration_is_refused(nano, monkeypatch):
    monkeypatch.setattr(StopSignal, "requested", lambda self, now: now == 1)
    assert copytask.main(nano) == 75
    with pytest.raises(ConfigError, match=r"task.width \(saved 2, given 3\)"):
        copytask.main(replace(nano, task=replace(nano.task, width=3)))


def test_a_batch_that_cannot_be_split_is_refused(nano):
    with pytest.raises(ConfigError, match=r"batch_size = 4 cannot be split into 8 equal parts"):
        copytask.main(replace(nano, num_devices=None))


@pytest.mark.parametrize(("build", "message"), [
    (lambda: MemoryTaskConfig(width=0), "task.width = 0"),
    (lambda: MemoryTaskConfig(min_size=5, max_size=4), "task.max_size = 4 .*\n.*at least 5"),
    (lambda: MemoryTaskConfig("repeat_copy"), "task.max_repeats = 1 .*\n.*at least 2"),
    (lambda: MemoryTaskConfig(max_repeats=2), "task.max_repeats = 2 .*\n.*1 for copy"),
    (lambda: MemoryTaskConfig("associative_recall"), "task.min_size = 1 .*\n.*at least 2"),
    (lambda: AddressingConfig(content=False, shift=False), "model.addressing.shift = False"),
    (lambda: NTMConfig(slots=0), "model.slots = 0"),
    (lambda: NTMConfig(slots=2), "model.max_shift = 1 .*\n.*from 0 to 0"),
    (lambda: replace(RUNS["copy"](), eval_sizes=()), r"eval_sizes = \(\)"),
    (lambda: replace(RUNS["copy"](), criterion_sizes=(0,)), r"criterion_sizes = \(0,\)"),
    (lambda: replace(RUNS["copy"](), eval_repeats=(2,)), r"eval_repeats = \(2,\) .*\n.*only 1"),
    (lambda: replace(RUNS["copy"](), batch_size=0), "batch_size = 0"),
    (lambda: replace(RUNS["copy"](), steps_after=0), "steps_after = 0"),
])  # fmt: skip
def test_invalid_values_are_refused_by_name(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize("name", RUNS)
def test_every_run_survives_json_and_is_documented(name):
    config = RUNS[name]()
    assert from_dict(CopyTaskConfig, json.loads(to_json(config))) == config
    assert RUNS[name].__doc__


def test_a_user_error_is_three_lines_and_its_exit_code(tmp_path):
    process = subprocess.run(
        [sys.executable, "copytask.py", "copy", "--batch-size=4", "--num-devices=None",
         f"--runs-dir={tmp_path}"],
        cwd=ROOT, env=os.environ, text=True, capture_output=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 2
    lines = process.stderr.strip().splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["error", "expected", "fix"]


@pytest.mark.heavy
def test_it_learns(nano):
    """Learn to copy three bits; without memory, half of the bits are wrong."""
    config = replace(
        nano,
        task=MemoryTaskConfig(width=1, max_size=3),
        model=NTMConfig(width=16, slots=8, slot_width=6),
        optimizer=replace(nano.optimizer, learning_rate=1e-3),
        loop=LoopConfig(steps=1500, log_every=100, eval_every=500, checkpoint_every=500),
        batch_size=8,
        criterion_sequences=32,
    )
    assert copytask.main(config) == 0
    last = read_metrics(Path(config.runs_dir) / "nano" / "metrics.jsonl")[-1]
    assert last["wrong_bits"] < 0.2


def test_a_save_in_progress_is_finished_when_the_run_is_interrupted(nano, monkeypatch):
    assert interrupt_while_saving(copytask, nano, monkeypatch) == 1
