"""Labelled rows from TSV, CSV, JSONL, Parquet and TFDS: used, or rejected with a reason."""

import gzip
import itertools
import json
import lzma
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bert_jax.data.rejects import Rejects
from bert_jax.data.separated import is_header, is_quoted, reject, separated_rows
from bert_jax.data.sources import ReadOptions, Source, no_column, tfds_builder
from bert_jax.errors import DataError, one_line

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
HEAD = 1000  # rows that are compared with the first


class Record(NamedTuple):
    """One row, and where it stands."""

    place: str
    """file:line, counted from 1."""
    values: dict[str, Any]


class Table(NamedTuple):
    """A table's rows, before any is looked at."""

    name: str
    columns: tuple[str, ...]
    """Names from the header; "1", "2", … where there is none."""
    records: list[Record]
    described: str
    """What was found, for people: "TSV with a header"."""


def read_table(
    name: str,
    rejects: Rejects,
    names: Sequence[str] = (),
    split: str = "train",
    tfds_data_dir: str | None = None,
) -> Table:
    """Reads a table whole.

    Args:
        name: a .tsv, .txt, .csv or .jsonl file (each also .gz, .xz), .parquet, or
            tfds:NAME[:SPLIT].
        rejects: takes rows that cannot be read.
        names: columns that were asked for, by name or, where there is no header, by number.
        split: of a TFDS data set whose name has none.
        tfds_data_dir: folder of TFDS data sets; None takes TFDS's own default.

    Raises:
        DataError: no such file, another format than its name says, or no rows.
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
            table = _read_separated(name, plain.endswith(".csv"), rejects, names)
    if not table.records:
        raise DataError(f"{name} holds no rows", "at least one row", "check the file")
    return table


def read_text_file(name: str) -> str:
    """A UTF-8 file's text, unpacked; line ends are "\\n", and a byte order mark is left out."""
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
            "check the path, or fetch it again",
        ) from None


def choose_column(
    table: Table, given: str | None, known: Sequence[str], what: str, required: bool = True
) -> str | None:
    """The column that holds something: the given one, or the first with a known name.

    Raises:
        DataError: the given one is not there, or none has a known name and one is required.
    """
    if given is not None:
        if given not in table.columns:
            raise _wrong_column(table, given, what)
        return given
    lower = {column.lower(): column for column in reversed(table.columns)}
    for name in known:
        if name in lower:
            return lower[name]
    if not required:
        return None
    first = {k: _short(v) for k, v in table.records[0].values.items()}
    raise DataError(
        f"{table.name}: no column is known to hold the {what}; the first row is {first}",
        f"a column named {', '.join(known[:6])} or the like",
        f"pass --columns.{what.replace(' ', '-')} with one of {', '.join(table.columns)}",
    )


def text_names(columns: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Names to look for the text under, and for text b; in QNLI it is the sentence."""
    if {"question", "sentence"} <= {column.lower() for column in columns}:
        return ("question",), ("sentence",)
    return TEXT, TEXT_B


def _wrong_column(table: Table, given: str, what: str) -> DataError:
    error = no_column(table.name, given, table.columns)
    return DataError(
        str(error).split("\n")[0],
        f"one of {', '.join(map(repr, table.columns))}",
        f"pass another --columns.{what.replace(' ', '-')}",
    )


def _read_separated(name: str, is_csv: bool, rejects: Rejects, names: Sequence[str]) -> Table:
    text = read_text_file(name)
    quoted = is_quoted(text, is_csv)
    kind = "CSV" if quoted else "TSV"
    if quoted != is_csv:
        kind += f" (by its content; it is named .{'csv' if is_csv else 'tsv'})"
    rows = separated_rows(name, text, quoted, rejects)
    head = list(itertools.islice(rows, HEAD))
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
    records, longer = [], []
    for row in itertools.chain(head[1:] if header else head, rows):
        size = len(row.fields)
        if size < width or (header and size > width):
            reject(name, row, f"{size} fields, expected {width}", rejects)
            continue
        # Without a header, more fields may follow: STS-B notes sources in some rows.
        values = dict(zip(columns, row.fields, strict=False))
        records.append(Record(f"{name}:{row.line}", values))
        if row.num_lines > 1:
            longer.append(row)
    kind += f" {'with' if header else 'without'} a header"
    if longer:
        most = max(longer, key=lambda row: row.num_lines)
        kind += f"; {len(longer):,} rows of several lines, the longest {name}:{most.line} with "
        kind += f"{most.num_lines:,}"
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
            rejects.add(place, "no JSON", line)
            continue
        if not isinstance(value, dict):
            rejects.add(place, "no JSON object", line)
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
            f"{name} cannot be read: {one_line(error)}", "a Parquet file", "fetch it again"
        ) from None
    for row in rows:
        row |= {column: _named(row[column], names) for column, names in classes.items()}
    records = [Record(f"{name}:{number}", row) for number, row in enumerate(rows, 1)]
    return Table(name, columns, records, "Parquet")


def _tag_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Names of the classes in columns of lists, where Hugging Face's `datasets` wrote them."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        lists = {c: f["feature"] for c, f in features.items() if "feature" in f}
        return {column: list(of["names"]) for column, of in lists.items() if "names" in of}
    except (KeyError, TypeError, ValueError):
        return {}


def _named(tags: Sequence[int] | None, names: Sequence[str]) -> list[str] | None:
    """Tags by name; None where one is missing or has no name."""
    if tags is None or not all(tag is not None and 0 <= tag < len(names) for tag in tags):
        return None
    return [names[tag] for tag in tags]


def _read_tfds(name: str, split: str, data_dir: str | None) -> Table:
    dataset, _, given = name.removeprefix("tfds:").partition(":")
    builder = tfds_builder(dataset, ReadOptions(tfds_data_dir=data_dir))
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
            elif column in classes and np.ndim(value) == 1:  # a tag for each word
                value = _named(np.asarray(value).tolist(), classes[column])
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
