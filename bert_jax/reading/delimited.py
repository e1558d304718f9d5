"""CSV and TSV: the values of one column, row by row, in bounded memory.

CSV has quotes, TSV has none: there a quote is a character like any other.
"""

import csv
import itertools
from collections.abc import Iterator
from typing import BinaryIO

from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.formats import plain_ending
from bert_jax.reading.sources import missing_column_error
from bert_jax.reading.streams import MAX_RECORD_BYTES, bounded_lines

DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}
MAX_ROW_BYTES = 2 * MAX_RECORD_BYTES


class _Lines:
    """The lines of a table, as text; rows that quotes make too long are refused."""

    def __init__(self, stream: BinaryIO, name: str, findings: Findings):
        self._lines = bounded_lines(stream, name, findings)
        self._name = name
        self._row_bytes = 0
        self.number = 0
        """Number of the last line."""
        self.start = 0
        """Number of the row's first line."""

    def peek(self) -> str:
        """Return the first line without taking it; "" if there is none."""
        first = list(itertools.islice(self._lines, 1))
        self._lines = itertools.chain(first, self._lines)
        return _decode(*first[0]) if first else ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if not self._row_bytes:
            self.start = self.number
        self._row_bytes += len(line)
        if self._row_bytes > MAX_ROW_BYTES:
            raise unclosed_quote_error(self._name, self.start)
        return _decode(self.number, line)

    def end_row(self) -> None:
        """Begin a new row with the next line."""
        self._row_bytes = 0


def _decode(number: int, line: bytes) -> str:
    return line.decode("utf-8-sig" if number == 1 else "utf-8", "replace")


def delimited_values(
    stream: BinaryIO, name: str, column: str, findings: Findings
) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each row.

    Args:
        stream: the table, in UTF-8.
        name: its name, for messages.
        column: name of the text column, in the first row; or, of a table without a header, its
            number from 1.
        findings: counts rows that cannot be read, which are left out, and a delimiter that the
            file's name does not tell.

    Raises:
        DataError: there is no such column, or a quote is never closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))  # `_Lines` has the limit
    lines = _Lines(stream, name, findings)
    delimiter = _find_delimiter(lines.peek(), column, name)
    if DELIMITERS[delimiter] != {".csv": "comma", ".tsv": "tab"}.get(plain_ending(name)):
        findings.add(f"table with {DELIMITERS[delimiter]} as the delimiter (read so)", name)
    header: list[str] = []
    index = 0
    for place, fields in _rows(lines, delimiter, name, findings):
        if not header:
            header = [field.strip() for field in fields]
            if column in header:
                index = header.index(column)
                continue
            if not (column.isdecimal() and 0 < int(column) <= len(header)):
                raise missing_column_error(place, column, header)
            index = int(column) - 1
        if len(fields) == len(header):
            yield place, fields[index]
        elif any(fields):
            findings.add("row with another number of fields than the first (skipped)", place)


def _find_delimiter(header: str, column: str, name: str) -> str:
    """Return the delimiter that finds the column in the header, or else the most fields."""
    usual = "\t" if plain_ending(name) == ".tsv" else ","
    candidates = sorted(DELIMITERS, key=lambda delimiter: delimiter != usual)
    for delimiter in candidates:
        fields = _split(header, delimiter)
        if column in fields and len(fields) > 1:
            return delimiter
    if column in _split(header, usual):
        return usual
    return max(candidates, key=lambda delimiter: len(_split(header, delimiter)))


def _split(line: str, delimiter: str) -> list[str]:
    line = line.rstrip("\r\n")
    is_tsv = delimiter == "\t"
    fields = line.split("\t") if is_tsv else next(csv.reader([line], delimiter=delimiter), [])
    return [field.strip() for field in fields]


def _rows(
    lines: _Lines, delimiter: str, name: str, findings: Findings
) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the fields of each row."""
    if delimiter == "\t":
        for line in lines:
            yield f"{name}:{lines.number}", line.rstrip("\r\n").split("\t")
            lines.end_row()
        return
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise unclosed_quote_error(name, lines.start) from None
            findings.add("row with a quote that is not doubled (skipped)", f"{name}:{lines.start}")
        else:
            yield f"{name}:{lines.start}", fields
        lines.end_row()


def unclosed_quote_error(name: str, line: int) -> DataError:
    """Return the error for a row whose quotes do not pair up."""
    return DataError(
        f"{name}:{line}: a quote is opened in this row and never closed",
        'paired quotes, with quotes inside a field doubled ("")',
        "fix the row, or save the table as TSV, where quotes have no meaning",
    )
