"""Rows of a table as a file yields them: numbered, with their values by column."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

NumberedRow = tuple[int, dict[str, Any]]
"""The number of a line, row or item, counted from 1, and its values by column."""


def _unknown() -> None:
    """Return None: it is not known how much was read."""


class Rows(NamedTuple):
    """The rows of an open table."""

    name: str
    """Its name for messages."""
    columns: tuple[str, ...]
    """Names from the header; "1", "2", … without a header; () where each row has its own."""
    rows: Iterator[NumberedRow]
    description: str
    """Format for log messages, for example "TSV with a header"."""
    has_header: bool = True
    """False if the columns have no names but their numbers."""
    fraction: Callable[[], float | None] = _unknown
    """Share that was read, from 0 to 1; None if unknown."""
    notes: Callable[[], str] = str
    """Further notes on the format, once all rows are read."""


def count_rows(rows: Rows, total: int) -> Rows:
    """Return the same rows, which know how many of `total` were read."""
    read = 0

    def counted() -> Iterator[NumberedRow]:
        nonlocal read
        for row in rows.rows:
            read += 1
            yield row

    def fraction() -> float:
        return min(1.0, read / max(total, 1))

    return rows._replace(rows=counted(), fraction=fraction)
