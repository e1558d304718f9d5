"""Turn rows into batches: random access in an order by formula; the step is the only position."""

import contextlib
import functools
import resource
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import Int, UInt8

from bert_jax.corpus.mapped import MappedShards
from bert_jax.corpus.permutation import permute
from bert_jax.corpus.rows import RowFormat
from bert_jax.corpus.workers import count_cores
from bert_jax.errors import ConfigError, DataError

HostBatch = dict[str, np.ndarray]
MAX_OPEN_SHARDS = 8192  # at a time, where the system allows
MAX_THREADS = 8  # that read ahead
RESTORE = "restore the file, or run prepare.py again"


class PretrainingRows:
    """Random access to the rows of one split of prepared data.

    `PreparedData.rows(length, split)` opens them.

    Args:
        folder: folder of the data set, such as "prepared/T128".
        row_format: shape of the rows.
        shards: name and number of rows of each file, in order.
        hashes: SHA-256 of each file, from the data report; without them no file is mapped.

    Raises:
        DataError: a shard is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        row_format: RowFormat,
        shards: Sequence[tuple[str, int]],
        hashes: Sequence[str] = (),
    ):
        self.row_format = row_format
        self._files = [str(Path(folder) / file) for file, _ in shards]
        self._starts = np.cumsum([0] + [num_rows for _, num_rows in shards])
        missing = [file for file in self._files if not Path(file).is_file()]
        if missing:
            raise DataError(
                f"{missing[0]} is missing", "all shards that report.json lists", RESTORE
            )
        self._hashes = hashes
        self._max_open = _max_open_shards()
        self._reader = functools.lru_cache(self._max_open)(self._open)
        self._mapped = MappedShards(len(shards), len(row_format.template))
        self._mapping: threading.Thread | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: Int[np.ndarray, "B"]) -> HostBatch:
        """Return the rows of these numbers: tokens, lengths, is_random_next, row, all int32.

        Raises:
            DataError: a shard has vanished, or is damaged.
        """
        rows = np.asarray(rows)
        try:
            arrays = self.row_format.from_table(self.read_table(rows))
        except Exception as error:
            raise self._describe_damage(rows, error) from None
        return {**arrays, "row": rows.astype(np.int32)}

    def read_table(self, rows: Int[np.ndarray, "B"]) -> UInt8[np.ndarray, "B bytes"]:
        """Return the records of these rows: of mapped shards in place, else by their reader."""
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        numbers = rows - self._starts[shards]
        mapped = self._mapped.is_mapped[shards]
        if mapped.all():
            return self._mapped.read(shards, numbers)
        table = np.empty((len(rows), len(self.row_format.template)), np.uint8)
        table[mapped] = self._mapped.read(shards[mapped], numbers[mapped])
        for shard in np.unique(shards[~mapped]).tolist():
            indices = np.flatnonzero((shards == shard) & ~mapped)
            read = self._reader(shard).read(numbers[indices].tolist())
            table[indices] = self.row_format.stack(read)
        return table

    def start_mapping(self) -> None:
        """Map all shards in a thread: their hashes are compared first, which takes a while."""
        if self._mapping is None:
            self._mapping = threading.Thread(target=self.map_shards, name="mapping", daemon=True)
            self._mapping.start()

    def map_shards(self) -> None:
        """Map all shards whose hash is that of the data report, as many as may be open.

        Mapped rows are read about ten times as fast. A shard that has changed stays with its
        reader, which compares the hash of every record.
        """
        for shard, sha256 in enumerate(self._hashes[: self._max_open]):
            num_rows = int(self._starts[shard + 1] - self._starts[shard])
            self._mapped.map(shard, self._files[shard], num_rows, sha256)

    def _open(self, shard: int) -> ArrayRecordReader:
        """Open a shard's reader, which any number of threads may use."""
        return ArrayRecordReader(
            self._files[shard], options="readahead_buffer_size:0", file_reader_buffer_size=4096
        )

    def _describe_damage(self, rows: np.ndarray, error: Exception) -> DataError:
        """Find the record that cannot be read, and return an error that names it."""
        for row in rows.tolist():
            shard = int(np.searchsorted(self._starts, row, side="right")) - 1
            file, record = self._files[shard], row - int(self._starts[shard])
            try:
                self.row_format.from_records(self._reader(shard).read([record]))
            except Exception as cause:
                reason = "a different layout" if isinstance(cause, ValueError) else str(cause)
                break
        else:
            reason = str(error)
        return DataError(
            f"{file}, record {record}: cannot be read ({reason.splitlines()[0][:200]})",
            "the shard as prepare.py wrote it",
            RESTORE,
        )


def _max_open_shards() -> int:
    """Return how many shards to keep open: at most a quarter of this process's file limit.

    A soft limit that is too low for MAX_OPEN_SHARDS is raised: shuffled rows come from all shards,
    and opening one costs many times as much as reading a row.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = 4 * MAX_OPEN_SHARDS
    if hard != resource.RLIM_INFINITY:
        target = min(target, hard)
    if soft != resource.RLIM_INFINITY and soft < target:
        with contextlib.suppress(OSError, ValueError):  # systems may allow less than they report
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
    if soft == resource.RLIM_INFINITY:
        return MAX_OPEN_SHARDS
    return max(1, min(MAX_OPEN_SHARDS, soft // 4))


def load_batch(
    rows: PretrainingRows,
    batch_size: int,
    seed: int,
    step: int,
    process: tuple[int, int] = (0, 1),
    skip: int = 0,
) -> HostBatch:
    """Load one process's share of the global batch of one step.

    Step s covers B positions from skip + s·B on; of n rows, position g is in epoch g // n, at
    position g % n of that epoch's permutation.

    Args:
        rows: rows of the training split.
        batch_size: rows in the global batch B.
        seed: seed of the order.
        step: number of the step, from 0.
        process: index of this process, and number of processes.
        skip: rows that were taken before step 0.
    """
    index, num_processes = process
    share = batch_size // num_processes
    positions = skip + step * batch_size + index * share + np.arange(share)
    epochs = positions // len(rows)
    numbers = np.empty(share, np.int64)
    for epoch in np.unique(epochs):
        in_epoch = epochs == epoch
        numbers[in_epoch] = permute(positions[in_epoch] % len(rows), len(rows), seed, int(epoch))
    return {**rows[numbers], "epoch": epochs.astype(np.int32)}


def pretraining_batches(
    rows: PretrainingRows,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    process: tuple[int, int] = (0, 1),
    num_steps: int | None = None,
    skip: int = 0,
) -> Iterator[HostBatch]:
    """Iterate over the batches of steps start_step, start_step + 1, …, read ahead by threads.

    `load_batch` defines what is in them.

    Args:
        rows: rows of the training split.
        batch_size: rows in the global batch B; a multiple of the number of processes.
        seed: seed of the order.
        start_step: first step; all that resuming needs.
        process: index of this process, and number of processes that share each batch.
        num_steps: number of steps; None never ends.
        skip: rows that were taken before step 0, by an earlier phase.

    Raises:
        ConfigError: batch_size is no multiple of the number of processes.
    """
    _check_share(batch_size, process)
    rows.start_mapping()
    stop = start_step + num_steps if num_steps is not None else np.iinfo(np.int64).max
    steps = grain.MapDataset.range(start_step, stop)
    data = steps.map(lambda step: load_batch(rows, batch_size, seed, int(step), process, skip))
    num_threads = min(count_cores(), MAX_THREADS)
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
    return iter(data.to_iter_dataset(options))


def pretraining_eval_batches(
    rows: PretrainingRows,
    batch_size: int,
    max_rows: int | None = None,
    process: tuple[int, int] = (0, 1),
) -> Iterator[HostBatch]:
    """Iterate over up to `max_rows` rows, spaced evenly over the split, the same every time.

    Rows of zeros, numbered −1, fill up the last batch.

    Raises:
        ConfigError: batch_size is no multiple of the number of processes.
    """
    _check_share(batch_size, process)
    index, num_processes = process
    total = min(len(rows), max_rows if max_rows is not None else len(rows))
    selected = np.arange(total) * len(rows) // max(total, 1)
    share = batch_size // num_processes
    for start in range(0, total, batch_size):
        first = start + index * share
        numbers = selected[first : first + share]
        batch = rows[numbers] if len(numbers) else rows[np.array([0])]
        for name, values in batch.items():
            padded = np.zeros((share, *values.shape[1:]), np.int32)
            padded[: len(numbers)] = values[: len(numbers)]
            batch[name] = padded
        batch["row"][len(numbers) :] = -1
        yield {**batch, "epoch": np.zeros(share, np.int32)}


def _check_share(batch_size: int, process: tuple[int, int]) -> None:
    """Check that processes can share a batch equally."""
    num_processes = process[1]
    if batch_size % num_processes:
        raise ConfigError(
            f"batch_size {batch_size} over {num_processes} processes",
            f"a multiple of {num_processes}",
            "change phase.batch_size or the number of processes",
        )
