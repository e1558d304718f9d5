"""Rows of TSV and CSV files: each one is split into fields, or rejected with a reason.

TSV is read without quoting: a quote is a character like any other.
"""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects

csv.field_size_limit(1 << 30)
MAX_NAME_WORDS = 3  # words in the name of a column


class Fields(NamedTuple):
    """The fields of one row, with its line number."""

    line: int
    """Its first line, counted from 1."""
    fields: list[str]
    num_lines: int = 1
    """Lines of the row: more than 1 if a quoted field contains line breaks."""


def is_quoted(text: str, is_csv: bool) -> bool:
    """Return whether rows are CSV: by the file's name, unless its first lines contradict it."""
    sample = [line for line in text.split("\n", 50)[:50] if line.strip()]
    tabs, commas = (bool(sample) and all(c in line for line in sample) for c in "\t,")
    return not tabs if is_csv else commas and not any("\t" in line for line in sample)


def delimited_rows(name: str, text: str, quoted: bool, rejects: Rejects) -> Iterator[Fields]:
    """Yield the rows of a TSV file or, if `quoted`, of a CSV file; blank ones are rejected.

    Blank lines at the end of the file are not rows. If the quotes of a row do not pair up, each of
    its lines is rejected, as each may have been meant as a row.

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
            reject_row(name, row, "blank row", rejects)


def reject_row(name: str, row: Fields, reason: str, rejects: Rejects) -> None:
    """Reject a row, line by line: a stray quote may have joined several rows into one.

    Counting every line makes sure that no row is lost uncounted.
    """
    for line in range(row.line, row.line + row.num_lines):
        rejects.add(f"{name}:{line}", reason, row.fields)


def is_header(rows: Sequence[Sequence[str]], known: Collection[str], asked: Sequence[str]) -> bool:
    """Return whether the first row names the columns.

    It does if it contains a requested name (a number is an index, not a name) or two known ones. A
    single known name may be a text by accident: then, no cell of the row may be a number, longer
    than MAX_NAME_WORDS, or a value of its column.

    Args:
        rows: the first rows of the file.
        known: names in lower case that columns often have.
        asked: columns that the user asked for, by name or number.
    """
    cells = [cell.strip() for cell in rows[0]]
    if any(cell in asked and not cell.isdecimal() for cell in cells):
        return True
    num_known = sum(cell.lower() in known for cell in cells)
    if num_known != 1:
        return num_known > 1
    below = [{row[i].strip() for row in rows[1:] if i < len(row)} for i in range(len(cells))]
    return not any(
        cell and (_is_number(cell) or len(cell.split()) > MAX_NAME_WORDS or cell in values)
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
                    'paired quotes, with quotes inside a field doubled ("")',
                    "fix the row, or save the table as TSV, where quotes have no meaning",
                ) from None
            reason = "a quote inside a quoted field is not doubled"
            for number in range(start, reader.line_num):
                rejects.add(f"{name}:{number + 1}", reason, lines[number].rstrip("\n"))
            continue
        yield Fields(start + 1, fields, reader.line_num - start)
