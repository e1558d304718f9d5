"""Rows to batches: random access, order by formula, and a place in the data that is a number."""

import contextlib
import functools
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

import grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import Int

from bert_jax.data.rows import RowFormat
from bert_jax.errors import ConfigError, DataError

Batch = dict[str, np.ndarray]
ROUNDS = 8
MAX_OPEN = 8192  # shards that are open at a time, where the system allows
RESTORE = "restore the file, or run prepare.py again"


class PretrainingRows:
    """The rows of one split of prepared data, by number.

    `PreparedData.rows(length, split)` makes these.

    Args:
        folder: of the data set, such as "prepared/T128".
        row_format: the rows' shape.
        shards: file names and their numbers of rows, in order.
    """

    def __init__(
        self, folder: str | Path, row_format: RowFormat, shards: Sequence[tuple[str, int]]
    ):
        self.format = row_format
        self._files = [str(Path(folder) / file) for file, _ in shards]
        self._starts = np.cumsum([0] + [rows for _, rows in shards])
        missing = [file for file in self._files if not Path(file).is_file()]
        if missing:
            raise DataError(
                f"{missing[0]} is missing", "all shards that report.json lists", RESTORE
            )
        self._reader = functools.lru_cache(_num_open())(self._open)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: Int[np.ndarray, "B"]) -> Batch:
        """The rows of these numbers: tokens, lengths, is_random_next, row, all int32.

        Raises:
            DataError: a shard has vanished, or is damaged.
        """
        rows = np.asarray(rows)
        try:
            arrays = self.format.read(self.read(rows))
        except Exception as error:
            raise self._explain(rows, error) from None
        return {**arrays, "row": rows.astype(np.int32)}

    def read(self, rows: Int[np.ndarray, "B"]) -> list[bytes]:
        """The records of these rows."""
        records = [b""] * len(rows)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shards).tolist():
            places = np.flatnonzero(shards == shard)
            found = self._reader(shard).read((rows[places] - self._starts[shard]).tolist())
            for place, record in zip(places.tolist(), found, strict=True):
                records[place] = record
        return records

    def _open(self, shard: int) -> ArrayRecordReader:
        """A reader, which any number of threads may use."""
        return ArrayRecordReader(
            self._files[shard], options="readahead_buffer_size:0", file_reader_buffer_size=4096
        )

    def _explain(self, rows: np.ndarray, error: Exception) -> DataError:
        """Looks for the record that cannot be read."""
        for row in rows.tolist():
            shard = int(np.searchsorted(self._starts, row, side="right")) - 1
            file, record = self._files[shard], row - int(self._starts[shard])
            try:
                self.format.read(self.read(np.array([row])))
            except Exception as found:
                reason = "another layout" if isinstance(found, ValueError) else str(found)
                break
        else:
            reason = str(error)
        return DataError(
            f"{file}, record {record}: cannot be read ({reason.splitlines()[0][:200]})",
            "the shard as prepare.py wrote it",
            RESTORE,
        )


def _num_open() -> int:
    """Shards to keep open: up to a quarter of the files that this process may have open.

    A soft limit that is too low for MAX_OPEN is raised: shuffled rows come from all shards, and
    opening one costs many times as much as reading a row.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MAX_OPEN if hard == resource.RLIM_INFINITY else min(4 * MAX_OPEN, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # systems may allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MAX_OPEN if soft == resource.RLIM_INFINITY else max(1, min(MAX_OPEN, soft // 4))


def permute(places: Int[np.ndarray, "n"], size: int, seed: int, epoch: int) -> np.ndarray:
    """The numbers at these places of a pseudo-random permutation of 0 … size−1.

    A Feistel network over Z_a × Z_b with a·b just above `size`, walked on until it falls below
    (Black and Rogaway 2002): any place of an epoch of any size costs the same, nothing is stored,
    and it never changes between versions of NumPy.
    """
    a = int(np.ceil(np.sqrt(size)))
    b = -(-size // a)
    keys = np.random.SeedSequence([seed, epoch]).generate_state(ROUNDS, np.uint64)
    numbers = np.array(places, np.uint64)
    walk = np.arange(len(numbers))
    while walk.size:
        left, right = numbers[walk] // np.uint64(b), numbers[walk] % np.uint64(b)
        for first, second in keys.reshape(-1, 2):
            left = (left + _mix(right, first) % np.uint64(a)) % np.uint64(a)
            right = (right + _mix(left, second) % np.uint64(b)) % np.uint64(b)
        numbers[walk] = left * np.uint64(b) + right
        walk = walk[numbers[walk] >= size]
    return numbers.astype(np.int64)


def _mix(values: np.ndarray, key: np.uint64) -> np.ndarray:
    """SplitMix64's finaliser over values and a key."""
    mixed = (values ^ key) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def load_batch(
    rows: PretrainingRows,
    batch_size: int,
    seed: int,
    step: int,
    process: tuple[int, int] = (0, 1),
    skip: int = 0,
) -> Batch:
    """One process's share of the global batch of one step.

    Step s covers B places from skip + s·B on; place g is in epoch g // n, at place g % n of that
    epoch's permutation.

    Args:
        rows: the data.
        batch_size: rows in the global batch B.
        seed: of the order.
        step: from 0.
        process: index and number of the processes.
        skip: rows that were taken before step 0.
    """
    index, count = process
    share = batch_size // count
    places = skip + step * batch_size + index * share + np.arange(share)
    epochs = places // len(rows)
    numbers = np.empty(share, np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        numbers[here] = permute(places[here] % len(rows), len(rows), seed, int(epoch))
    return {**rows[numbers], "epoch": epochs.astype(np.int32)}


def batches(
    rows: PretrainingRows,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    num_steps: int | None = None,
    skip: int = 0,
) -> Iterator[Batch]:
    """Batches of steps start_step, start_step + 1, …, read ahead by threads; see `load_batch`.

    Args:
        rows: the data.
        batch_size: rows in the global batch B; a multiple of process_count.
        seed: of the order.
        start_step: the first step; all there is to resuming.
        process_index: this process.
        process_count: how many processes share a batch.
        num_steps: steps in all; None never ends.
        skip: rows that were taken before step 0, by an earlier phase.
    """
    _check_share(batch_size, process_count)
    stop = start_step + num_steps if num_steps is not None else np.iinfo(np.int64).max
    process = (process_index, process_count)
    steps = grain.MapDataset.range(start_step, stop)
    data = steps.map(lambda step: load_batch(rows, batch_size, seed, int(step), process, skip))
    return iter(data.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))


def eval_batches(
    rows: PretrainingRows,
    batch_size: int,
    max_rows: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Up to `max_rows` rows, spread evenly over the split and the same ones every time.

    Rows of zeros, numbered −1, fill the last batch up.
    """
    _check_share(batch_size, process_count)
    total = min(len(rows), max_rows if max_rows is not None else len(rows))
    chosen = np.arange(total) * len(rows) // max(total, 1)
    share = batch_size // process_count
    for start in range(0, total, batch_size):
        first = start + process_index * share
        numbers = chosen[first : first + share]
        batch = rows[numbers] if len(numbers) else rows[np.array([0])]
        for name, values in batch.items():
            filled = np.zeros((share, *values.shape[1:]), np.int32)
            filled[: len(numbers)] = values[: len(numbers)]
            batch[name] = filled
        batch["row"][len(numbers) :] = -1
        yield {**batch, "epoch": np.zeros(share, np.int32)}


def _check_share(batch_size: int, process_count: int) -> None:
    if batch_size % process_count:
        raise ConfigError(
            f"batch_size {batch_size} over {process_count} processes",
            f"a multiple of {process_count}",
            "change phase.batch_size or the number of processes",
        )
