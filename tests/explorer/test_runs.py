"""Runs of a folder, how far they are, and what their losses are compared with."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bert_jax.explorer.metrics import MetricsFile
from bert_jax.explorer.runs import (
    MAX_LOG_BYTES,
    MAX_RUNS,
    alerts_of,
    baselines_of,
    find_runs,
    is_run,
    last_command,
    last_lines,
    lock_holder,
    read_config,
    read_log,
    state_of,
)
from bert_jax.filesystem import lock_folder


def make_run(folder: Path, step: int = 10, total: int | None = 20, age: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    record = {"step": step, "split": "train", "time": time.time() - age, "eta_seconds": 5.0}
    (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    (folder / "config.json").write_text(json.dumps({"loop": {"steps": total}} if total else {}))
    then = time.time() - age
    os.utime(folder / "metrics.jsonl", (then, then))
    return folder


def hold(run: Path, **about: object) -> None:
    here = {"host": socket.gethostname(), "pid": os.getpid(), "started": "today"}
    (run / "LOCK").write_text(json.dumps({**here, **about}))


def state(run: Path, log: str = ""):
    metrics = MetricsFile(run / "metrics.jsonl")
    metrics.read()
    return state_of(run, metrics, log, read_config(run))


def test_runs_are_found_in_a_folder_and_one_folder_deeper(tmp_path):
    for name in ("b", "a", "seeds/seed-0", "seeds/seed-1", "too/deep/run"):
        make_run(tmp_path / name)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    found, has_more = find_runs(tmp_path)
    assert [*found] == ["a", "b", "seeds/seed-0", "seeds/seed-1"]
    assert not has_more
    assert find_runs(tmp_path / "absent") == ({}, False)
    for number in range(MAX_RUNS):
        make_run(tmp_path / f"c{number}")
    found, has_more = find_runs(tmp_path)
    assert len(found) == MAX_RUNS
    assert has_more


def test_a_run_that_has_just_begun_is_one(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert not is_run(tmp_path)  # any model has one
    (tmp_path / "train.log").write_text("")
    assert is_run(tmp_path)
    assert state(tmp_path).step == 0


def test_a_run_is_running_as_long_as_its_process_is(tmp_path):
    run = make_run(tmp_path / "run", age=5000)
    with lock_folder(run, "a test"):  # as a run locks it
        found = state(run)
        assert (found.name, found.step, found.total, found.eta) == ("running", 10, 20, 5.0)
        assert found.age == pytest.approx(5000, abs=60)
    assert state(run).name == "stopped"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    hold(run, pid=ended.pid)  # it was killed, and its LOCK says so still
    assert state(run).name == "stopped"
    assert state(run).eta is None


def test_a_run_of_another_machine_is_judged_by_its_age(tmp_path):
    for age, name in ((30, "running"), (5000, "silent")):
        run = make_run(tmp_path / name, age=age)
        hold(run, host="another")
        assert state(run).name == name
    done = make_run(tmp_path / "done", step=20, age=5000)
    hold(done, host="another")
    assert state(done).name == "finished"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"host": 1}', '{"host": "x", "pid": null}', '{"host": "x", "pid": []}']
)
def test_a_lock_that_says_nothing_is_none(tmp_path, text):
    (tmp_path / "LOCK").write_text(text)
    assert lock_holder(tmp_path) is None


def test_a_run_is_finished_at_its_last_step_or_with_its_evaluation(tmp_path):
    assert state(make_run(tmp_path / "all", step=20)).name == "finished"
    run = make_run(tmp_path / "early", total=None)
    assert state(run).name == "stopped"
    assert state(run, "… step 10/10  loss 1.0").name == "finished"
    report = run / "evaluation" / "10" / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text("{}")
    assert state(run).name == "finished"
    os.utime(report, (1, 1))  # of the run before, that was extended
    assert state(run).name == "stopped"


def test_the_newest_warnings_of_a_log_once_each(tmp_path):
    (tmp_path / "train.log").write_text(
        "2026-01-01 00:00:01 warning: <b>one</b>\n2026-01-01 00:00:02 step 1/3  loss 2.0\n"
        "2026-01-01 00:00:03 step 2: NaN or Inf in the loss or gradient; update skipped\n"
        "2026-01-01 00:00:04 warning: <b>one</b>\nTraceback"
    )
    log = read_log(tmp_path)
    assert alerts_of(log) == [
        "2026-01-01 00:00:03 step 2: NaN or Inf in the loss or gradient; update skipped",
        "2026-01-01 00:00:04 warning: <b>one</b>",
    ]
    assert last_lines(log)[-1] == "Traceback"


def test_of_a_long_log_start_and_end_are_read(tmp_path):
    assert read_log(tmp_path) == ""
    for size in (10, MAX_LOG_BYTES + 10, 5 * MAX_LOG_BYTES):
        (tmp_path / "train.log").write_text("first\n" + "x" * size + "\nlast")
        log = read_log(tmp_path)
        assert log.startswith("first\n")
        assert log.endswith("\nlast")
        assert len(log) <= 2 * MAX_LOG_BYTES + 1
        assert log.count("first") == 1
    (tmp_path / "command.txt").write_text("# a\npython a.py\n# b\npython b.py --x 1\n")
    assert last_command(tmp_path) == "python b.py --x 1"


def values(found, metric):
    return {baseline["name"]: baseline["value"] for baseline in found.get(metric, [])}


def test_baselines_of_pretraining_are_those_of_the_data_or_of_the_log():
    config = {"masking": {}, "model": {"vocab_size": 5000}}
    data = {
        "vocab_size": 4000,
        "unigram_loss": 5.6,
        "datasets": {
            "32": {"splits": {"train": {"nsp_majority": 0.9}}},
            "128": {"splits": {"train": {"nsp_majority": 0.8}, "eval": {"nsp_majority": 0.75}}},
        },
    }
    found = baselines_of(config, "", data)
    assert values(found, "mlm_loss") == {"unigram model": 5.6, "all tokens alike": math.log(4000)}
    assert values(found, "nsp_accuracy") == {"most frequent label": 0.75}
    assert values(found, "nsp_loss")["label frequencies"] == pytest.approx(0.5623, abs=1e-4)
    log = "baselines: MLM loss 7.361 (unigram model), NSP accuracy 0.719 (T=32), 0.6 (T=128) (majo"
    found = baselines_of(config, log, None)
    assert values(found, "mlm_loss") == {"unigram model": 7.361, "all tokens alike": math.log(5000)}
    assert values(found, "nsp_accuracy") == {"most frequent label": 0.6}
    assert "nsp_loss" not in baselines_of(config, "baselines: MLM loss 7.361 (u); no NSP", None)
    damaged = {"unigram_loss": "x", "vocab_size": [], "datasets": {"a": 1}}
    assert baselines_of({"masking": {}}, "", damaged) == {}


def test_baselines_of_translation_and_of_the_memory():
    found = baselines_of({"source_length": 1, "model": {"vocab_size": 54}}, "", None)
    assert values(found, "nll") == {"all tokens alike": math.log(54)}
    found = baselines_of({"criterion_sizes": [], "task": {}}, "", None)
    assert values(found, "loss") == {"random bits": math.log(2)}
    assert values(found, "bit_error") == {"random bits": 0.5}
    assert baselines_of({"task": "classification"}, "", None) == {}
