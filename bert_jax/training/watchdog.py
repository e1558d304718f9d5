"""Watchdog that ends a process without progress, after printing where it hangs."""

import contextlib
import faulthandler
import os
import signal
import threading
import time
from pathlib import Path

from bert_jax.errors import EXIT_WATCHDOG

_entered: list["Watchdog"] = []


def beat() -> None:
    """Report progress to the active watchdog, if there is one."""
    for watchdog in _entered:
        watchdog.beat()


class Watchdog:
    """Context manager that ends the process, with exit code 6, after `seconds` without a beat.

    It first writes every thread's stack to stderr and to `log`. Child processes are killed too: a
    data worker that outlives the run would keep its pipes and its memory.

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

    def __enter__(self) -> "Watchdog":
        self._last = time.monotonic()
        self._thread.start()
        _entered.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _entered.remove(self)
        self._done.set()
        self._thread.join()

    def beat(self) -> None:
        """Report progress."""
        self._limit, self._last = self._seconds, time.monotonic()

    def _watch(self) -> None:
        try:
            while not self._done.is_set():
                left = self._last + self._limit - time.monotonic()
                if left <= 0:
                    self._end()
                # Python threads cannot run while something holds the interpreter's lock forever;
                # faulthandler's thread needs no lock, but can only exit with code 1.
                faulthandler.dump_traceback_later(left + self._seconds, exit=True, file=2)
                self._done.wait(min(left, self._seconds / 4))
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _end(self) -> None:
        message = f"no progress for {self._limit:g} s: ending the process. All stacks:\n"
        with contextlib.ExitStack() as stack:
            handles = [2]
            with contextlib.suppress(OSError):
                if self._log:
                    handles.append(stack.enter_context(self._log.open("a")).fileno())
            for handle in handles:
                with contextlib.suppress(OSError):
                    os.write(handle, message.encode())
                    faulthandler.dump_traceback(file=handle, all_threads=True)
        for child in _descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        os._exit(EXIT_WATCHDOG)


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
