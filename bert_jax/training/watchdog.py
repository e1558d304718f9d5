"""Watchdog that ends a process without progress, after printing where it hangs."""

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from bert_jax.errors import EXIT_WATCHDOG

_entered: list["Watchdog"] = []

# A process that aborts its parent, whose threads stopped writing to the pipe: Python threads cannot
# run while something holds the interpreter's lock forever. It counts its own waits, and none while
# the parent is stopped (state T): a suspended process is not a hang.
_MONITOR = """
import os, select, signal, sys
parent, seconds, missed = int(sys.argv[1]), float(sys.argv[2]), 0
while missed < 8:
    if select.select([0], [], [], seconds / 4)[0]:
        missed = 0
        if not os.read(0, 4096):
            sys.exit()
    else:
        try:
            state = open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()[0]
        except OSError:
            state = "?"
        missed += state not in "Tt"
    if os.getppid() != parent:
        sys.exit()
os.kill(parent, signal.SIGABRT)
"""


def beat() -> None:
    """Report progress to the active watchdog, if there is one."""
    for watchdog in _entered:
        watchdog.beat()


class Watchdog:
    """Context manager that ends the process, with exit code 6, after `seconds` without a beat.

    It first writes every thread's stack to stderr and to `log`. Child processes are killed too: a
    data worker that outlives the run would keep its pipes and its memory. Time in which the process
    is suspended does not count. Where the interpreter itself hangs, the process is aborted.

    Args:
        seconds: longest time between two beats.
        log: file that the stacks are appended to.
        startup_seconds: time until the first beat, with compilation. None: twice `seconds`.
    """

    def __init__(
        self, seconds: float, log: Path | None = None, startup_seconds: float | None = None
    ):
        self._seconds, self._log = seconds, log
        self._limit = 2 * seconds if startup_seconds is None else startup_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._monitor: subprocess.Popen | None = None

    def __enter__(self) -> "Watchdog":
        if not faulthandler.is_enabled():
            faulthandler.enable(file=2)  # all stacks, when the monitor aborts the process
        with contextlib.suppress(OSError):  # no room for another process
            self._monitor = _start_monitor(self._seconds)
        self._last = time.monotonic()
        self._thread.start()
        _entered.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _entered.remove(self)
        self._done.set()
        self._thread.join()
        if self._monitor is not None:
            self._monitor.kill()
            self._monitor.communicate()

    def beat(self) -> None:
        """Report progress."""
        self._limit, self._last = self._seconds, time.monotonic()

    def _watch(self) -> None:
        while not self._done.is_set():
            start = time.monotonic()
            left = self._last + self._limit - start
            if left <= 0:
                self._end()
            if self._monitor is not None:
                with contextlib.suppress(OSError):
                    os.write(self._monitor.stdin.fileno(), b".")  # type: ignore[union-attr]
            wait = min(left, self._seconds / 4)
            self._done.wait(wait)
            # A thread that wakes late was suspended, and so was all the rest.
            now = time.monotonic()
            self._last = min(self._last + max(0.0, now - start - wait), now)

    def _end(self) -> None:
        message = f"no progress for {self._limit:g} s: ending the process. All stacks:\n"
        with contextlib.ExitStack() as stack:
            handles = [2]
            with contextlib.suppress(OSError):
                if self._log:  # a pipe without a reader is refused, and not waited for
                    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
                    handles.append(os.open(self._log, flags, 0o666))
                    stack.callback(os.close, handles[1])
            for handle in handles:
                with contextlib.suppress(OSError):
                    os.write(handle, message.encode())
                    faulthandler.dump_traceback(file=handle, all_threads=True)
        for child in _descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        os._exit(EXIT_WATCHDOG)


def _start_monitor(seconds: float) -> subprocess.Popen:
    monitor = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _MONITOR, str(os.getpid()), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C and a closed terminal are not for it
    )
    os.set_blocking(monitor.stdin.fileno(), False)  # type: ignore[union-attr]
    return monitor


def _descendants(pid: int) -> list[int]:
    """Return the ids of all descendants of a process; none on systems without /proc."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    descendants = list(children.get(pid, []))
    for child in descendants:
        descendants += children.get(child, [])
    return descendants
