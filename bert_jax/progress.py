"""Progress of long work, on stderr: a bar on a terminal, elsewhere a line a minute.

Standard output holds results alone, and work of a few seconds shows nothing. A thread of its own
does the drawing, so that to report progress costs the work next to nothing, and work that cannot
report any (a compilation, one call of a library) shows the time that it has taken.

Example:
    >>> with Progress("rows", total=len(bundles), unit="bundles") as progress:
    ...     for bundle in bundles:
    ...         build(bundle)
    ...         progress.advance()
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import rich.console
import rich.progress

QUIET_SECONDS = 3.0  # nothing is shown before
DRAW_SECONDS = 0.5  # between two drawings on a terminal
LOG_SECONDS = 60.0  # between two lines elsewhere

T = TypeVar("T")


class Progress:
    """Progress of one piece of work, while the context is open.

    Args:
        title: what is done, such as "vocabulary".
        total: amount of work; None if unknown.
        unit: what is counted, such as "rows"; empty: nothing is.
        summary: end with a line of the amount and the time, if it took long.
        shown: False shows nothing, as on all processes of a job but the first.
    """

    def __init__(
        self,
        title: str,
        total: float | None = None,
        unit: str = "",
        *,
        summary: bool = True,
        shown: bool = True,
    ):
        self.title, self.total, self.unit = title, total, unit
        self._summary, self._shown = summary, shown
        self._done: float = 0.0
        self._share: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> "Progress":
        self._began = time.monotonic()
        if self._shown:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        if self._shown:
            self._thread.join()
            seconds = time.monotonic() - self._began
            if kind is None and self._summary and seconds >= QUIET_SECONDS:
                with contextlib.suppress(OSError, ValueError):  # stderr is closed
                    print(self.summarize(seconds), file=sys.stderr, flush=True)

    def advance(self, amount: float = 1.0) -> None:
        """Add to the amount that is done."""
        self._done += amount

    def update(self, done: float, share: float | None = None) -> None:
        """Set the amount that is done, and, where there is no total, its share if it is known."""
        self._done, self._share = done, share

    @property
    def share(self) -> float | None:
        """The share of the work that is done, from 0 to 1; None if unknown."""
        share = self._done / self.total if self.total else self._share
        return None if share is None else min(share, 1.0)

    def describe(self, seconds: float) -> str:
        """Return what is done after a number of seconds, at which speed, and the time left."""
        share, parts = self.share, []
        if self.unit:
            total = f" of {self.total:,.0f}" if self.total else ""
            parts += [f"{self._done:,.0f}{total} {self.unit}", self._speed(seconds)]
        if share:
            parts += [f"{share:.0%}", f"{clock(seconds * (1 - share) / share)} left"]
        return ", ".join(parts) or clock(seconds)

    def summarize(self, seconds: float) -> str:
        """Return the line at the end."""
        if not self.unit:
            return f"{self.title}: {seconds:,.0f} s"
        done = f"{self._done:,.0f} {self.unit}"
        return f"{self.title}: {done} in {seconds:,.0f} s, {self._speed(seconds)}"

    def _speed(self, seconds: float) -> str:
        rate = self._done / max(seconds, 1e-9)
        return f"{rate:,.{0 if rate >= 10 else 1}f} {self.unit}/s"

    def _watch(self) -> None:
        """Show progress until the work ends; a closed terminal does not end the work."""
        with contextlib.suppress(OSError, ValueError):
            if is_terminal():
                self._draw()
                return
            while not self._ended.wait(LOG_SECONDS):
                text = self.describe(time.monotonic() - self._began)
                print(f"{self.title}: {text}", file=sys.stderr, flush=True)

    def _draw(self) -> None:
        if self._ended.wait(QUIET_SECONDS):
            return
        display = open_display()
        task = display.add_task(self.title, total=None, text="")
        try:
            while True:
                share = self.share
                text = self.describe(time.monotonic() - self._began)
                total = None if share is None else 1.0
                display.update(task, total=total, completed=share or 0.0, text=text)
                if self._ended.wait(DRAW_SECONDS):
                    return
        finally:
            display.remove_task(task)
            close_display()


def track(
    items: Iterable[T], title: str, total: float | None = None, unit: str = "", shown: bool = True
) -> Iterator[T]:
    """Yield all items, with their progress shown; no line at the end."""
    with Progress(title, total, unit, summary=False, shown=shown) as progress:
        for item in items:
            yield item
            progress.advance()


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, 4:05, or hours too, 1:04:05."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


# --- The display of this process: rich draws one at a time, with a line for each piece of work ----

_lock = threading.Lock()
_displays: list[rich.progress.Progress] = []


def is_terminal() -> bool:
    """Return whether stderr is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def open_display(console: rich.console.Console | None = None) -> rich.progress.Progress:
    """Return the display that is open, or open one; its tasks have a field `text`.

    Args:
        console: where a new one is drawn, and stays when it is closed. None: on stderr, where it
            vanishes.
    """
    with _lock:
        if _displays:
            display = _displays[-1]
        else:
            display = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}", markup=False),
                rich.progress.BarColumn(bar_width=None),
                rich.progress.TextColumn("{task.fields[text]}", markup=False),
                console=console or rich.console.Console(stderr=True),
                transient=console is None,
                expand=True,
                refresh_per_second=4,
                redirect_stdout=sys.stdout.isatty(),  # text for a file or a pipe goes there
                redirect_stderr=sys.stderr.isatty(),
            )
            display.start()
        _displays.append(display)
        return display


def close_display() -> None:
    """Close what `open_display` returned; the last call removes the display."""
    with _lock:
        display = _displays.pop()
        if not _displays:
            display.stop()
