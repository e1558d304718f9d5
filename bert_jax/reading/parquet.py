"""Parquet: the values of one text column, in bounded memory.

A file of a kilobyte can hold one long text a million times, in a dictionary. So the dictionaries
are looked at first, and decide how many rows are read at once.
"""

from collections.abc import Iterator
from typing import Any

from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.sources import missing_column_error
from bert_jax.reading.streams import MAX_RECORD_BYTES, unreadable_error

BATCH_ROWS = 256
BATCH_BYTES = 64 << 20
MAX_RATIO = 200  # of a large chunk's text to its compressed size; text is compressed 3 to 50 times
MAX_CHUNK_BYTES = 128 << 20  # a column chunk is large beyond this

TOO_LONG = object()


def parquet_values(name: str, column: str, findings: Findings) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each row: a str, a list of str, or None.

    Args:
        name: the file.
        column: its text column; "meta.text": in a column of structs.
        findings: counts values of more than MAX_RECORD_BYTES, which are left out.

    Raises:
        DataError: the file is damaged, lacks the column, or decompresses to far too much.
    """
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(name) as file:
            leaf = _find_leaf(name, column, file)
            path = file.schema.column(leaf).path
            with pyarrow.parquet.ParquetFile(name, read_dictionary=[path]) as dictionaries:
                sizes = [
                    _batch_rows(name, leaf, dictionaries, group)
                    for group in range(file.num_row_groups)
                ]
            for group, rows in enumerate(sizes):
                for batch in file.iter_batches(rows, [group], [path], use_threads=False):
                    for value in _values(_inner(batch, column)):
                        number += 1
                        if value is TOO_LONG:
                            reason = f"record longer than {MAX_RECORD_BYTES >> 20} MB (skipped)"
                            findings.add(reason, f"{name}:{number}")
                        else:
                            yield f"{name}:{number}", value
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable_error(name, error) from None


def _find_leaf(name: str, column: str, file: Any) -> int:
    """Return the number of the column with the texts; refuse one of another type."""
    leaves = {}
    for number in range(len(file.schema)):
        path = file.schema.column(number).path
        leaves[path.split(".list.")[0]] = number
    if column not in leaves:
        raise missing_column_error(name, column, leaves)
    found = file.schema.column(leaves[column])
    if found.physical_type != "BYTE_ARRAY":
        raise DataError(
            f"{name}: column {column!r} holds no text, but {found.physical_type}",
            "a column of strings, or of lists of strings",
            "pass another --text-column",
        )
    return leaves[column]


def _batch_rows(name: str, leaf: int, file: Any, group: int) -> int:
    """Return how many rows of a group to read at once; refuse one that unpacks to far too much.

    Args:
        name: name of the file.
        leaf: number of the column.
        file: the Parquet file, opened so that the column is read as a dictionary.
        group: number of the row group.
    """
    from pyarrow.compute import call_function

    chunk = file.metadata.row_group(group).column(leaf)
    size, compressed = chunk.total_uncompressed_size, chunk.total_compressed_size
    _check_ratio(name, size, compressed)
    longest = 0
    if chunk.has_dictionary_page:
        for batch in file.iter_batches(1, [group], [chunk.path_in_schema], use_threads=False):
            texts = _leaf_array(batch.column(0)).dictionary
            lengths = call_function("binary_length", [texts])
            longest = call_function("max", [lengths]).as_py() or 0
            mean = call_function("mean", [lengths]).as_py() or 0
            _check_ratio(name, int(chunk.num_values * mean), compressed)
            break
    num_rows = max(file.metadata.row_group(group).num_rows, 1)
    row_bytes = max(size, longest * chunk.num_values) // num_rows
    return min(BATCH_ROWS, max(1, BATCH_BYTES // max(row_bytes, 1)))


def _check_ratio(name: str, size: int, compressed: int) -> None:
    if size > max(MAX_CHUNK_BYTES, MAX_RATIO * compressed):
        raise DataError(
            f"{name}: a column of {compressed:,} bytes holds {size:,} bytes of text",
            f"text that is compressed at most {MAX_RATIO} times",
            "check where the file comes from, or leave it out",
        )


def _leaf_array(array: Any) -> Any:
    """Return the innermost array of nested structs and lists."""
    import pyarrow

    while not pyarrow.types.is_dictionary(array.type):
        array = array.field(0) if pyarrow.types.is_struct(array.type) else array.values
    return array


def _inner(batch: Any, column: str) -> Any:
    """Return the array of a column, which may be in one or more structs."""
    array, name = batch.column(0), batch.schema.names[0]
    for inner in [] if name == column else column.removeprefix(f"{name}.").split("."):
        array = array.field(inner)
    return array


def _values(array: Any) -> Iterator[Any]:
    """Yield the values of an array of strings, or of lists of them; invalid UTF-8 is replaced."""
    import pyarrow

    if pyarrow.types.is_list(array.type) or pyarrow.types.is_large_list(array.type):
        for row in array:
            yield None if row.values is None else _list_value(row.values)
        return
    is_dictionary = pyarrow.types.is_dictionary(array.type)
    for scalar in array:
        plain = scalar.value if is_dictionary else scalar
        buffer = None if plain is None else plain.as_buffer()
        if buffer is None:
            yield None
        elif buffer.size > MAX_RECORD_BYTES:
            yield TOO_LONG
        else:
            yield buffer.to_pybytes().decode("utf-8", "replace")


def _list_value(array: Any) -> Any:
    size, values = 0, []
    for value in _values(array):
        size += len(value) if isinstance(value, str) else 0
        if value is TOO_LONG or size > MAX_RECORD_BYTES:
            return TOO_LONG
        values.append(value)
    return values
