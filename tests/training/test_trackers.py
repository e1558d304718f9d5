"""Weights & Biases: its own package offline, and failures that must not end a run."""

import sys
from types import SimpleNamespace

import pytest

from bert_jax.config import MaskingConfig
from bert_jax.errors import UserError
from bert_jax.training.runlog import RunLog, read_metrics
from bert_jax.training.trackers import RUN_ID, WandbTracker
from tests.training import children

OFFLINE = """
import os, sys
from pathlib import Path
from bert_jax.config import MaskingConfig
from bert_jax.training.runlog import RunLog
from bert_jax.training.trackers import WandbTracker
assert not {"wandb", "tensorboardX"} & sys.modules.keys()
os.environ |= {"WANDB_MODE": "offline", "WANDB_API_KEY": "CANARY" * 7, "WANDB_SILENT": "true"}
sys.argv = ["pretrain.py", "tiny", "--hub-token", "CANARY"]
for step in 0, 10:
    tracker = WandbTracker("texts", MaskingConfig())
    with RunLog(Path(sys.argv[0]).parent / "run", 100, tracker=tracker) as log:
        log.resume(step)
        log.train(step + 10, {"loss": 2.5, "gap": float("nan")})
        log.eval(step + 10, {"loss": 2.25})
"""


def test_the_real_package_records_offline_and_resumes_the_same_run(tmp_path):
    script = f"import os; os.chdir({str(tmp_path)!r})\n{OFFLINE}"
    code, _, err = children.run(script)
    assert code == 0, err
    assert "warning" not in err
    run = tmp_path / "run"
    first, second = sorted((run / "wandb").glob("offline-run-*/*.wandb"))
    run_id = (run / RUN_ID).read_text().strip()
    assert {first.name, second.name} == {f"run-{run_id}.wandb"}
    for file in first, second:
        content = file.read_bytes()
        for text in b"train/loss", b"eval/loss", b"texts", b"mask_share":
            assert text in content
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 6
    assert [path for path in files if b"CANARY" in path.read_bytes()] == []


class FakeRun:
    """A run of W&B that notes what it gets."""

    def __init__(self, calls, fails=()):
        self.calls, self.fails = calls, fails

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, args))
            if name in self.fails:
                raise RuntimeError(f"{name} failed: no network")

        return call


@pytest.fixture
def fake(monkeypatch):
    """Replace the package; return what `init` and the runs got, and the names of what fails."""
    calls, fails = [], set()

    def init(**options):
        calls.append(("init", options))
        if "init" in fails:
            raise RuntimeError("init failed: no key")
        return FakeRun(calls, fails)

    module = SimpleNamespace(init=init, Settings=lambda **options: options)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls, fails


def record(folder, step=0):
    with RunLog(folder, total_steps=100, tracker=WandbTracker("texts", MaskingConfig())) as log:
        log.resume(step)
        log.train(step + 10, {"loss": 2.5})
        log.eval(step + 10, {"loss": 2.25})


def test_a_resumed_run_continues_its_id_and_a_new_one_has_its_own(tmp_path, fake):
    calls, _ = fake
    for step in 0, 10, 0:
        record(tmp_path / "run", step)
    options = [options for name, options in calls if name == "init"]
    first, resumed, anew = (x["id"] for x in options)
    assert first == resumed != anew
    assert options[0]["config"] == {
        "rate": 0.15, "final_rate": None, "eval_rate": None, "mask_share": 0.8,
        "random_share": 0.1, "whole_word": False, "max_per_sequence": None,
    }  # fmt: skip
    assert (options[0]["project"], options[0]["resume"]) == ("texts", "allow")
    assert options[0]["name"] == f"{tmp_path.name}/run"
    logged = [args[0] for name, args in calls if name == "log"]
    assert logged[:2] == [{"step": 10, "train/loss": 2.5}, {"step": 10, "eval/loss": 2.25}]
    assert ("finish", (0,)) in calls


@pytest.mark.parametrize("broken", ["init", "log", "finish", "define_metric"])
def test_a_failure_is_reported_once_and_ends_nothing(tmp_path, fake, broken, capsys):
    fake[1].add(broken)
    record(tmp_path)
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [10, 10]
    err = capsys.readouterr().err
    assert err.count(f"warning: Weights & Biases: {broken} failed") == 1
    assert err.count("warning") == 1


def test_a_run_that_fails_is_marked_as_failed(tmp_path, fake):
    def fail():
        with RunLog(tmp_path, 100, tracker=WandbTracker("texts", MaskingConfig())) as log:
            log.resume(0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert ("finish", (1,)) in fake[0]


def test_other_processes_send_nothing(tmp_path, fake, monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    record(tmp_path / "run")
    assert fake[0] == []


def test_without_its_extra_it_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"--wandb texts needs wandb.*\n.*\n.*bert_jax\[track\]"):
        record(tmp_path)
