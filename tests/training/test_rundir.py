import json
import os
import shlex
import signal
from pathlib import Path

import pytest

from bert_jax.errors import ConfigError
from bert_jax.training.rundir import command_line, environment, redact, run_lock
from tests.training import children

HOLD = """
import sys, time
from pathlib import Path
from bert_jax.training.rundir import run_lock
with run_lock(Path(sys.argv[1])):
    if sys.argv[2:] == ["fork"]:
        import os
        if os.fork() == 0:
            os.close(1), os.close(2)
            time.sleep(60)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("name", ["run", "바른 이름 🙂"])
def test_a_second_run_in_the_same_directory_is_refused_by_pid_and_host(tmp_path, name):
    folder = tmp_path / name
    child = children.start(HOLD, folder)
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="in use by another run") as error, run_lock(folder):
            pass
        assert error.value.exit_code == 2
        assert f'"pid": {child.pid}' in str(error.value)
        assert os.uname().nodename in str(error.value)
    finally:
        child.kill()
        children.finish(child)
    with run_lock(folder):  # the lock file of a killed run blocks nothing
        assert f'"pid": {os.getpid()}' in (folder / "LOCK").read_text()
    with run_lock(folder):
        pass
    assert (folder / "LOCK").read_text() == ""


def test_a_forked_worker_that_outlives_the_run_does_not_hold_the_lock(tmp_path):
    child = children.start(HOLD, tmp_path, "fork")
    assert child.stdout.readline() == "held\n"
    orphan = int(Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text())
    try:
        child.kill()
        child.wait()
        with run_lock(tmp_path):
            pass
    finally:
        os.kill(orphan, signal.SIGKILL)
        child.communicate()


def test_secrets_stay_out_of_the_command():
    arguments = ["pretrain.py", "tiny", "--wandb-key", "CANARY1", "--hub.token=CANARY2",
                 "--PASSWORD", "CANARY3", "--data", "https://me:CANARY4@host/x", "--name", "a b",
                 "--keys", "3"]  # fmt: skip
    line = command_line(arguments)
    assert "CANARY" not in line
    assert shlex.split(line) == ["pretrain.py", "tiny", "--wandb-key", "***", "--hub.token=***",
                                 "--PASSWORD", "***", "--data", "https://***@host/x", "--name",
                                 "a b", "--keys", "3"]  # fmt: skip


def test_logins_are_taken_out_of_urls_only():
    assert redact("see s3://k:s@bucket/a and a@b.c") == "see s3://***@bucket/a and a@b.c"
    assert redact("https://host/path@2") == "https://host/path@2"


def test_the_environment_has_versions_and_devices_and_no_variables(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "CANARY5")
    recorded = environment()
    assert recorded["versions"]["jax"]
    assert recorded["devices"] == ["cpu cpu"] * 8
    assert recorded["commit"] is None or len(recorded["commit"].removesuffix("-dirty")) == 40
    assert "CANARY" not in json.dumps(recorded)
