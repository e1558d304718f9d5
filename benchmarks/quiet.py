"""Timing on a virtual machine whose host may run other machines on the same cores."""

import math
import os
import time
from collections.abc import Callable

MAX_STOLEN = 0.02  # share of all cores' time
MAX_TRIES = 8


def time_quietly(run: Callable[[], float]) -> tuple[float, bool]:
    """Call a function that returns the seconds it took, again while the host disturbs it.

    Returns:
        Seconds of the last try, and True if that one was quiet: the host took less than MAX_STOLEN
        of the cores' time, or the system does not count that time.
    """
    seconds = math.nan
    for _ in range(MAX_TRIES):
        share_since = watch_host()
        seconds = run()
        if share_since() < MAX_STOLEN:
            return seconds, True
    return seconds, False


def watch_host() -> Callable[[], float]:
    """Return a function that returns the share of all cores' time that the host took since then."""
    start, before = time.perf_counter(), stolen_seconds()

    def share_since() -> float:
        seconds = time.perf_counter() - start
        return (stolen_seconds() - before) / seconds / (os.cpu_count() or 1)

    return share_since


def stolen_seconds() -> float:
    """Return the time that the host took from all cores since boot: `steal` in /proc/stat."""
    try:
        with open("/proc/stat") as file:
            return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    except FileNotFoundError:
        return 0.0
