"""Rejected rows: counted by reason, kept with the file and line they come from."""

import json
from pathlib import Path
from typing import Any

from bert_jax.filesystem import write_text

EXAMPLES_SHOWN = 3
BLANK_ROW = "blank row"


class Rejects:
    """Rows that cannot be used, each with its place (file:line) and a reason."""

    def __init__(self):
        self.rows: list[dict[str, str]] = []

    def add(self, place: str, reason: str, row: Any) -> None:
        """Reject one row."""
        text = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=str)
        self.rows.append({"place": place, "reason": reason, "row": text[:1000]})

    def count(self, start: int = 0) -> int:
        """Return the number of rejected rows from `start` on, without blank ones."""
        return sum(row["reason"] != BLANK_ROW for row in self.rows[start:])

    def summary(self, start: int = 0) -> list[str]:
        """Return a line for each reason, with a count and the first places.

        Args:
            start: how many of the first rejected rows to leave out.
        """
        places: dict[str, list[str]] = {}
        for row in self.rows[start:]:
            places.setdefault(row["reason"], []).append(row["place"])
        return [
            f"{len(of_reason):,} rejected: {reason} ({', '.join(of_reason[:EXAMPLES_SHOWN])}"
            f"{', …' if len(of_reason) > EXAMPLES_SHOWN else ''})"
            for reason, of_reason in places.items()
        ]

    def write(self, path: Path) -> None:
        """Write all of them as JSON, one object per line."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        write_text(path, "".join(lines))
