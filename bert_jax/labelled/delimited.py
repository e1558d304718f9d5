"""Rows of TSV and CSV files: each one is split into fields, or rejected with a reason.

TSV is read without quoting: a quote is a character like any other.
"""

import csv
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from bert_jax.errors import DataError
from bert_jax.labelled.files import (
    MAX_LINE_BYTES,
    Line,
    LineReader,
    drop_trailing_blanks,
)
from bert_jax.labelled.rejects import BLANK_ROW, Rejects
from bert_jax.labelled.rows import NumberedRow, Rows
from bert_jax.reading.delimited import unclosed_quote_error
from bert_jax.reading.formats import plain_name

csv.field_size_limit(MAX_LINE_BYTES)
TAB = "\t"
CSV_DELIMITERS = (",", ";", "|")  # the first one wins a tie
HEAD_ROWS = 1000  # rows that the first one is compared with, to tell whether it is a header
SAMPLE_LINES = 50  # nonblank lines by which the delimiter is found
SAMPLE_CHARS = 10_000  # of each of them
MAX_NAME_WORDS = 3  # words in the name of a column
MISSING = {"na", "n/a", "nan", "none", "null"}  # values that are no name of a column


class Fields(NamedTuple):
    """The fields of one row, with its line number."""

    line: int
    """Its first line, counted from 1."""
    fields: list[str]
    num_lines: int = 1
    """Lines of the row: more than 1 if a quoted field contains line breaks."""


def open_delimited(
    reader: LineReader,
    is_csv: bool,
    rejects: Rejects,
    known: Collection[str],
    asked: Sequence[str],
    by_content: bool = True,
) -> Rows:
    """Open a TSV or CSV file: find its delimiter and, in its header or by number, its columns.

    Args:
        reader: the file.
        is_csv: the file's name, or the user, says CSV.
        rejects: takes rows that cannot be read.
        known: see `is_header`.
        asked: see `is_header`.
        by_content: look for the delimiter in the first lines, also of what is called TSV.

    Raises:
        DataError: the header names a column twice; while iterating, an open quote.
    """
    name = reader.place
    first = (line.text for line in reader.peek(HEAD_ROWS) if not line.error)
    delimiter = find_delimiter(first, is_csv) if by_content or is_csv else TAB
    kind = "TSV" if delimiter == TAB else "CSV"
    if is_csv != (kind == "CSV") and plain_name(name).endswith((".csv", ".tsv")):
        kind += f" (by its content; it is named {plain_name(name)[-4:]})"
    if delimiter not in (TAB, ","):
        kind += f" with {delimiter!r} between fields,"
    rows = delimited_rows(name, reader, delimiter, rejects)
    head = list(itertools.islice(rows, HEAD_ROWS))
    if not head:
        return Rows(name, (), iter(()), kind)
    header = is_header([row.fields for row in head], known, asked)
    width = len(head[0].fields)
    columns = tuple(
        field.strip() if header else str(number) for number, field in enumerate(head[0].fields, 1)
    )
    if len(set(columns)) < width:
        raise DataError(
            f"{name}:{head[0].line}: the header names a column twice: {', '.join(columns)}",
            "different names",
            "rename one of them",
        )
    longest = Fields(0, [])  # the row of most lines
    num_multiline = 0

    def named_rows() -> Iterator[NumberedRow]:
        nonlocal longest, num_multiline
        for row in itertools.chain(head[1:] if header else head, rows):
            num_fields = len(row.fields)
            if num_fields < width or (header and num_fields > width):
                reject_row(name, row, f"{num_fields} fields, expected {width}", rejects)
                continue
            if row.num_lines > 1:
                num_multiline += 1
                longest = max(longest, row, key=lambda row: row.num_lines)
            # Without a header, more fields may follow: some rows of STS-B end with their sources.
            yield row.line, dict(zip(columns, row.fields, strict=False))

    def notes() -> str:
        if not num_multiline:
            return ""
        place = f"{name}:{longest.line} with {longest.num_lines:,}"
        return f"; {num_multiline:,} rows of several lines, the longest {place}"

    kind += f" {'with' if header else 'without'} a header"
    return Rows(name, columns, named_rows(), kind, header, reader.fraction, notes)


def find_delimiter(lines: Iterable[str], is_csv: bool) -> str:
    """Return the delimiter: by the file's name, unless its first lines contradict it.

    Args:
        lines: the first lines of the file.
        is_csv: the file's name says CSV.
    """
    sample = [line[:SAMPLE_CHARS] for line in lines if line.strip()][:SAMPLE_LINES]
    if sample and all(TAB in line for line in sample):
        return TAB
    if is_csv:
        return max(CSV_DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))
    if any(TAB in line for line in sample):
        return TAB
    everywhere = [c for c in CSV_DELIMITERS[:2] if sample and all(c in line for line in sample)]
    return max(everywhere, key=lambda c: _evenness(sample, c), default=TAB)


def _evenness(sample: Sequence[str], delimiter: str) -> float:
    """Return the share of lines with as many fields as most have, 0 if most have one field."""
    widths = Counter(len(row) for row in csv.reader(sample, delimiter=delimiter) if row)
    ((width, count),) = widths.most_common(1) or [(1, 0)]
    return count / len(sample) if width > 1 else 0.0


def delimited_rows(
    name: str, lines: Iterable[Line], delimiter: str, rejects: Rejects
) -> Iterator[Fields]:
    """Yield the rows of a TSV file or, if the delimiter is no tab, of a CSV file.

    Blank rows are rejected; blank lines at the end of the file are not rows. If the quotes of a row
    do not pair up, each of its lines is rejected, as each may have been meant as a row.

    Raises:
        DataError: a quote is opened and never closed.
    """
    lines = drop_trailing_blanks(lines)
    is_tsv = delimiter == TAB
    rows = _tsv_rows(name, lines, rejects) if is_tsv else _csv_rows(name, lines, delimiter, rejects)
    for row in rows:
        if any(field.strip() for field in row.fields):
            yield row
        else:
            reject_row(name, row, BLANK_ROW, rejects)


def split_line(line: str, delimiter: str) -> list[str]:
    """Return the fields of one line."""
    if delimiter == TAB:
        return line.split(TAB)
    return next(csv.reader([line[:SAMPLE_CHARS]], delimiter=delimiter), [""])


def reject_row(name: str, row: Fields, reason: str, rejects: Rejects) -> None:
    """Reject a row, line by line: a stray quote may have joined several rows into one.

    Counting every line makes sure that no row is lost uncounted.
    """
    for line in range(row.line, row.line + row.num_lines):
        rejects.add(f"{name}:{line}", reason, row.fields)


def is_header(rows: Sequence[Sequence[str]], known: Collection[str], asked: Sequence[str]) -> bool:
    """Return whether the first row names the columns.

    It does if it contains a requested name (a number is an index, not a name), two known ones, or a
    word above a column of numbers. A single known name may be a text by accident: then, no cell of
    the row may be a number, longer than MAX_NAME_WORDS, or a value of its column.

    Args:
        rows: the first rows of the file.
        known: names in lower case that columns often have.
        asked: columns that the user asked for, by name or number.
    """
    cells = [cell.strip() for cell in rows[0]]
    if any(cell in asked and not cell.isdecimal() for cell in cells):
        return True
    num_known = sum(cell.lower() in known for cell in cells)
    if num_known > 1:
        return True
    below = [[row[i].strip() for row in rows[1:] if i < len(row)] for i in range(len(cells))]
    if any(map(_is_number, cells)):
        return False
    if any(_names_numbers(*column) for column in zip(cells, below, strict=True)):
        return True
    return num_known == 1 and not any(
        cell and (len(cell.split()) > MAX_NAME_WORDS or cell in values)
        for cell, values in zip(cells, below, strict=True)
    )


def _names_numbers(cell: str, values: Sequence[str]) -> bool:
    """Return whether a cell is a word, and the cells below it are numbers: two at least."""
    is_name = any(map(str.isalpha, cell)) and cell.lower() not in MISSING
    is_short = len(cell.split()) <= MAX_NAME_WORDS
    return is_name and is_short and len(values) > 1 and all(map(_is_number, values))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _tsv_rows(name: str, lines: Iterable[Line], rejects: Rejects) -> Iterator[Fields]:
    for line in lines:
        if line.error:
            rejects.add(f"{name}:{line.number}", line.error, line.text)
        else:
            yield Fields(line.number, line.text.split(TAB))


def _csv_rows(
    name: str, lines: Iterable[Line], delimiter: str, rejects: Rejects
) -> Iterator[Fields]:
    taken: list[Line] = []  # lines of the row that is being read

    def take() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line.text + "\n"

    reader = csv.reader(take(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        fields: list[str] = []
        reason = ""
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise unclosed_quote_error(name, taken[0].number) from None
            reason = "a quote inside a quoted field is not doubled"
            if "field limit" in str(error):
                reason = f"a field of more than {MAX_LINE_BYTES:,} characters, or an open quote"
        reason = next((line.error for line in taken if line.error), reason)
        if not reason:
            yield Fields(taken[0].number, fields, len(taken))
            continue
        for line in taken:
            rejects.add(f"{name}:{line.number}", reason, line.text)
