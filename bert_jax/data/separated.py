"""Rows of TSV and CSV: each is fields, or rejected with a reason.

TSV is read without quoting: a quote in it is a character like any other.
"""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from bert_jax.data.rejects import Rejects
from bert_jax.errors import DataError

csv.field_size_limit(1 << 30)
NAME_WORDS = 3  # words that a column's name may have


class Fields(NamedTuple):
    """One row, and where it stands."""

    line: int
    """Its first line, counted from 1."""
    fields: list[str]
    num_lines: int = 1
    """More than 1 where a quoted field holds line breaks."""


def is_quoted(text: str, is_csv: bool) -> bool:
    """Whether rows are CSV: by the file's name, unless its first lines say otherwise."""
    sample = [line for line in text.split("\n", 50)[:50] if line.strip()]
    tabs, commas = (bool(sample) and all(c in line for line in sample) for c in "\t,")
    return not tabs if is_csv else commas and not any("\t" in line for line in sample)


def separated_rows(name: str, text: str, quoted: bool, rejects: Rejects) -> Iterator[Fields]:
    """The rows of a TSV file or, quoted, of a CSV file; blank ones are rejected.

    Blank lines that end the file are no rows. Of a row whose quotes do not pair every line is
    rejected: each may have been meant as a row.

    Raises:
        DataError: a quote is opened and never closed.
    """
    text = text.rstrip("\n")
    if not text:
        return
    for row in _csv_rows(name, text, rejects) if quoted else _tsv_rows(text):
        if any(field.strip() for field in row.fields):
            yield row
        else:
            reject(name, row, "blank row", rejects)


def reject(name: str, row: Fields, reason: str, rejects: Rejects) -> None:
    """Rejects a row; where it has several lines each counts, as a stray quote may have joined rows.

    So rows are never lost uncounted.
    """
    for line in range(row.line, row.line + row.num_lines):
        rejects.add(f"{name}:{line}", reason, row.fields)


def is_header(rows: Sequence[Sequence[str]], known: Collection[str], asked: Sequence[str]) -> bool:
    """Whether the first row names the columns.

    It does where it holds a name that was asked for (numbers count columns, and are none), or two
    known ones. One alone may be a text: then no cell may be a number, long, or a value below, too.
    """
    cells = [cell.strip() for cell in rows[0]]
    if any(cell in asked and not cell.isdecimal() for cell in cells):
        return True
    num_known = sum(cell.lower() in known for cell in cells)
    if num_known != 1:
        return num_known > 1
    below = [{row[i].strip() for row in rows[1:] if i < len(row)} for i in range(len(cells))]
    return not any(
        cell and (_is_number(cell) or len(cell.split()) > NAME_WORDS or cell in values)
        for cell, values in zip(cells, below, strict=True)
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _tsv_rows(text: str) -> Iterator[Fields]:
    for number, line in enumerate(text.split("\n"), 1):
        yield Fields(number, line.split("\t"))


def _csv_rows(name: str, text: str, rejects: Rejects) -> Iterator[Fields]:
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(iter(lines), strict=True)
    while True:
        start = reader.line_num
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise DataError(
                    f"{name}:{start + 1}: a quote is opened in this row and never closed",
                    'quotes in pairs, a quote inside of a field doubled ("")',
                    "mend the row, or save the table as TSV, where quotes mean nothing",
                ) from None
            reason = "a quote inside of a quoted field is not doubled"
            for number in range(start, reader.line_num):
                rejects.add(f"{name}:{number + 1}", reason, lines[number].rstrip("\n"))
            continue
        yield Fields(start + 1, fields, reader.line_num - start)
