"""Rows that are not used: counted by reason, kept with their places."""

import json
from pathlib import Path
from typing import Any

EXAMPLES_SHOWN = 3


class Rejects:
    """Rows that are not used: how many for each reason, and each with its place."""

    def __init__(self):
        self.rows: list[dict[str, str]] = []

    def add(self, place: str, reason: str, row: Any) -> None:
        """Rejects one row."""
        text = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=str)
        self.rows.append({"place": place, "reason": reason, "row": text[:1000]})

    def summary(self) -> list[str]:
        """A line for each reason, with the first places."""
        places: dict[str, list[str]] = {}
        for row in self.rows:
            places.setdefault(row["reason"], []).append(row["place"])
        return [
            f"{len(found):,} rejected: {reason} ({', '.join(found[:EXAMPLES_SHOWN])}"
            f"{', …' if len(found) > EXAMPLES_SHOWN else ''})"
            for reason, found in places.items()
        ]

    def write(self, path: Path) -> None:
        """Writes all of them, a JSON object a line."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        path.write_text("".join(lines), encoding="utf-8", errors="replace")
