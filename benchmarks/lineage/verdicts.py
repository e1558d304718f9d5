"""What every row of the acceptance suite ends with: a table of checks, and an exit code."""

from collections.abc import Sequence
from typing import NamedTuple


class Verdict(NamedTuple):
    """One check."""

    what: str
    """Model and measure."""
    wanted: str
    """The threshold, in words."""
    found: str
    """What was measured, of every seed."""
    passed: bool


def print_verdicts(title: str, verdicts: Sequence[Verdict]) -> int:
    """Prints the table; returns 0 if everything passed, else 1."""
    print(f"\n{title}")
    table = [Verdict._fields[:3], *(verdict[:3] for verdict in verdicts)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    results = ["", *("PASS" if verdict.passed else "FAIL" for verdict in verdicts)]
    for row, result in zip(table, results, strict=True):
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join([*cells, result]).rstrip())
    return int(not all(verdict.passed for verdict in verdicts))
