import os
import signal
import threading
import time

from bert_jax.errors import EXIT_WATCHDOG
from bert_jax.training.watchdog import Watchdog
from tests.training import children

HANG = """
import subprocess, sys, time
from pathlib import Path
from bert_jax.training.watchdog import Watchdog

def hang_here():
    time.sleep(60)

child = subprocess.Popen(["sh", "-c", "sleep 61 & echo $!; wait"], stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
with Watchdog(0.5, Path(sys.argv[1]), startup_seconds=float(sys.argv[2])) as watchdog:
    for _ in range(int(sys.argv[3])):
        time.sleep(0.2)
        watchdog.beat()
    print("hanging", flush=True)
    hang_here()
"""


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_hang_ends_the_process_and_its_children_and_shows_every_stack(tmp_path):
    log = tmp_path / "train.log"
    start = time.monotonic()
    code, out, err = children.run(HANG, log, 60, 5)
    assert code == EXIT_WATCHDOG == 6, err
    assert 1.5 < time.monotonic() - start < 30
    assert "hanging" in out
    for text in err, log.read_text():
        assert "no progress for 0.5 s: ending the process" in text
        assert "in hang_here" in text
        assert text.count("most recent call first") >= 2
    pids = [int(pid) for pid in out.splitlines()[0].split()]
    assert len(pids) == 2
    time.sleep(0.2)
    assert not any(is_running(pid) for pid in pids)


def test_start_up_has_its_own_limit(tmp_path):
    code, _, err = children.run(HANG, tmp_path / "log", 1.0, 0)
    assert code == EXIT_WATCHDOG
    assert "no progress for 1 s" in err


HOLD = """
import ctypes, sys
from bert_jax.training.watchdog import Watchdog
with Watchdog(0.5) as watchdog:
    watchdog.beat()
    ctypes.PyDLL(None).sleep(60)  # a C function that keeps the interpreter's lock
"""


def test_a_hang_that_holds_the_interpreters_lock_ends_too():
    start = time.monotonic()
    code, _, err = children.run(HOLD)
    assert code == -signal.SIGABRT
    assert time.monotonic() - start < 30
    assert "Aborted" in err
    assert "most recent call first" in err


SUSPENDED = """
import sys, time
from pathlib import Path
from bert_jax.training.watchdog import Watchdog

with Watchdog(1.0) as watchdog:
    watchdog.beat()
    print("working", flush=True)
    for _ in range(int(sys.argv[1])):
        time.sleep(0.1)
        watchdog.beat()
    time.sleep(float(sys.argv[2]))
print("done")
"""


def test_a_process_that_was_suspended_for_longer_continues():
    child = children.start(SUSPENDED, 20, 0)
    assert child.stdout.readline() == "working\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGSTOP)
    time.sleep(5)  # longer than the watchdog, and than its monitor
    child.send_signal(signal.SIGCONT)
    code, out, err = children.finish(child)
    assert (code, out) == (0, "done\n"), err


def test_a_hang_after_a_suspension_ends_the_process():
    child = children.start(SUSPENDED, 0, 60)
    assert child.stdout.readline() == "working\n"
    child.send_signal(signal.SIGSTOP)
    time.sleep(2)
    child.send_signal(signal.SIGCONT)
    start = time.monotonic()
    assert children.finish(child)[0] == EXIT_WATCHDOG
    assert time.monotonic() - start < 30


def test_the_stacks_do_not_wait_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "log")
    code, _, err = children.run(HANG, tmp_path / "log", 1.0, 0)
    assert code == EXIT_WATCHDOG
    assert "in hang_here" in err


def test_beats_keep_it_quiet_and_leaving_ends_it(capfd):
    with Watchdog(1.5, startup_seconds=30) as watchdog:
        for _ in range(25):
            time.sleep(0.1)
            watchdog.beat()
    assert capfd.readouterr().err == ""
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


EVALUATE = """
import time
import jax.numpy as jnp
import numpy as np
from bert_jax.training.fit import sum_metrics
from bert_jax.training.parallel import DataParallel
from bert_jax.training.watchdog import Watchdog

def eval_step(params, batch):
    time.sleep(0.25)
    return {"n": (jnp.float32(1), jnp.float32(1))}

def evaluate(num):
    batches = [{"x": np.zeros(2, np.float32)}] * num
    return sum_metrics(eval_step, None, batches, DataParallel())

evaluate(1)
with Watchdog(1.5) as watchdog:
    watchdog.beat()
    print("evaluated", evaluate(12)["n"][0])
"""


def test_an_evaluation_may_take_long_as_long_as_batches_come():
    code, out, err = children.run(EVALUATE)
    assert code == 0, err
    assert "evaluated 12" in out
