"""Progress of long work: on a terminal, seldom elsewhere, and never on standard output."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from bert_jax import progress
from bert_jax.progress import Progress, clock, track

WORK = """
import sys, time
from bert_jax import progress
progress.QUIET_SECONDS = progress.DRAW_SECONDS = 0.05
with progress.Progress("outer [work]", 4, "rows") as outer:
    for number in range(4):
        for _ in progress.track(range(3), "inner", 3, "texts"):
            time.sleep(0.06)
        outer.advance()
        print("result", number)
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.05)


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(capsys):
    with Progress("rows", 200, "MB") as rows:
        rows.advance(50)
        rows.advance(50)
        time.sleep(0.08)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert re.fullmatch(r"rows: 100 of 200 MB, [\d,]+ MB/s, 50%, 0:00 left", lines[0])
    assert re.fullmatch(r"rows: 100 MB in 0 s, [\d,]+ MB/s", lines[-1])


@pytest.mark.parametrize("options", [{"summary": False}, {"shown": False}])
def test_short_or_hidden_work_is_silent(capsys, options):
    with Progress("rows", **options):
        time.sleep(0.03)
    assert list(track([1, 2], "items")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_work_that_fails_has_no_line_at_the_end(capsys):
    with contextlib.suppress(ValueError), Progress("rows"):
        time.sleep(0.03)
        raise ValueError("bad")
    assert capsys.readouterr().err == ""


def test_work_without_numbers_shows_its_time():
    work = Progress("compiling")
    assert work.describe(61.4) == "1:01"
    assert work.summarize(61.4) == "compiling: 61 s"


def test_the_time_left_follows_the_share_that_is_done():
    rows = Progress("rows", unit="rows")
    rows.update(300, None)
    assert rows.describe(60.0) == "300 rows, 5.0 rows/s"
    rows.update(300, 0.25)
    assert rows.describe(60.0) == "300 rows, 5.0 rows/s, 25%, 3:00 left"
    more = Progress("rows", 100, "rows")  # a total that was an estimate
    more.advance(150)
    assert more.describe(10.0) == "150 of 100 rows, 15 rows/s, 100%, 0:00 left"


def test_times_have_hours_only_where_there_are_some():
    assert [clock(x) for x in (0.4, 65, 3605)] == ["0:00", "1:05", "1:00:05"]


def test_an_iteration_that_is_left_early_ends_its_progress(capsys):
    items = track(range(9), "items", 9, "items")
    next(items)
    items.close()
    assert not progress._displays


@pytest.mark.parametrize("stdout_is_a_terminal", [True, False])
def test_a_terminal_gets_bars_and_a_pipe_the_results_alone(stdout_is_a_terminal):
    parent, child = pty.openpty()
    stdout = child if stdout_is_a_terminal else subprocess.PIPE
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-c", WORK]
    process = subprocess.Popen(command, stdout=stdout, stderr=child, env=environment)
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
    os.close(parent)
    out = process.communicate()[0]
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"outer \[work\] .* 2 of 4 rows, [\d.]+ rows/s, 50%, 0:00 left", text)
    assert re.search(r"inner .* of 3 texts", text)
    results = [f"result {number}" for number in range(4)]
    assert re.findall(r"result \d", (shown if stdout_is_a_terminal else out).decode()) == results
    if not stdout_is_a_terminal:
        assert out.decode().split("\n") == [*results, ""]
        assert "result" not in text


def test_a_closed_stderr_does_not_end_the_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", open(os.devnull, "w"))  # noqa: SIM115
    sys.stderr.close()
    with Progress("rows", 2, "rows"):
        time.sleep(0.08)
