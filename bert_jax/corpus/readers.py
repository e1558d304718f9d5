"""Readers: turn sources of any format into documents of clean lines.

In text (.txt, .gz, .xz) a blank line ends a document; in JSONL, Parquet and TFDS a record is one.
"""

import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from bert_jax.corpus.cleaning import Findings, clean_line, clean_lines, split_long_line
from bert_jax.corpus.sources import (
    ReadOptions,
    Source,
    load_tfds_builder,
    missing_column_error,
)
from bert_jax.errors import DataError

READ_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error)  # raised by damaged files


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
        return _read_records(_tfds_values(source, options), name, options, findings)
    if name.endswith(".parquet"):
        return _read_records(_parquet_values(name, options), name, options, findings)
    if name.removesuffix(".gz").removesuffix(".xz").endswith(".jsonl"):
        return _read_jsonl(name, options, findings)
    return _read_plain_text(name, options, findings)


def read_text_lines(name: str) -> Iterator[str]:
    """Read the lines of a text file, decompressed; bytes that are not UTF-8 are replaced.

    Raises:
        DataError: the file is damaged, or is UTF-16.
    """
    try:
        with _open(name) as stream:
            _refuse_utf16(name, stream)
            with io.TextIOWrapper(stream, "utf-8-sig", "replace") as lines:
                yield from lines
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _unreadable_error(name, error) from None


def _open(name: str) -> BinaryIO:
    if name.endswith(".gz"):
        return gzip.open(name, "rb")  # type: ignore[return-value]
    if name.endswith(".xz"):
        return lzma.open(name, "rb")  # type: ignore[return-value]
    return open(name, "rb")


def _unreadable_error(name: str, error: Exception) -> DataError:
    kind = {"gz": "a gzip file", "xz": "an xz file"}.get(name.rsplit(".", 1)[-1], "a readable file")
    return DataError(
        f"{name} cannot be read: {error}",
        f"{kind}, complete",
        "fetch it again, or rename it if its ending is wrong",
    )


def _read_plain_text(name: str, options: ReadOptions, findings: Findings) -> Iterator[Text]:
    try:
        with _open(name) as stream:
            _refuse_utf16(name, stream)
            yield from _join_lines(clean_lines(stream, name, findings), options.piece_chars)
    except READ_ERRORS as error:
        raise _unreadable_error(name, error) from None


def _refuse_utf16(name: str, stream: BinaryIO) -> None:
    head = stream.read(2)
    stream.seek(0)
    if head in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            f"{name} is UTF-16 (it starts with {head.hex(' ')})",
            "UTF-8 text",
            f"convert it: iconv -f UTF-16 -t UTF-8 {name} > new.txt",
        )


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
    values: Iterable[tuple[str, Any]], name: str, options: ReadOptions, findings: Findings
) -> Iterator[Text]:
    """Turn records into documents: blank lines inside do not end one."""
    for location, value in values:
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str):
            findings.add(f"record without text in {options.text_column!r} (skipped)", location)
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


def _read_jsonl(name: str, options: ReadOptions, findings: Findings) -> Iterator[Text]:
    def values() -> Iterator[tuple[str, Any]]:
        seen = False
        with _open(name) as stream:
            _refuse_utf16(name, stream)
            for number, line in enumerate(stream, 1):
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
                if not seen and options.text_column not in record:
                    raise missing_column_error(location, options.text_column, record)
                seen = True
                yield location, record.get(options.text_column)

    try:
        yield from _read_records(values(), name, options, findings)
    except READ_ERRORS as error:
        raise _unreadable_error(name, error) from None


def _parquet_values(name: str, options: ReadOptions) -> Iterator[tuple[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(name) as file:
            if options.text_column not in file.schema_arrow.names:
                raise missing_column_error(name, options.text_column, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(256, columns=[options.text_column], use_threads=False):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield f"{name}:{number}", value
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable_error(name, error) from None


def _tfds_values(source: Source, options: ReadOptions) -> Iterator[tuple[str, Any]]:
    dataset, _, split = source.name.removeprefix("tfds:").partition(":")
    records = load_tfds_builder(dataset, options).as_data_source(split=split)
    for start in range(source.start, source.stop, 256):
        indices = range(start, min(start + 256, source.stop))
        for index, record in zip(indices, records.__getitems__(list(indices)), strict=True):
            yield f"{source.name}:{index + 1}", record[options.text_column]
