"""The benchmark's table: rows that stages append to a file, as JSON and as Markdown."""

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bert_jax.filesystem import write_text

Verdict = bool | None


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: a measurement, a check, or both."""

    stage: str
    """Stage that wrote it."""
    name: str
    """Name of the line; a later line of the same stage and name replaces an earlier one."""
    value: float | str | None = None
    """Measured value. None: there is none, for the reason in `note`."""
    unit: str = ""
    """Unit of the value."""
    note: str = ""
    """Conditions, bounds, or why there is no value."""
    passed: Verdict = None
    """Result of a check. None: the line checks nothing."""
    samples: tuple[float, ...] = ()
    """Measurements of which the value is the median, in its unit; in table.json only."""


def append_row(path: Path, row: Row) -> None:
    """Add a line to a file of one JSON object per line, so that a killed stage keeps it."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dataclasses.asdict(row)) + "\n")


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file in the order in which their names first appeared."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # a line cut short has no end
    rows = list(map(parse_row, lines))
    return list({(row.stage, row.name): row for row in rows}.values())


def parse_row(line: str) -> Row:
    """Return the row of a line of JSON."""
    fields: Any = json.loads(line)
    fields["samples"] = tuple(fields["samples"])
    return Row(**fields)


def has_failed(rows: Iterable[Row]) -> bool:
    """Return True if a check or a stage has failed."""
    return any(row.passed is False for row in rows)


def write_table(folder: Path, rows: list[Row]) -> None:
    """Write `table.json` and `table.md`."""
    values = [dataclasses.asdict(row) for row in rows]
    write_text(folder / "table.json", json.dumps(values, indent=1) + "\n")
    write_text(folder / "table.md", "\n".join(markdown(rows)) + "\n")


def markdown(rows: list[Row]) -> list[str]:
    """Format the rows as a Markdown table."""
    lines = ["| stage | | value | check | note |", "|---|---|--:|---|---|"]
    for row in rows:
        verdict = {None: "", True: "ok", False: "FAILED"}[row.passed]
        cells = (row.stage, row.name, format_value(row.value, row.unit), verdict, row.note)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def format_value(value: float | str | None, unit: str) -> str:
    """Format a value with its unit, to three digits at least; a share as a percentage."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if unit == "share":
        return f"{value:.1%}"
    if value == 0 or not math.isfinite(value):
        number = f"{value:g}"
    elif abs(value) < 1e-3:
        number = f"{value:.1e}"
    else:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        number = f"{value:,.{digits}f}"
    return f"{number} {unit}".rstrip()


def file_name(stage: str) -> str:
    """Return the name of a stage's files, without an ending."""
    return stage.replace(",", "").replace(" ", "-")
