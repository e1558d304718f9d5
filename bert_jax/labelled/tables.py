"""Tables of labelled data: rows of TSV, CSV, JSONL, Parquet and TFDS, or their rejection."""

import gzip
import itertools
import json
import lzma
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bert_jax.corpus.sources import ReadOptions, Source, load_tfds_builder, missing_column_error
from bert_jax.errors import DataError, one_line
from bert_jax.labelled.delimited import delimited_rows, is_header, is_quoted, reject_row
from bert_jax.labelled.rejects import Rejects

TEXT = (
    "text", "sentence", "document", "review", "comment", "content", "utterance", "sentence1",
    "premise", "question1", "question", "text_a", "sentence_a",
)  # fmt: skip
TEXT_B = ("sentence2", "hypothesis", "question2", "text_b", "sentence_b")
LABEL = (
    "label", "labels", "gold_label", "score", "similarity", "relatedness_score", "class",
    "category", "sentiment", "target", "rating",
)  # fmt: skip
KNOWN = {*TEXT, *TEXT_B, *LABEL}
HEAD_ROWS = 1000  # rows that the first one is compared with, to tell whether it is a header


class Record(NamedTuple):
    """One row, with its place in the file."""

    place: str
    """file:line, counted from 1."""
    values: dict[str, Any]


class Table(NamedTuple):
    """A table's rows, before any column is chosen."""

    name: str
    columns: tuple[str, ...]
    """Names from the header; "1", "2", … without a header."""
    records: list[Record]
    description: str
    """Format for log messages, for example "TSV with a header"."""


def read_table(
    name: str,
    rejects: Rejects,
    names: Sequence[str] = (),
    split: str = "train",
    tfds_data_dir: str | None = None,
) -> Table:
    """Read a whole table.

    Args:
        name: a .tsv, .txt, .csv or .jsonl file (each also .gz, .xz), .parquet, or
            tfds:NAME[:SPLIT].
        rejects: takes rows that cannot be read.
        names: columns that the user asked for, by name or, without a header, by number.
        split: split of a TFDS data set, if its name has none.
        tfds_data_dir: folder of TFDS data sets; None: TFDS's default.

    Raises:
        DataError: no such file, a different format from what its name implies, or no rows.
    """
    if name.startswith("tfds:"):
        table = _read_tfds(name, split, tfds_data_dir)
    else:
        if not Path(name).is_file():
            raise DataError(f"{name} does not exist", "a file, or tfds:NAME", "check the path")
        plain = name.removesuffix(".gz").removesuffix(".xz")
        if plain.endswith(".parquet"):
            table = _read_parquet(name)
        elif plain.endswith((".jsonl", ".json")):
            table = _read_jsonl(name, rejects)
        else:
            table = _read_delimited(name, plain.endswith(".csv"), rejects, names)
    if not table.records:
        raise DataError(f"{name} has no rows", "at least one row", "check the file")
    return table


def read_text_file(name: str) -> str:
    """Read a UTF-8 file, decompressed, with "\\n" as line ends and without a byte order mark."""
    opener: Callable[..., Any] = open
    data = b""
    if name.endswith(".gz"):
        opener = gzip.open
    elif name.endswith(".xz"):
        opener = lzma.open
    try:
        with opener(name, "rb") as file:
            data = file.read()
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(
                f"{name} is UTF-16", "UTF-8", f"convert it: iconv -f UTF-16 -t UTF-8 {name}"
            )
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{name}:{line}: byte {data[error.start]:#04x} is not UTF-8",
            "UTF-8 text",
            f"convert it, for example: iconv -f CP949 -t UTF-8 {name}",
        ) from None
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(
            f"{name} cannot be read: {one_line(error)}",
            "a readable file",
            "check the path, or download it again",
        ) from None


def choose_column(
    table: Table, given: str | None, known: Sequence[str], what: str, required: bool = True
) -> str | None:
    """Return the given column, or the first with a known name.

    Args:
        table: the table.
        given: the user's choice; None looks for a known name.
        known: names that such a column often has.
        what: contents of the column, for messages and the name of the option.
        required: raise if no column is found, instead of returning None.

    Raises:
        DataError: the given column does not exist, or none has a known name and one is required.
    """
    if given is not None:
        if given not in table.columns:
            raise _missing_column(table, given, what)
        return given
    lower = {column.lower(): column for column in reversed(table.columns)}
    for name in known:
        if name in lower:
            return lower[name]
    if not required:
        return None
    first = {k: _short(v) for k, v in table.records[0].values.items()}
    raise DataError(
        f"{table.name}: no column with a known name for the {what}; the first row is {first}",
        f"a column named {', '.join(known[:6])} or the like",
        f"pass --columns.{what.replace(' ', '-')} with one of {', '.join(table.columns)}",
    )


def text_column_names(columns: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return known names for the text and for text b; in QNLI, text b is the "sentence"."""
    if {"question", "sentence"} <= {column.lower() for column in columns}:
        return ("question",), ("sentence",)
    return TEXT, TEXT_B


def _missing_column(table: Table, given: str, what: str) -> DataError:
    error = missing_column_error(table.name, given, table.columns)
    return DataError(
        str(error).split("\n")[0],
        f"one of {', '.join(map(repr, table.columns))}",
        f"pass another --columns.{what.replace(' ', '-')}",
    )


def _read_delimited(name: str, is_csv: bool, rejects: Rejects, names: Sequence[str]) -> Table:
    text = read_text_file(name)
    quoted = is_quoted(text, is_csv)
    kind = "CSV" if quoted else "TSV"
    if quoted != is_csv:
        kind += f" (by its content; it is named .{'csv' if is_csv else 'tsv'})"
    rows = delimited_rows(name, text, quoted, rejects)
    head = list(itertools.islice(rows, HEAD_ROWS))
    if not head:
        return Table(name, (), [], kind)
    header = is_header([row.fields for row in head], KNOWN, names)
    width = len(head[0].fields)
    columns = tuple(f.strip() for f in head[0].fields) if header else _numbers(width)
    if len(set(columns)) < width:
        raise DataError(
            f"{name}:{head[0].line}: the header names a column twice: {', '.join(columns)}",
            "different names",
            "rename one of them",
        )
    records, multiline = [], []
    for row in itertools.chain(head[1:] if header else head, rows):
        num_fields = len(row.fields)
        if num_fields < width or (header and num_fields > width):
            reject_row(name, row, f"{num_fields} fields, expected {width}", rejects)
            continue
        # Without a header, more fields may follow: some rows of STS-B end with their sources.
        values = dict(zip(columns, row.fields, strict=False))
        records.append(Record(f"{name}:{row.line}", values))
        if row.num_lines > 1:
            multiline.append(row)
    kind += f" {'with' if header else 'without'} a header"
    if multiline:
        longest = max(multiline, key=lambda row: row.num_lines)
        kind += f"; {len(multiline):,} rows of several lines, the longest {name}:{longest.line}"
        kind += f" with {longest.num_lines:,}"
    return Table(name, columns, records, kind)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(1, count + 1))


def _read_jsonl(name: str, rejects: Rejects) -> Table:
    records, columns = [], {}
    for number, line in enumerate(read_text_file(name).rstrip("\n").split("\n"), 1):
        place = f"{name}:{number}"
        if not line.strip():
            rejects.add(place, "blank row", line)
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            rejects.add(place, "not valid JSON", line)
            continue
        if not isinstance(value, dict):
            rejects.add(place, "not a JSON object", line)
            continue
        columns |= dict.fromkeys(value)
        records.append(Record(place, value))
    return Table(name, tuple(columns), records, "JSONL")


def _read_parquet(name: str) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(name) as file:
            columns = tuple(file.schema_arrow.names)
            classes = _tag_names(file.schema_arrow.metadata)
            rows = file.read(use_threads=False).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(
            f"{name} cannot be read: {one_line(error)}", "a Parquet file", "download it again"
        ) from None
    for row in rows:
        row |= {column: _tags_by_name(row[column], names) for column, names in classes.items()}
    records = [Record(f"{name}:{number}", row) for number, row in enumerate(rows, 1)]
    return Table(name, columns, records, "Parquet")


def _tag_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return the class names of list columns, if Hugging Face's `datasets` wrote the file."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        lists = {c: f["feature"] for c, f in features.items() if "feature" in f}
        return {c: list(element["names"]) for c, element in lists.items() if "names" in element}
    except (KeyError, TypeError, ValueError):
        return {}


def _tags_by_name(tags: Sequence[int] | None, names: Sequence[str]) -> list[str] | None:
    """Return the names of tags; None if a tag is missing or has no name."""
    if tags is None or not all(tag is not None and 0 <= tag < len(names) for tag in tags):
        return None
    return [names[tag] for tag in tags]


def _read_tfds(name: str, split: str, data_dir: str | None) -> Table:
    dataset, _, given = name.removeprefix("tfds:").partition(":")
    builder = load_tfds_builder(dataset, ReadOptions(tfds_data_dir=data_dir))
    split = given or split
    if split not in builder.info.splits:
        raise DataError(
            f"tfds:{dataset} has no split {split!r}",
            f"one of {', '.join(builder.info.splits)}",
            f"pass tfds:{dataset}:SPLIT",
        )
    features = builder.info.features
    classes = {k: list(f.names) for k, f in features.items() if getattr(f, "names", None)}
    source = Source(f"tfds:{dataset}:{split}", 0)
    records = []
    for number, row in enumerate(builder.as_data_source(split=split), 1):
        values = {}
        for column, value in row.items():
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            elif column in classes and np.ndim(value) == 1:  # one tag per word
                value = _tags_by_name(np.asarray(value).tolist(), classes[column])
            elif column in classes:
                value = classes[column][int(value)] if int(value) >= 0 else None
            elif hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
                value = value.item()
            values[column] = value
        records.append(Record(f"{source.name}:{number}", values))
    return Table(source.name, tuple(features), records, "TFDS")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
