"""Progress of predictions: rows per second and time left, on stderr."""

import sys
import time
from collections.abc import Callable

QUIET_SECONDS = 3.0  # no progress is shown before
CLEAR = "\r\x1b[K"  # to the start of a terminal's line, and erase it
TERMINAL_SECONDS, LOG_SECONDS = 1.0, 60.0  # between two progress lines


class Progress:
    """Rows per second and time left, on stderr: on one line of a terminal, else a line a minute.

    Args:
        fraction: how much of the input was read, from 0 to 1; None if unknown.
        now: the clock, in seconds.
    """

    def __init__(
        self, fraction: Callable[[], float | None], now: Callable[[], float] = time.monotonic
    ):
        self._fraction, self._now = fraction, now
        self._start = now()
        self._is_terminal = sys.stderr.isatty()
        self._next = self._start + (QUIET_SECONDS if self._is_terminal else LOG_SECONDS)
        self._rows = 0
        self._read: float | None = 0.0

    def start_chunk(self, size: int) -> Callable[[float], None]:
        """Return a function that takes the share of a chunk, just read, that is done."""
        rows, before, after = self._rows, self._read, self._fraction()
        self._rows += size
        self._read = after

        def show(share: float) -> None:
            if self._now() < self._next:
                return
            known = before is not None and after is not None
            done = before + share * (after - before) if known else None
            self._show(rows + share * size, done)

        return show

    def end(self) -> None:
        """Print rows and time of the whole, if it took long."""
        seconds = self._now() - self._start
        if seconds >= QUIET_SECONDS:
            rate = per_second(self._rows, seconds)
            text = f"{self._rows:,} rows in {seconds:,.0f} s, {rate}"
            print(f"{CLEAR if self._is_terminal else ''}{text}", file=sys.stderr)

    def _show(self, rows: float, done: float | None) -> None:
        seconds = self._now() - self._start
        text = f"{rows:,.0f} rows, {per_second(rows, seconds)}"
        if done:
            minutes, rest = divmod(round(seconds * (1 - done) / done), 60)
            text += f", {done:.0%}, {minutes}:{rest:02} left"
        if self._is_terminal:
            print(f"{CLEAR}{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
        self._next = self._now() + (TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS)


def per_second(rows: float, seconds: float) -> str:
    """Return a rate, with a decimal if it is small."""
    rate = rows / seconds
    return f"{rate:,.{0 if rate >= 10 else 1}f} rows/s"
