"""Where text comes from: names on the command line to files, and files to documents.

In text (.txt, .gz, .xz) a blank line ends a document; in JSONL, Parquet and TFDS a record is one.
"""

import dataclasses
import difflib
import glob
import gzip
import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bert_jax.data.cleaning import Findings, clean_line, clean_lines
from bert_jax.errors import DataError

SUFFIXES = (".txt", ".jsonl", ".parquet")  # .txt and .jsonl also as .gz and .xz
PART_BYTES = (
    512 << 20
)  # files are grouped to parts of about this size, which Beam spreads over machines


@dataclasses.dataclass(frozen=True)
class Source:
    """A file, or a stretch of records of a TFDS split."""

    name: str
    """Path of the file; for TFDS, "tfds:NAME:SPLIT"."""
    num_bytes: int
    """Size on disk."""
    start: int = 0
    """TFDS only: first record."""
    stop: int = 0
    """TFDS only: end of the records."""

    @property
    def text_bytes(self) -> int:
        """Size of the text, by rule of thumb for compressed files."""
        return self.num_bytes * (3 if self.name.endswith((".gz", ".xz", ".parquet")) else 1)


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What reading needs to know beside the source."""

    text_column: str = "text"
    """Column of JSONL, Parquet and TFDS records."""
    piece_chars: int = 8 << 20
    """Longer documents come in pieces of this many characters."""
    tfds_data_dir: str | None = None
    """Folder of TFDS data sets; None takes TFDS's own default."""


class Text(NamedTuple):
    """A document, or a piece of a long one."""

    text: str
    """Clean lines, joined by newlines."""
    continues: bool
    """Whether it goes on with the document of the text before it."""


def find_sources(inputs: Iterable[str], options: ReadOptions, findings: Findings) -> list[Source]:
    """All sources that the names on the command line stand for, in a fixed order.

    Raises:
        DataError: a missing file, a glob that matches nothing, a folder without text.
    """
    sources: list[Source] = []
    for name in inputs:
        if name.startswith("tfds:"):
            sources += _tfds_sources(name, options)
        elif Path(name).is_dir():
            sources += _folder(Path(name), findings)
        elif Path(name).is_file():
            sources.append(Source(name, Path(name).stat().st_size))
        elif glob.has_magic(name):
            matches = sorted(
                path for path in glob.glob(name, recursive=True) if Path(path).is_file()
            )
            if not matches:
                raise DataError(
                    f"{name!r} matches no file",
                    "a glob that matches at least one file",
                    "check the path, and quote the glob for the shell",
                )
            sources += [Source(path, Path(path).stat().st_size) for path in matches]
        else:
            parent = Path(name).parent
            siblings = [p.name for p in parent.iterdir()] if parent.is_dir() else []
            near = difflib.get_close_matches(Path(name).name, siblings, n=1)
            raise DataError(
                f"input {name!r} does not exist",
                "a file, a folder, a glob, or tfds:NAME",
                f"did you mean {str(parent / near[0])!r}?" if near else "check the path",
            )
    return sources


def group_parts(
    sources: Iterable[Source], part_bytes: int = PART_BYTES
) -> tuple[tuple[Source, ...], ...]:
    """Consecutive sources in groups of about `part_bytes`."""
    parts: list[list[Source]] = []
    size = part_bytes
    for source in sources:
        if size >= part_bytes:
            parts.append([])
            size = 0
        parts[-1].append(source)
        size += source.num_bytes
    return tuple(map(tuple, parts))


def read_texts(source: Source, options: ReadOptions, findings: Findings) -> Iterator[Text]:
    """The documents of one source."""
    name = source.name
    if name.startswith("tfds:"):
        return _records(_tfds_values(source, options), name, options, findings)
    if name.endswith(".parquet"):
        return _records(_parquet_values(name, options), name, options, findings)
    if name.removesuffix(".gz").removesuffix(".xz").endswith(".jsonl"):
        return _jsonl(name, options, findings)
    return _plain(name, options, findings)


def _folder(folder: Path, findings: Findings) -> list[Source]:
    sources = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        inner = path.name.removesuffix(".gz").removesuffix(".xz")
        if Path(inner).suffix in (*SUFFIXES, "") and not path.name.startswith("."):
            sources.append(Source(str(path), path.stat().st_size))
        else:
            findings.add("file of another type in a folder (skipped)", str(path))
    if not sources:
        raise DataError(
            f"folder {str(folder)!r} holds no text",
            f"files that end in {', '.join(SUFFIXES)}, .gz or .xz, or in nothing",
            "check the path, or name the files themselves",
        )
    return sources


def _open(name: str) -> BinaryIO:
    if name.endswith(".gz"):
        return gzip.open(name, "rb")  # type: ignore[return-value]
    if name.endswith(".xz"):
        return lzma.open(name, "rb")  # type: ignore[return-value]
    return open(name, "rb")


def _read_errors(name: str, error: Exception) -> DataError:
    kind = {"gz": "a gzip file", "xz": "an xz file"}.get(name.rsplit(".", 1)[-1], "a readable file")
    return DataError(
        f"{name} cannot be read: {error}",
        f"{kind}, complete",
        "fetch it again, or rename it if its ending is wrong",
    )


def _plain(name: str, options: ReadOptions, findings: Findings) -> Iterator[Text]:
    try:
        with _open(name) as stream:
            _refuse_utf16(name, stream)
            yield from _documents(clean_lines(stream, name, findings), options.piece_chars)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _read_errors(name, error) from None


def _refuse_utf16(name: str, stream: BinaryIO) -> None:
    head = stream.read(2)
    stream.seek(0)
    if head in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            f"{name} is UTF-16 (it starts with {head.hex(' ')})",
            "UTF-8 text",
            f"convert it: iconv -f UTF-16 -t UTF-8 {name} > new.txt",
        )


def _documents(lines: Iterable[str], piece_chars: int) -> Iterator[Text]:
    """Lines to documents: a blank line ends one; a long one comes in pieces."""
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


def _records(
    values: Iterable[tuple[str, Any]], name: str, options: ReadOptions, findings: Findings
) -> Iterator[Text]:
    """Records to documents: blank lines inside do not end one."""
    for place, value in values:
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str):
            findings.add(f"record without text in {options.text_column!r} (skipped)", place)
            continue
        lines = (clean_line(line, place, findings) for line in value.split("\n"))
        texts = list(_documents(filter(None, lines), options.piece_chars))
        if not texts:
            findings.add("record with empty text (skipped)", place)
        yield from texts


def _no_column(name: str, column: str, names: Iterable[str]) -> DataError:
    names = sorted(names)
    near = difflib.get_close_matches(column, names, n=1)
    return DataError(
        f"{name}: no column {column!r}",
        f"one of {', '.join(map(repr, names)) or 'no columns at all'}",
        f"pass --text-column {near[0] if near else 'NAME'}",
    )


def _jsonl(name: str, options: ReadOptions, findings: Findings) -> Iterator[Text]:
    def values() -> Iterator[tuple[str, Any]]:
        seen = False
        with _open(name) as stream:
            _refuse_utf16(name, stream)
            for number, line in enumerate(stream, 1):
                place = f"{name}:{number}"
                if not line.strip():
                    continue
                try:
                    record = json.loads(line.decode("utf-8-sig", "replace"))
                except (ValueError, RecursionError):
                    findings.add("line that is no JSON (skipped)", place)
                    continue
                if not isinstance(record, dict):
                    findings.add("line that is no JSON object (skipped)", place)
                    continue
                if not seen and options.text_column not in record:
                    raise _no_column(place, options.text_column, record)
                seen = True
                yield place, record.get(options.text_column)

    try:
        yield from _records(values(), name, options, findings)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _read_errors(name, error) from None


def _parquet_values(name: str, options: ReadOptions) -> Iterator[tuple[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(name) as file:
            if options.text_column not in file.schema_arrow.names:
                raise _no_column(name, options.text_column, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(256, columns=[options.text_column], use_threads=False):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield f"{name}:{number}", value
    except (OSError, pyarrow.ArrowException) as error:
        raise _read_errors(name, error) from None


def _tfds_builder(name: str, options: ReadOptions) -> Any:
    """A TFDS builder whose data is there as ArrayRecord, downloaded and prepared where need be."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=options.tfds_data_dir, file_format="array_record")
        if not builder.is_prepared():
            builder.download_and_prepare(file_format="array_record")
        return builder
    except Exception as error:
        raise DataError(
            f"tfds:{name} cannot be prepared: {type(error).__name__}: {error}",
            "a TFDS data set that prepares without TensorFlow, as ArrayRecord",
            "check the name; give --tfds-data-dir where it is prepared already",
        ) from error


def _tfds_sources(name: str, options: ReadOptions) -> list[Source]:
    dataset, _, split = name.removeprefix("tfds:").partition(":")
    builder = _tfds_builder(dataset, options)
    split = split or "train"
    try:
        info = builder.info.splits[split]
    except (KeyError, ValueError) as error:
        raise DataError(
            f"tfds:{dataset} has no split {split!r}: {error}",
            f"one of {', '.join(builder.info.splits)}",
            f"pass tfds:{dataset}:SPLIT",
        ) from None
    features = builder.info.features
    if options.text_column not in features:
        raise _no_column(f"tfds:{dataset}", options.text_column, features)
    pieces = max(1, -(-info.num_bytes // PART_BYTES))
    step = -(-info.num_examples // pieces) if info.num_examples else 1
    starts = range(0, info.num_examples, step)
    return [
        Source(
            f"tfds:{dataset}:{split}",
            info.num_bytes // pieces,
            start,
            min(start + step, info.num_examples),
        )
        for start in starts
    ]


def _tfds_values(source: Source, options: ReadOptions) -> Iterator[tuple[str, Any]]:
    dataset, _, split = source.name.removeprefix("tfds:").partition(":")
    records = _tfds_builder(dataset, options).as_data_source(split=split)
    for start in range(source.start, source.stop, 256):
        indices = range(start, min(start + 256, source.stop))
        for index, record in zip(indices, records.__getitems__(list(indices)), strict=True):
            yield f"{source.name}:{index + 1}", record[options.text_column]
