"""Rejected rows: counted by reason, kept with the file and line they come from."""

import json
from pathlib import Path
from typing import Any

EXAMPLES_SHOWN = 3


class Rejects:
    """Rows that cannot be used, each with its place (file:line) and a reason."""

    def __init__(self):
        self.rows: list[dict[str, str]] = []

    def add(self, place: str, reason: str, row: Any) -> None:
        """Reject one row."""
        text = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=str)
        self.rows.append({"place": place, "reason": reason, "row": text[:1000]})

    def summary(self) -> list[str]:
        """Return a line for each reason, with a count and the first places."""
        places: dict[str, list[str]] = {}
        for row in self.rows:
            places.setdefault(row["reason"], []).append(row["place"])
        return [
            f"{len(of_reason):,} rejected: {reason} ({', '.join(of_reason[:EXAMPLES_SHOWN])}"
            f"{', …' if len(of_reason) > EXAMPLES_SHOWN else ''})"
            for reason, of_reason in places.items()
        ]

    def write(self, path: Path) -> None:
        """Write all of them as JSON, one object per line."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        path.write_text("".join(lines), encoding="utf-8", errors="replace")
