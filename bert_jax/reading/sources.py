"""Sources of text: find the files and TFDS records that names on the command line stand for."""

import dataclasses
import difflib
import functools
import glob
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from bert_jax.errors import DataError, one_line
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.encodings import check_encoding
from bert_jax.reading.folders import read_folder, read_glob
from bert_jax.reading.formats import NotTextError, check_format, file_kind, is_compressed
from bert_jax.reading.streams import read_samples

PART_BYTES = 512 << 20  # size of a part, a group of files; Beam hands parts to machines


@dataclasses.dataclass(frozen=True)
class Source:
    """A file, or a range of records of a TFDS split."""

    name: str
    """Path of the file; for TFDS, "tfds:NAME:SPLIT"."""
    num_bytes: int
    """Size on disk."""
    start: int = 0
    """First record; TFDS only."""
    stop: int = 0
    """End of the records; TFDS only."""

    @property
    def text_bytes(self) -> int:
        """Size of the text, by rule of thumb for compressed files."""
        is_small = is_compressed(self.name) or file_kind(self.name) == "parquet"
        return self.num_bytes * (3 if is_small else 1)


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Options of reading a source."""

    text_column: str = "text"
    """Column of tables, JSONL, Parquet and TFDS records; "meta.text": in a column of objects."""
    piece_chars: int = 8 << 20
    """Longer documents come in pieces of this many characters."""
    tfds_data_dir: str | None = None
    """Folder of TFDS data sets; None: TFDS's default."""
    encoding: str | None = None
    """Encoding of files of text, JSONL and tables; None: UTF-8."""
    documents: Literal["blank-lines", "lines"] = "blank-lines"
    """End of a document in a text file: a blank line, or the end of every line."""


def find_sources(
    inputs: Iterable[str], options: ReadOptions, findings: Findings, output: Path | None = None
) -> list[Source]:
    """Return the sources that names on the command line stand for, in a fixed order.

    Files that prepare.py itself writes to `output` are excluded from folders and globs.

    Raises:
        DataError: a file is missing or holds no text, a glob matches nothing, a folder has no text
            or cannot be read, or a text is in another encoding.
    """
    sources: list[Source] = []
    make = functools.partial(_open_source, options=options)
    for name in inputs:
        if name.startswith("tfds:"):
            sources += _list_tfds(name, options)
        elif glob.has_magic(name) and not os.path.lexists(name):
            sources += read_glob(name, make, findings, output)
        elif _is_folder(name):
            sources += read_folder(Path(name), make, findings, output)
        else:
            sources.append(make(name))
    return sources


def _open_source(name: str, options: ReadOptions) -> Source:
    """Return a file's source, after a look at some of its content.

    Raises:
        DataError: the file cannot be read, holds no text, or text in another encoding or format.
    """
    samples = read_samples(name)
    check_format(name, samples[0])
    if file_kind(name) != "parquet" and not check_encoding(name, samples, options.encoding):
        raise NotTextError(name, "a file of bytes that are text in no known encoding")
    return Source(name, os.stat(name).st_size)


def _is_folder(name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise _missing_input_error(name) from None


def _missing_input_error(name: str) -> DataError:
    if os.path.islink(name):
        return DataError(
            f"input {name!r} is a link that leads nowhere: {os.readlink(name)}",
            "a link to a file or a folder",
            "restore what it led to, or name another file",
        )
    parent = Path(name).parent
    siblings = os.listdir(parent) if parent.is_dir() and os.access(parent, os.R_OK) else []
    nearest = difflib.get_close_matches(Path(name).name, siblings, n=1)
    return DataError(
        f"input {name!r} does not exist",
        "a file, a folder, a glob, or tfds:NAME",
        f"did you mean {str(parent / nearest[0])!r}?" if nearest else "check the path",
    )


def group_parts(
    sources: Iterable[Source], part_bytes: int = PART_BYTES
) -> tuple[tuple[Source, ...], ...]:
    """Group consecutive sources into parts of about `part_bytes`."""
    parts: list[list[Source]] = []
    size = part_bytes
    for source in sources:
        if size >= part_bytes:
            parts.append([])
            size = 0
        parts[-1].append(source)
        size += source.num_bytes
    return tuple(map(tuple, parts))


def load_tfds_builder(name: str, options: ReadOptions) -> Any:
    """Return a TFDS builder with its data as ArrayRecord, downloaded and prepared if need be.

    Raises:
        DataError: TFDS cannot prepare the data set.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=options.tfds_data_dir, file_format="array_record")
        if not builder.is_prepared():
            builder.download_and_prepare(file_format="array_record")
        return builder
    except Exception as error:
        raise DataError(
            f"tfds:{name} cannot be prepared: {type(error).__name__}: {one_line(error)}",
            "a TFDS data set that prepares without TensorFlow, as ArrayRecord",
            "check the name; if it is prepared already, set TFDS_DATA_DIR to its folder",
        ) from error


def _list_tfds(name: str, options: ReadOptions) -> list[Source]:
    """Return ranges of records of the TFDS split that "tfds:NAME[:SPLIT]" names."""
    dataset, _, split = name.removeprefix("tfds:").partition(":")
    builder = load_tfds_builder(dataset, options)
    split = split or "train"
    try:
        info = builder.info.splits[split]
    except (KeyError, ValueError) as error:
        raise DataError(
            f"tfds:{dataset} has no split {split!r}: {one_line(error)}",
            f"one of {', '.join(builder.info.splits)}",
            f"pass tfds:{dataset}:SPLIT",
        ) from None
    features = _as_dict(builder.info.features)
    if not has_column(features, options.text_column):
        names = column_names(features)
        raise missing_column_error(f"tfds:{dataset}", options.text_column, names)
    num_ranges = max(1, -(-info.num_bytes // PART_BYTES))
    step = -(-info.num_examples // num_ranges) if info.num_examples else 1
    starts = range(0, info.num_examples, step)
    return [
        Source(
            f"tfds:{dataset}:{split}",
            info.num_bytes // num_ranges,
            start,
            min(start + step, info.num_examples),
        )
        for start in starts
    ]


def _as_dict(features: Any) -> Any:
    """Return TFDS's features as dicts of dicts."""
    if not hasattr(features, "items"):
        return features
    return {name: _as_dict(feature) for name, feature in features.items()}


def missing_column_error(
    name: str, column: str, names: Iterable[str], option: str = "--text-column"
) -> DataError:
    """Return the error for data without the requested column; it names the nearest one."""
    names = list(names)
    nested = [other for other in names if other.rpartition(".")[2] == column]
    nearest = nested or difflib.get_close_matches(column, names, n=1)
    return DataError(
        f"{name}: no column {column!r}",
        f"one of {', '.join(map(repr, names)) or 'no columns at all'}",
        f"pass {option} {nearest[0] if nearest else 'NAME'}",
    )


def column_names(record: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of a record's columns; those in a column of objects as "meta.text"."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from column_names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def pick_column(record: Mapping[str, Any], column: str) -> Any:
    """Return the value of a column, which may be in another one's object; None if there is none."""
    if column in record:
        return record[column]
    outer, _, inner = column.partition(".")
    value = record.get(outer)
    return pick_column(value, inner) if inner and isinstance(value, Mapping) else None


def has_column(record: Mapping[str, Any], column: str) -> bool:
    """Return whether a record has a column, as `pick_column` finds it."""
    outer, _, inner = column.partition(".")
    value = record.get(outer)
    return column in record or bool(
        inner and isinstance(value, Mapping) and has_column(value, inner)
    )
