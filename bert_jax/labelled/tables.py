"""Tables of labelled data: rows of TSV, CSV, JSON, Parquet and TFDS, or their rejection.

finetune.py and predict.py read them by the same rules.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from bert_jax.errors import DataError
from bert_jax.labelled.columnar import parquet_rows, tfds_rows
from bert_jax.labelled.delimited import HEAD_ROWS, open_delimited
from bert_jax.labelled.files import NOT_UTF8, LineReader
from bert_jax.labelled.json_rows import is_json_list, open_json, open_json_lines
from bert_jax.labelled.rejects import Rejects
from bert_jax.reading.encodings import advise_conversion
from bert_jax.reading.formats import plain_name
from bert_jax.reading.sources import missing_column_error

TEXT = (
    "text", "sentence", "document", "review", "comment", "content", "utterance", "sentence1",
    "premise", "question1", "question", "text_a", "sentence_a", "#1 string",
)  # fmt: skip
TEXT_B = ("sentence2", "hypothesis", "question2", "text_b", "sentence_b", "#2 string")
LABEL = (
    "label", "labels", "gold_label", "score", "similarity", "relatedness_score", "class",
    "category", "sentiment", "target", "rating", "quality",
)  # fmt: skip
WORDS = ("tokens", "words", "text")  # the words of a sentence, to be tagged
KNOWN = {*TEXT, *TEXT_B, *LABEL}
MAX_NOT_UTF8 = 0.1  # share of the rows of a table that may be in another encoding
ENDINGS = {
    ".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
    ".parquet": "parquet",
}  # fmt: skip

TableFormat = Literal["tsv", "csv", "jsonl", "json", "parquet"]


class Record(NamedTuple):
    """One row, with its place in the file."""

    place: str
    """file:line, counted from 1."""
    values: dict[str, Any]


@dataclasses.dataclass
class Table:
    """A table's rows, before any column is chosen."""

    name: str
    columns: tuple[str, ...]
    """Names from the header; "1", "2", … without a header; of JSON, all keys that were seen."""
    records: list[Record]
    """All rows; of an open table the first ones, at most HEAD_ROWS."""
    description: str
    """Format for log messages, for example "TSV with a header"."""
    has_header: bool = True
    """False if the columns have no names but their numbers."""
    by_row: bool = False
    """True if each row has keys of its own, as in JSON."""
    rest: Iterator[Record] = dataclasses.field(default_factory=lambda: iter(()))
    """Rows of an open table that are not read yet."""
    fraction: Callable[[], float | None] = lambda: None
    """Share of an open table that was read, from 0 to 1; None if unknown."""
    notes: Callable[[], str] = str
    """Further notes on the format, once all rows are read."""


def read_table(
    name: str,
    rejects: Rejects,
    names: Sequence[str] = (),
    split: str = "train",
    tfds_data_dir: str | None = None,
) -> Table:
    """Read a whole table.

    Args:
        name: a .tsv, .txt, .csv, .json or .jsonl file (each also .gz, .xz), .parquet, or
            tfds:NAME[:SPLIT].
        rejects: takes rows that cannot be read.
        names: columns that the user asked for, by name or by number.
        split: split of a TFDS data set, if its name has none.
        tfds_data_dir: folder of TFDS data sets; None: TFDS's default.

    Raises:
        DataError: no such file, a different format from what its name implies, or no rows.
    """
    start = len(rejects.rows)
    table = open_table(name, rejects, names, split, tfds_data_dir)
    table.records += table.rest
    table.description += table.notes()
    if table.by_row:
        table.columns = tuple(dict.fromkeys(k for r in table.records for k in r.values))
    undecoded = [row for row in rejects.rows[start:] if row["reason"].endswith(NOT_UTF8)]
    if len(undecoded) > MAX_NOT_UTF8 * len(table.records):
        raise DataError(
            f"{undecoded[0]['place']}: {undecoded[0]['reason']}; {len(undecoded):,} rows are not",
            "UTF-8 text",
            f"if it is CP949, for example, {advise_conversion(name, 'cp949', has_option=False)}",
        )
    if not table.records:
        reasons = "; ".join(rejects.summary(start))[:300]
        raise DataError(
            f"{name} has no rows" + (f" that can be read: {reasons}" if reasons else ""),
            "at least one row",
            "check the file",
        )
    return table


def table_format(name: str) -> TableFormat | None:
    """Return the format that a file's ending stands for; None for another ending, or for TFDS."""
    plain = plain_name(name)
    return next((format for end, format in ENDINGS.items() if plain.endswith(end)), None)  # type: ignore[return-value]


def open_table(
    name: str,
    rejects: Rejects,
    names: Sequence[str] = (),
    split: str = "train",
    tfds_data_dir: str | None = None,
    format: TableFormat | None = None,
    reader: LineReader | None = None,
) -> Table:
    """Open a table and read its first rows.

    Args:
        name: see `read_table`; "-" is standard input.
        rejects: see `read_table`; rows are rejected as they are read.
        names: see `read_table`.
        split: see `read_table`.
        tfds_data_dir: see `read_table`.
        format: the format; None goes by the file's ending.
        reader: the file's lines, if it is open.

    Raises:
        DataError: no such file, or a different format from what its name implies.
    """
    by_content = format is None
    format = format or table_format(name)
    if name.startswith("tfds:"):
        rows = tfds_rows(name, split, tfds_data_dir)
    elif format == "parquet":
        rows = parquet_rows(name, rejects)
    elif format == "json" or (format == "jsonl" and is_json_list(name)):
        rows = open_json(name, rejects)
    elif format == "jsonl":
        rows = open_json_lines(reader or LineReader(name), rejects)
    else:
        lines = reader or LineReader(name)
        rows = open_delimited(lines, format == "csv", rejects, KNOWN, names, by_content)
    records = (Record(f"{rows.name}:{number}", values) for number, values in rows.rows)
    head = list(itertools.islice(records, HEAD_ROWS))
    columns = rows.columns or tuple(dict.fromkeys(k for record in head for k in record.values))
    return Table(
        rows.name, columns, head, rows.description, rows.has_header, by_row=not rows.columns,
        rest=records, fraction=rows.fraction, notes=rows.notes,
    )  # fmt: skip


def choose_column(
    table: Table, given: str | None, known: Sequence[str], what: str, required: bool = True
) -> str | None:
    """Return the given column, or the first with a known name.

    Args:
        table: the table.
        given: the user's choice, by name or by number; None looks for a known name.
        known: names that such a column often has.
        what: contents of the column, for messages and the name of the option.
        required: raise if no column is found, instead of returning None.

    Raises:
        DataError: the given column does not exist, or none has a known name and one is required.
    """
    option = f"--columns.{what.replace(' ', '-')}"
    if given is not None:
        column = find_column(table.columns, given)
        if column is None:
            raise missing_column_error(table.name, given, table.columns, option)
        return column
    lower = {column.lower(): column for column in reversed(table.columns)}
    for name in known:
        if name in lower:
            return lower[name]
    if not required:
        return None
    first = {k: _short(v) for k, v in table.records[0].values.items()} if table.records else {}
    raise DataError(
        f"{table.name}: no column with a known name for the {what}; the first row is {first}",
        f"a column named {', '.join(known[:6])} or the like",
        f"pass {option} with {_choices(table.columns)}" if table.columns else f"pass {option}",
    )


def find_column(columns: Sequence[str], given: str) -> str | None:
    """Return the column of this name or, counted from 1, this number; None if there is none."""
    if given in columns:
        return given
    if given.isdecimal() and 1 <= int(given) <= len(columns):
        return columns[int(given) - 1]
    return next((column for column in columns if column.lower() == given.lower()), None)


def text_column_names(columns: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return known names for the text and for text b; in QNLI, text b is the "sentence"."""
    if {"question", "sentence"} <= {column.lower() for column in columns}:
        return ("question",), ("sentence",)
    return TEXT, TEXT_B


def read_label(value: Any) -> str:
    """Return a row's label as text.

    Raises:
        ValueError: it is missing, empty, or no text or number; the message is the reason.
    """
    if value is None:
        raise ValueError("label missing")
    if not isinstance(value, str | int | float | bool):
        raise ValueError(f"the label is a {type(value).__name__}, not a text or a number")
    label = str(value).strip()
    if not label:
        raise ValueError("label empty")
    return label


def _choices(columns: Sequence[str]) -> str:
    """Return what may name a column; a table that seems to have no header may have one."""
    choices = f"one of {', '.join(map(repr, columns))}"
    numbered = all(column == str(number) for number, column in enumerate(columns, 1))
    return f"{choices}, or with a name if the first row is a header" if numbered else choices


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
