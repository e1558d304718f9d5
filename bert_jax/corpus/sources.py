"""Sources of text: find the files and TFDS records that names on the command line stand for."""

import dataclasses
import difflib
import glob
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bert_jax.corpus.cleaning import Findings
from bert_jax.errors import DataError

SUFFIXES = (".txt", ".jsonl", ".parquet")  # .txt and .jsonl also as .gz and .xz
OWN_FILES = re.compile(r"tokenizer|beam|T\d+|report\.json(\.partial)?")  # in an output folder
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
        return self.num_bytes * (3 if self.name.endswith((".gz", ".xz", ".parquet")) else 1)


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Options of reading a source."""

    text_column: str = "text"
    """Column of JSONL, Parquet and TFDS records."""
    piece_chars: int = 8 << 20
    """Longer documents come in pieces of this many characters."""
    tfds_data_dir: str | None = None
    """Folder of TFDS data sets; None: TFDS's default."""


def find_sources(
    inputs: Iterable[str], options: ReadOptions, findings: Findings, output: Path | None = None
) -> list[Source]:
    """Return the sources that names on the command line stand for, in a fixed order.

    Files that prepare.py itself writes to `output` are excluded from folders and globs.

    Raises:
        DataError: a file is missing, a glob matches nothing, or a folder has no text.
    """
    sources: list[Source] = []
    for name in inputs:
        if name.startswith("tfds:"):
            sources += _list_tfds(name, options)
        elif Path(name).is_dir():
            sources += _list_folder(Path(name), findings, output)
        elif Path(name).is_file():
            sources.append(Source(name, Path(name).stat().st_size))
        elif glob.has_magic(name):
            matches = sorted(
                path
                for path in glob.glob(name, recursive=True)
                if Path(path).is_file() and not _is_own_file(Path(path), output)
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
            nearest = difflib.get_close_matches(Path(name).name, siblings, n=1)
            raise DataError(
                f"input {name!r} does not exist",
                "a file, a folder, a glob, or tfds:NAME",
                f"did you mean {str(parent / nearest[0])!r}?" if nearest else "check the path",
            )
    return sources


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


def _is_own_file(path: Path, output: Path | None) -> bool:
    """Return whether a file is one that prepare.py writes to its output folder."""
    if output is None or not path.resolve().is_relative_to(output.resolve()):
        return False
    return bool(OWN_FILES.fullmatch(path.resolve().relative_to(output.resolve()).parts[0]))


def _list_folder(folder: Path, findings: Findings, output: Path | None) -> list[Source]:
    """Return a folder's text files, and count files of other types."""
    sources = []
    files = (path for path in folder.rglob("*") if path.is_file())
    for path in sorted(path for path in files if not _is_own_file(path, output)):
        uncompressed = path.name.removesuffix(".gz").removesuffix(".xz")
        if Path(uncompressed).suffix in (*SUFFIXES, "") and not path.name.startswith("."):
            sources.append(Source(str(path), path.stat().st_size))
        else:
            findings.add("file of another type in a folder (skipped)", str(path))
    if not sources:
        raise DataError(
            f"folder {str(folder)!r} holds no text",
            f"files that end in {', '.join(SUFFIXES)}, .gz or .xz, or have no suffix",
            "check the path, or name the files themselves",
        )
    return sources


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
            f"tfds:{name} cannot be prepared: {type(error).__name__}: {error}",
            "a TFDS data set that prepares without TensorFlow, as ArrayRecord",
            "check the name, or pass --tfds-data-dir if it is prepared already",
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
            f"tfds:{dataset} has no split {split!r}: {error}",
            f"one of {', '.join(builder.info.splits)}",
            f"pass tfds:{dataset}:SPLIT",
        ) from None
    features = builder.info.features
    if options.text_column not in features:
        raise missing_column_error(f"tfds:{dataset}", options.text_column, features)
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


def missing_column_error(name: str, column: str, names: Iterable[str]) -> DataError:
    """Return the error for data without the requested column; it names the nearest one."""
    names = sorted(names)
    nearest = difflib.get_close_matches(column, names, n=1)
    return DataError(
        f"{name}: no column {column!r}",
        f"one of {', '.join(map(repr, names)) or 'no columns at all'}",
        f"pass --text-column {nearest[0] if nearest else 'NAME'}",
    )
