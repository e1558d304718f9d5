import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest

from bert_jax.corpus.workers import _submit_without_interrupts
from bert_jax.errors import ConfigError, DataError
from bert_jax.reading.formats import NotTextError
from tests.small_texts import make_text

ROOT = Path(__file__).parent.parent.parent
ORPHANS = """
import concurrent.futures, multiprocessing, os, sys, time
from bert_jax.corpus.workers import _start_worker
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(1, context, _start_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


def wait_until(condition, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.usefixtures("hangup_heard")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_worker_ends_with_its_parent(tmp_path, number):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        worker = int(parent.stdout.readline())
        assert is_alive(worker)
        parent.send_signal(number)
        assert wait_until(lambda: not is_alive(worker), 10)


@pytest.mark.parametrize(
    "error",
    [DataError("wrong", "this", "do that"), ConfigError("a", "b", "c"), NotTextError("a", "noise")],
)
def test_an_error_comes_out_of_a_worker_as_it_was(error):
    copy = ForkingPickler.loads(ForkingPickler.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


HALF_A_RESULT = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from bert_jax.corpus.workers import _kill_workers
def half():
    import gc
    from multiprocessing.queues import SimpleQueue
    (queue,) = [q for q in gc.get_objects() if isinstance(q, SimpleQueue)]
    os.write(queue._writer.fileno(), b"\\0\\0\\1\\0half")
    time.sleep(600)
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    pool.submit(half)
    time.sleep(3)
    _kill_workers(pool, multiprocessing.active_children())
    pool.shutdown(cancel_futures=True)
    print("done")
"""


def test_workers_that_are_killed_in_the_middle_of_a_result_are_not_waited_for(tmp_path):
    script = tmp_path / "half.py"
    script.write_text(HALF_A_RESULT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    assert done.stdout == "done\n"


def test_a_worker_never_sees_ctrl_c():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        asked = _submit_without_interrupts(pool, signal.pthread_sigmask, signal.SIG_BLOCK, ())
        assert signal.SIGINT in asked.result()  # type: ignore[operator]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def start_prepare(folder: Path, num_copies: int) -> tuple[subprocess.Popen, list[int]]:
    """Start prepare.py in a process group of its own; return it when its two workers write."""
    folder.mkdir(exist_ok=True)
    (folder / "text.txt").write_text("\n".join(make_text(400, seed) for seed in range(num_copies)))
    command = [sys.executable, "prepare.py", str(folder / "text.txt"), "--output",
               str(folder / "out"), "--vocab-size", "300", "--workers", "2", "--bundle-mb", "0.05",
               "--dupe-factor", "30", "--lengths", "32", "64"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert wait_until(lambda: any((folder / "out").glob("T32/*.tmp")), 120)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return process, list(map(int, children.split()))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "stopped by Ctrl-C\n"),
        (signal.SIGTERM, 143, "stopped by SIGTERM\n"),
        (signal.SIGHUP, 129, "stopped by SIGHUP\n"),
    ],
)
def test_a_stopped_prepare_says_one_line_and_leaves_nothing(tmp_path, number, code, message):
    process, workers = start_prepare(tmp_path, 12)
    if number == signal.SIGINT:  # the terminal sends it to all of them
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, message)
    assert wait_until(lambda: not any(map(is_alive, workers)), 10)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["LOCK", "tokenizer"]
