"""Rows of Parquet files and of TFDS data sets."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bert_jax.errors import DataError
from bert_jax.filesystem import open_regular
from bert_jax.labelled.files import MAX_LINE_BYTES
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.rows import NumberedRow, Rows, count_rows
from bert_jax.reading.sources import ReadOptions, load_tfds_builder
from bert_jax.reading.streams import unreadable_error
from bert_jax.remote.reading import fetch_name

BATCH_ROWS = 16  # read at a time: a tiny Parquet file can hold rows of any size


def parquet_rows(name: str, rejects: Rejects) -> Rows:
    """Open a Parquet file.

    Raises:
        DataError: it cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    name = fetch_name(name)
    open_regular(name, DataError).close()
    try:
        file = pyarrow.parquet.ParquetFile(name)
        columns = tuple(file.schema_arrow.names)
        classes = _tag_names(file.schema_arrow.metadata)
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable_error(name, error) from None

    def rows() -> Iterator[NumberedRow]:
        number = 0
        try:
            with file:
                for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                    for row in _small_rows(batch):
                        number += 1
                        if row is None:
                            reason = f"a row of more than {MAX_LINE_BYTES:,} characters"
                            rejects.add(f"{name}:{number}", reason, "")
                            continue
                        for column, names in classes.items():
                            row[column] = _tags_by_name(row[column], names)
                        yield number, row
        except (OSError, pyarrow.ArrowException) as error:
            raise unreadable_error(name, error) from None

    return count_rows(Rows(name, columns, rows(), "Parquet"), file.metadata.num_rows)


def _small_rows(batch: Any) -> Iterator[dict[str, Any] | None]:
    """Yield the rows of an Arrow batch; None for one of more than MAX_LINE_BYTES characters."""
    if batch.nbytes <= MAX_LINE_BYTES:  # also holds if a dictionary's values are repeated
        yield from batch.to_pylist()
        return
    for index in range(batch.num_rows):
        (row,) = batch.slice(index, 1).to_pylist()
        size = sum(len(value) for value in row.values() if isinstance(value, str | bytes | list))
        yield row if size <= MAX_LINE_BYTES else None


def tfds_rows(name: str, split: str, data_dir: str | None) -> Rows:
    """Open "tfds:NAME[:SPLIT]".

    Args:
        name: the data set.
        split: the split, if the name has none.
        data_dir: folder of TFDS data sets; None: TFDS's default.

    Raises:
        DataError: no such data set or split.
    """
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

    def rows() -> Iterator[NumberedRow]:
        for number, row in enumerate(builder.as_data_source(split=split), 1):
            yield number, {c: _plain(value, classes.get(c)) for c, value in row.items()}

    count = builder.info.splits[split].num_examples
    name = f"tfds:{dataset}:{split}"
    return count_rows(Rows(name, tuple(features), rows(), "TFDS"), count)


def _plain(value: Any, names: Sequence[str] | None) -> Any:
    """Return a TFDS value as Python's: text for bytes, a class's name for its index."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if names is not None and np.ndim(value) == 1:  # one tag per word
        return _tags_by_name(np.asarray(value).tolist(), names)
    if names is not None:
        return names[int(value)] if int(value) >= 0 else None
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    return value


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
