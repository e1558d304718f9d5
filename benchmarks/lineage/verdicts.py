"""The table of checks with which each benchmark ends, and its exit code."""

from collections.abc import Sequence
from typing import NamedTuple


class Verdict(NamedTuple):
    """Result of one check."""

    check: str
    """Model and measure."""
    expected: str
    """The threshold."""
    measured: str
    """The mean over the seeds, or the value of every seed."""
    passed: bool


def print_verdicts(title: str, verdicts: Sequence[Verdict]) -> int:
    """Print the table; return 0 if everything passed, else 1."""
    print(f"\n{title}")
    table = [Verdict._fields[:3], *(verdict[:3] for verdict in verdicts)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    results = ["", *("PASS" if verdict.passed else "FAIL" for verdict in verdicts)]
    for row, result in zip(table, results, strict=True):
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join([*cells, result]).rstrip())
    return int(not all(verdict.passed for verdict in verdicts))
