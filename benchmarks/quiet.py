"""Timing on a virtual machine, whose host may lend its cores to others for a while."""

import math
import os
import time
from collections.abc import Callable

MOST_STOLEN = 0.02  # share of all cores' time
TRIES = 8


def time_quietly(run: Callable[[], float]) -> tuple[float, bool]:
    """Runs something that says how many seconds it took, again while the host disturbs it.

    Returns:
        Seconds of the last try, and whether that one was quiet: the host kept less than
        MOST_STOLEN of the cores' time from this machine. Where no one counts that, all is quiet.
    """
    seconds = math.nan
    for _ in range(TRIES):
        start, before = time.perf_counter(), stolen()
        seconds = run()
        share = (stolen() - before) / (time.perf_counter() - start) / (os.cpu_count() or 1)
        if share < MOST_STOLEN:
            return seconds, True
    return seconds, False


def stolen() -> float:
    """Seconds that the host kept from all cores since the start: `steal` in Linux's /proc/stat."""
    try:
        with open("/proc/stat") as file:
            return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    except FileNotFoundError:
        return 0.0
