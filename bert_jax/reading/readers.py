"""Readers: turn sources of any format into documents of clean lines.

In text (.txt, .gz, .xz) a blank line ends a document, or every line is one; in tables, JSONL,
Parquet and TFDS a record is one.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from bert_jax.reading.cleaning import (
    Findings,
    clean_line,
    clean_lines,
    split_long_line,
)
from bert_jax.reading.delimited import delimited_values
from bert_jax.reading.encodings import is_utf8, refuse_marks
from bert_jax.reading.formats import file_kind
from bert_jax.reading.parquet import parquet_values
from bert_jax.reading.sources import (
    ReadOptions,
    Source,
    column_names,
    has_column,
    load_tfds_builder,
    missing_column_error,
    pick_column,
)
from bert_jax.reading.streams import (
    MAX_RECORD_BYTES,
    bounded_lines,
    open_text,
    unreadable_error,
)

TFDS_BATCH = 256


class Text(NamedTuple):
    """A document, or a piece of a long one."""

    text: str
    """Clean lines, joined by newlines."""
    continues: bool
    """True if it continues the document of the text before it."""


def read_texts(source: Source, options: ReadOptions, findings: Findings) -> Iterator[Text]:
    """Read the documents of one source.

    Raises:
        DataError: a file is damaged, is UTF-16, or lacks the text column.
    """
    name = source.name
    if name.startswith("tfds:"):
        yield from _read_records(_tfds_values(source, options, findings), options, findings)
        return
    if file_kind(name) == "parquet":
        values = parquet_values(name, options.text_column, findings)
        yield from _read_records(values, options, findings)
        return
    with open_text(name, options.encoding) as stream:
        if is_utf8(options.encoding) and stream.seekable():
            refuse_marks(name, stream.read(4))
            stream.seek(0)
        yield from _read_stream(stream, name, options, findings)


def _read_stream(
    stream: BinaryIO, name: str, options: ReadOptions, findings: Findings
) -> Iterator[Text]:
    """Read the documents of a file's content, decompressed and in UTF-8."""
    kind = file_kind(name)
    if kind == "text" and options.documents == "blank-lines":
        yield from _join_lines(clean_lines(stream, name, findings), options.piece_chars)
        return
    if kind == "text":
        values = _line_values(stream, name, findings)
    elif kind == "table":
        values = delimited_values(stream, name, options.text_column, findings)
    else:
        values = _jsonl_values(stream, name, options, findings)
    yield from _read_records(values, options, findings)


def _join_lines(lines: Iterable[str], piece_chars: int) -> Iterator[Text]:
    """Join lines to documents: a blank line ends one; a long one comes in pieces."""
    document: list[str] = []
    size, continues = 0, False
    for line in lines:
        if line:
            document.append(line)
            size += len(line)
            if size >= piece_chars:
                yield Text("\n".join(document), continues)
                document, size, continues = [], 0, True
        else:
            if document:
                yield Text("\n".join(document), continues)
            document, size, continues = [], 0, False
    if document:
        yield Text("\n".join(document), continues)


def _read_records(
    values: Iterable[tuple[str, Any]], options: ReadOptions, findings: Findings
) -> Iterator[Text]:
    """Turn records into documents: blank lines inside do not end one."""
    for location, value in values:
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
            value = "\n".join(value)  # sentences, or paragraphs
        if not isinstance(value, str):
            kind = "without" if value is None else f"with {type(value).__name__} in place of"
            findings.add(f"record {kind} text in {options.text_column!r} (skipped)", location)
            continue
        pieces = (
            piece
            for line in value.split("\n")
            for piece in split_long_line(line, location, findings)
        )
        lines = (clean_line(piece, location, findings) for piece in pieces)
        texts = list(_join_lines(filter(None, lines), options.piece_chars))
        if not texts:
            findings.add("record with empty text (skipped)", location)
        yield from texts


def _line_values(stream: BinaryIO, name: str, findings: Findings) -> Iterator[tuple[str, str]]:
    """Yield the lines of a text that are not blank, each a document of its own."""
    for number, line in bounded_lines(stream, name, findings):
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
        if text.strip():
            yield f"{name}:{number}", text


def _jsonl_values(
    stream: BinaryIO, name: str, options: ReadOptions, findings: Findings
) -> Iterator[tuple[str, Any]]:
    seen = False
    for number, line in bounded_lines(stream, name, findings):
        location = f"{name}:{number}"
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError):
            findings.add("line that is no JSON (skipped)", location)
            continue
        if not isinstance(record, dict):
            findings.add("line that is no JSON object (skipped)", location)
            continue
        if not seen and not has_column(record, options.text_column):
            raise missing_column_error(location, options.text_column, column_names(record))
        seen = True
        yield location, pick_column(record, options.text_column)


def _tfds_values(
    source: Source, options: ReadOptions, findings: Findings
) -> Iterator[tuple[str, Any]]:
    dataset, _, split = source.name.removeprefix("tfds:").partition(":")
    records = load_tfds_builder(dataset, options).as_data_source(split=split)
    for start in range(source.start, source.stop, TFDS_BATCH):
        indices = range(start, min(start + TFDS_BATCH, source.stop))
        try:
            batch = records.__getitems__(list(indices))
        except (OSError, RuntimeError, ValueError) as error:  # a shard is damaged, or gone
            raise unreadable_error(f"{source.name}:{start + 1}", error) from None
        for index, record in zip(indices, batch, strict=True):
            location = f"{source.name}:{index + 1}"
            value = pick_column(record, options.text_column)
            if isinstance(value, bytes) and len(value) > MAX_RECORD_BYTES:
                reason = f"record longer than {MAX_RECORD_BYTES >> 20} MB (skipped)"
                findings.add(reason, location)
            else:
                yield location, value
