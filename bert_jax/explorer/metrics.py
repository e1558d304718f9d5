"""A run's metrics.jsonl, read while it grows, as points to draw.

However long the file is, a curve has at most MAX_POINTS points: each stands for the records of so
many steps, with their mean and range. So memory and answers are bounded, and a record is read once.
"""

import contextlib
import json
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

from bert_jax.filesystem import open_regular

MAX_POINTS = 1000  # of a curve; a page is about as many pixels wide
MAX_METRICS = 60  # of a record; the others are left out
MAX_BYTES = 1 << 24  # that are read at once: about half a second
MAX_LINE = 1 << 20  # a longer line is no record
NUM_TAIL = 256  # bytes before the current place, by which a file that was replaced is known
SPLITS = ("train", "eval")
DIGITS = 7  # of a number that is sent


class Point:
    """The records of a range of steps: of each number its count, sum, least and largest value."""

    def __init__(self, first_step: int):
        self.first_step = first_step
        self.sums: dict[str, list[float]] = {}

    def add(self, values: dict[str, float]) -> None:
        """Add a record."""
        sums = self.sums
        for name, x in values.items():
            found = sums.get(name)
            if found is None:
                sums[name] = [1, x, x, x]
                continue
            found[0] += 1
            found[1] += x
            if x < found[2]:
                found[2] = x
            if x > found[3]:
                found[3] = x

    def join(self, other: "Point") -> None:
        """Add the records of another point."""
        for name, (count, total, low, high) in other.sums.items():
            c, t, a, b = self.sums.get(name, (0, 0.0, low, high))
            self.sums[name] = [c + count, t + total, min(a, low), max(b, high)]


class Curves:
    """All numbers of one split over the steps.

    Args:
        max_points: the most points, at least 2; from there on, each stands for twice as many steps.
    """

    def __init__(self, max_points: int = MAX_POINTS):
        self.points: list[Point] = []
        self.width = 1  # steps of a point
        self._max_points = max_points

    def add(self, step: int, values: dict[str, float]) -> bool:
        """Add a record; return whether points that are there were joined."""
        if not self.points or self.points[-1].first_step // self.width != step // self.width:
            self.points.append(Point(step))
        self.points[-1].add(values)
        if len(self.points) <= self._max_points:
            return False
        while len(self.points) > self._max_points:
            self.width *= 2
            points, self.points = self.points, []
            for point in points:
                number = point.first_step // self.width
                if not self.points or self.points[-1].first_step // self.width != number:
                    self.points.append(Point(point.first_step))
                self.points[-1].join(point)
        return True

    def drop_after(self, step: int) -> None:
        """Drop the points of later steps."""
        while self.points and self.points[-1].first_step > step:
            self.points.pop()

    def columns(self, start: int = 0) -> dict[str, Any]:
        """Return the points from a number on, as JSON: {"mean": {name: [...]}, "low", "high"}.

        "low" and "high" are there only where a point stands for several records.
        """
        points = self.points[start:]
        names = sorted({name for point in points for name in point.sums})
        columns: dict[str, Any] = {"mean": {}, "low": {}, "high": {}}
        for name in names:
            found = [point.sums.get(name) for point in points]
            columns["mean"][name] = [x and short(x[1] / x[0]) for x in found]
            if any(x is not None and x[0] > 1 for x in found):
                columns["low"][name] = [x and short(x[2]) for x in found]
                columns["high"][name] = [x and short(x[3]) for x in found]
        return columns


class MetricsFile:
    """The records of a metrics.jsonl; `read` goes on where it ended."""

    def __init__(self, path: Path, max_points: int = MAX_POINTS):
        self.path = path
        self._max_points, self._version = max_points, 0
        self._start()

    def _start(self) -> None:
        self.curves = {split: Curves(self._max_points) for split in SPLITS}
        self.step = self.num_records = self.num_not_finite = 0
        self.first_time: float | None = None
        self.last_time: float | None = None
        self.last: dict[str, dict[str, float]] = {}
        """The newest record of each split."""
        self._place, self._tail, self._rest, self._skips = 0, b"", b"", False
        self._tokens, self._tokens_per_step, self._token_step = 0.0, None, 0
        self._version += 1  # what was sent before is void

    def read(self, max_bytes: int = MAX_BYTES) -> bool:
        """Read what is new; return whether there may be more.

        A file that is shorter than before, or another one, is read from its start. An absent file
        has no records yet; a last line without its end is waited for.

        Raises:
            UserError: the file cannot be read.
        """
        if not self.path.exists():
            if self._place:
                self._start()
            return False
        with open_regular(self.path) as file:
            file.seek(self._place - len(self._tail))
            if file.read(len(self._tail)) != self._tail:
                self._start()
                file.seek(0)
            new = file.read(max_bytes)
        self._place += len(new)
        self._tail = (self._tail + new[-NUM_TAIL:])[-NUM_TAIL:]
        *lines, self._rest = (self._rest + new).split(b"\n")
        if len(self._rest) > MAX_LINE:
            self._rest, self._skips = b"", True
        for number, line in enumerate(lines):
            if number or not self._skips:
                self._add(line)
        self._skips = self._skips and not lines
        return len(new) == max_bytes

    def send(self, known: tuple[int, dict[str, int]] | None) -> dict[str, Any]:
        """Return the points that a page does not have, as JSON.

        Args:
            known: "version" of an earlier answer, and how many points the page has of each split.
        """
        version, counts = known or (None, {})
        is_same = version == self._version
        start = {
            # the last point may have changed
            split: min(max(counts.get(split, 0) - 1, 0), len(curves.points)) if is_same else 0
            for split, curves in self.curves.items()
        }
        return {
            "version": self._version,
            "start": start,
            "splits": {split: c.columns(start[split]) for split, c in self.curves.items()},
            "width": max(curves.width for curves in self.curves.values()),
            "num_not_finite": self.num_not_finite,
        }

    def _add(self, line: bytes) -> None:
        """Add a line, if it is a record."""
        record: Any = None
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
        if not isinstance(record, dict) or record.get("split") not in SPLITS:
            return
        split, step, time = record.pop("split"), record.pop("step", None), record.pop("time", None)
        if type(step) is not int or not 0 <= step < 1 << 53:
            return
        if step < self.step:  # the run went on from an earlier step
            for curves in self.curves.values():
                curves.drop_after(step)
            self._tokens *= step / self.step
            self._token_step = step
            self._version += 1
        self.step = step
        self.num_records += 1
        if len(record) > MAX_METRICS:
            record = dict(islice(record.items(), MAX_METRICS))
        values = {name: x for name, x in record.items() if type(x) is float and isfinite(x)}
        if len(values) < len(record):
            others = [x for name, x in record.items() if name not in values]
            self.num_not_finite += any(x is None or type(x) is float for x in others)
            values |= {name: float(x) for name, x in record.items() if is_whole(x)}
        self.last[split] = values
        place: dict[str, float] = {"step": step}
        if type(time) is float and isfinite(time):
            self.first_time = time if self.first_time is None else self.first_time
            self.last_time = time
            place["time"] = time - self.first_time
        if split == "train":
            self._count_tokens(step, values)
        if self._tokens:
            place["tokens"] = self._tokens
        if self.curves[split].add(step, {**values, **place}):
            self._version += 1

    def _count_tokens(self, step: int, values: dict[str, float]) -> None:
        """Count the tokens of the steps since the last record by its speeds in tokens and steps."""
        tokens, steps = values.get("tokens_per_second"), values.get("steps_per_second")
        if tokens and steps:
            self._tokens_per_step = tokens / steps
        if self._tokens_per_step:
            self._tokens += (step - self._token_step) * self._tokens_per_step
            self._token_step = step


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number that a float can hold."""
    return type(value) is int and abs(value) < 1e300


def short(value: float) -> float:
    """Return a number with as many digits as a page shows."""
    return float(f"{value:.{DIGITS}g}")
