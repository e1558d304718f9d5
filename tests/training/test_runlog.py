import builtins
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from bert_jax.errors import UserError
from bert_jax.training.runlog import RunLog, describe_values, read_metrics, with_progress
from tests.training import children

VALUES = {"learning_rate": 1e-4, "loss": 2.5, "tokens_per_second": 12345.6, "mfu": 0.412,
          "eta_seconds": 3723}  # fmt: skip
DESCRIBED = "loss 2.5000  12,346 tokens/s  MFU 41.2%  ETA 1:02:03  learning_rate 0.0001"


def open_log(folder: Path, resume: int = 0, **options) -> RunLog:
    log = RunLog(folder, total_steps=100, **options)
    log.resume(resume)
    return log


def without_time(path: Path) -> list[dict]:
    return [{k: v for k, v in line.items() if k != "time"} for line in read_metrics(path)]


def test_a_run_leaves_what_it_was_and_what_it_did(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pretrain.py", "tiny", "--hub-token", "CANARY"])
    with open_log(tmp_path) as log:
        log.train(10, VALUES)
        assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1  # written at once
        log.eval(10, {"loss": 2.25, "nsp_accuracy": float("nan")})
        log.info("saved to https://me:CANARY@host/x [not markup]")
    assert "pretrain.py tiny --hub-token '***'" in (tmp_path / "command.txt").read_text()
    assert json.loads((tmp_path / "environment.json").read_text())["versions"]["jax"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[0] == {"step": 10, "split": "train", "time": lines[0]["time"], **VALUES}
    assert lines[1]["split"] == "eval"
    assert lines[1]["nsp_accuracy"] is None
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"step 10/100  {DESCRIBED.removesuffix('  learning_rate 0.0001')}",
        "eval step 10/100  loss 2.2500  nsp_accuracy nan",
        "saved to https://***@host/x [not markup]",
    ]
    logged = (tmp_path / "train.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in logged] == printed
    assert "CANARY" not in "".join(p.read_text() for p in tmp_path.iterdir())


def test_resuming_cuts_off_what_came_after_the_restored_step(tmp_path):
    def record(log, steps):
        for step in steps:
            log.train(step, {"loss": 1 / 3 + step})
            if step % 20 == 0:
                log.eval(step, {"loss": step})
        log.close()

    record(open_log(tmp_path / "whole"), range(10, 70, 10))
    record(open_log(tmp_path / "cut"), range(10, 60, 10))
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "split": "tra')  # a crash in the middle of a line
    record(open_log(tmp_path / "cut", resume=20), range(30, 70, 10))
    whole, cut = (without_time(tmp_path / name / "metrics.jsonl") for name in ("whole", "cut"))
    assert cut == whole
    assert len(cut) == 9
    assert not (tmp_path / "cut" / "metrics.tmp").exists()


def test_a_new_start_forgets_a_run_that_saved_nothing(tmp_path):
    with open_log(tmp_path) as log:
        log.train(10, {"loss": 1.0})
    with open_log(tmp_path) as log:
        log.train(5, {"loss": 2.0})
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [5]
    commands = (tmp_path / "command.txt").read_text().splitlines()
    assert len(commands) == 4  # both starts, each with a line that says when


def test_a_run_that_is_refused_before_it_starts_leaves_the_directory_as_it_was(tmp_path):
    open_log(tmp_path).close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    RunLog(tmp_path, total_steps=100).close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_values_are_described_in_reading_order():
    assert "  ".join(describe_values(VALUES).values()) == DESCRIBED
    assert describe_values({"eta_seconds": float("inf")}) == {"eta": "ETA ?"}


TERMINAL = """
import sys
from pathlib import Path
from bert_jax.training.runlog import RunLog
with RunLog(Path(sys.argv[1]), 100) as log:
    log.resume(0)
    log.train(40, {"loss": 2.5, "tokens_per_second": 12345.6, "mfu": 0.412, "eta_seconds": 3723})
    log.info("a [line]")
"""


def test_a_terminal_gets_a_progress_bar(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    parent, child = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", TERMINAL, str(tmp_path)], stdout=child)
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
    os.close(parent)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(
        r"40 of 100 steps, 40%  loss 2\.5000  12,346 tokens/s  MFU 41\.2%  ETA 1:02:03", text
    )
    assert "a [line]" in text
    assert "a [line]" in (tmp_path / "train.log").read_text()


def test_tensorboard_files_are_written_when_asked(tmp_path):
    with open_log(tmp_path, tensorboard=True) as log:
        log.train(10, {"loss": 2.5, "gap": float("nan")})
        log.eval(10, {"loss": 2.25})
    data = b"".join(path.read_bytes() for path in (tmp_path / "tb").iterdir())
    assert b"train/loss" in data
    assert b"eval/loss" in data
    assert b"train/gap" not in data


def test_tensorboard_without_its_extra_is_refused_by_name(tmp_path, monkeypatch):
    def no_tensorboard(name, *args, **kwargs):
        if name == "tensorboardX":
            raise ImportError
        return importer(name, *args, **kwargs)

    importer = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", no_tensorboard)
    with pytest.raises(UserError, match=r"pip install .bert_jax\[track\]"):
        open_log(tmp_path, tensorboard=True)
    open_log(tmp_path).close()


FULL = """
import os, sys, resource, signal
from pathlib import Path
from bert_jax.training.runlog import RunLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = RunLog(Path(sys.argv[1]), 100)
log.resume(0)
log.train(1, {"loss": 1.0})
resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
for step in range(2, 50):
    log.train(step, {"loss": 1.0})
    log.info("still here")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
log.train(50, {"loss": 1.0})
log.close()
sys.exit(75)
"""


def test_a_full_disk_is_warned_of_once_and_training_continues(tmp_path):
    code, out, err = children.run(FULL, tmp_path)
    assert code == 75, err
    assert err.count("warning: logging is incomplete") == 1
    assert out.count("still here") == 48
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 51))  # kept until there was room


def test_a_closed_terminal_is_warned_of_once_and_training_continues(tmp_path):
    script = TERMINAL + "    for _ in range(5): log.info('x' * 1000)\nprint('end')\nsys.exit(75)\n"
    child = children.start(script.replace("log.resume(0)", "log.resume(0); sys.stdin.readline()"),
                           tmp_path)  # fmt: skip
    child.stdout.close()
    child.stdout = None
    code, _, err = children.finish(child)
    assert code == 75, err
    assert err.count("warning: logging is incomplete") == 1
    assert (tmp_path / "train.log").read_text().count("x" * 1000) == 5


def test_other_processes_are_silent(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    with open_log(tmp_path / "run") as log:
        log.train(10, VALUES)
        log.info("hello")
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr().out == ""


def test_a_directory_that_cannot_be_written_does_not_end_the_run(tmp_path, capsys):
    (tmp_path / "file").touch()
    with open_log(tmp_path / "file" / "run") as log:
        log.train(10, {"loss": 1.0})
    captured = capsys.readouterr()
    assert "step 10/100  loss 1.0000" in captured.out
    assert captured.err.count("warning: logging is incomplete") == 1


@pytest.mark.parametrize("name", ["train.log", "metrics.jsonl", "command.txt"])
@pytest.mark.parametrize("reader", [False, True])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path, capsys, name, reader):
    os.mkfifo(tmp_path / name)
    handle = os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK) if reader else -1
    with open_log(tmp_path) as log:
        log.train(10, {"loss": 1.0})
        log.info("still here")
    if reader:
        assert os.read(handle, 100) == b""
        os.close(handle)
    captured = capsys.readouterr()
    assert "still here" in captured.out
    assert captured.err.count("warning: logging is incomplete") == 1
    assert str(tmp_path / name) in captured.err
    assert "[Errno" not in captured.err


def test_records_that_are_damaged_are_left_out(tmp_path):
    good = {"step": 1, "split": "eval", "loss": 2.0}
    bad = '{"step": 2, "splat": "train"}\n{"step": true, "split": "train"}\n[3]\n' + "[" * 100_000
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(good)}\n{bad}\n")
    assert read_metrics(tmp_path / "metrics.jsonl") == [good]


def test_the_learning_rate_of_a_record_is_computed_on_the_cpu():
    """On the steps' device it would wait for those in flight."""
    devices = []

    def schedule(count):
        rate = jax.numpy.float32(count)
        devices.append(rate.device)
        return rate

    with jax.default_device(jax.devices()[3]):
        assert with_progress({}, 3, 10, schedule) == {"learning_rate": 2.0}
    assert devices == jax.devices("cpu")[:1]


def test_progress_is_the_rate_of_the_step_and_the_time_that_is_left():
    values = {"loss": 2.0, "steps_per_second": 4.0}
    progress = with_progress(values, 10, 30, lambda count: 0.5 * count)
    assert progress == {**values, "learning_rate": 4.5, "eta_seconds": 5.0}  # step 10 is count 9
    assert "eta_seconds" not in with_progress({"loss": 2.0}, 10, 30, lambda count: 0.1)
