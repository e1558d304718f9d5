"""Speed of rows → batches, mapped and not, next to TFDS's own reading, in the same run.

    python benchmarks/loader_speed.py [PREPARED]

Print rows per second per core (of processor time) for shuffled batches of memory-mapped shards, of
ArrayRecord's reader, and of TFDS's `as_data_source().__getitems__`, and the cost of each stage.
Without a folder, rows of random tokens are written first.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import tensorflow_datasets as tfds
import tyro
from array_record.python.array_record_module import ArrayRecordWriter

from bert_jax.corpus.build import Shard
from bert_jax.corpus.datasets import finish_dataset, shard_names
from bert_jax.corpus.loader import PretrainingRows, load_batch, pretraining_batches
from bert_jax.corpus.permutation import permute
from bert_jax.corpus.prepared import PreparedData
from bert_jax.corpus.rows import RowFormat


def main(
    prepared: Annotated[str | None, tyro.conf.Positional] = None,
    length: int = 128,
    batch_size: int = 256,
    num_steps: int = 200,
) -> None:
    """Measure and print.

    Args:
        prepared: folder that prepare.py wrote; None writes random rows.
        length: row length T in tokens.
        batch_size: rows in a batch B.
        num_steps: number of batches to load.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if prepared is None:
            folder = Path(scratch)
            rows = write_random_rows(folder, length, num_rows=100_000, num_shards=8)
        else:
            folder = Path(prepared) / f"T{length}"
            rows = PreparedData(prepared).rows(length)
        print(f"{folder}: {len(rows):,} rows of {length} tokens, batches of {batch_size}")
        source = tfds.builder_from_directory(str(folder)).as_data_source(split="train")
        read = getattr(source, "__getitems__")  # noqa: B009 (TFDS types it as one of many)
        numbers = [
            permute(np.arange(batch_size) + step * batch_size, len(rows), 0, 0)
            for step in range(min(num_steps, len(rows) // batch_size))
        ]
        count = batch_size * len(numbers)

        def read_ahead() -> None:
            for _ in pretraining_batches(rows, batch_size, seed=0, num_steps=len(numbers)):
                pass

        def load() -> None:
            for step in range(len(numbers)):
                load_batch(rows, batch_size, 0, step)

        few = numbers[: max(1, len(numbers) // 10)]
        speeds = {
            "TFDS as_data_source": measure_rate(
                lambda: [stack(read(n.tolist())) for n in few],
                batch_size * len(few),
            ),
            "ArrayRecord's reader": measure_rate(load, count),
        }
        by_reader = 1e6 / measure_rate(lambda: [rows.read_table(n) for n in numbers], count)[0]
        start = time.process_time()
        rows.map_shards()
        seconds = time.process_time() - start
        speeds["mapped shards"] = measure_rate(load, count)
        speeds["mapped, read ahead by threads"] = measure_rate(read_ahead, count)
        for name, (per_core, wall) in speeds.items():
            print(f"  {name:32s} {per_core:9,.0f} rows/s per core ({wall:,.0f} by wall clock)")
        ratio = speeds["mapped shards"][0] / speeds["TFDS as_data_source"][0]
        print(f"  ratio {ratio:.1f}; hashing and mapping took {seconds:.2f} s of processor time")
        print("\ncost of each stage, microseconds per row:")
        table = rows.read_table(numbers[0])
        stages = {
            "order of rows (permutation)": lambda: [
                permute(np.arange(batch_size), len(rows), 0, 0) for _ in numbers
            ],
            "reading records in place": lambda: [rows.read_table(n) for n in numbers],
            "records to arrays (NumPy)": lambda: [
                rows.row_format.from_table(table) for _ in numbers
            ],
        }
        for stage, function in stages.items():
            print(f"  {stage:32s} {1e6 / measure_rate(function, count)[0]:6.2f}")
        print(f"  {'(reading by ArrayRecord)':32s} {by_reader:6.2f}")


def measure_rate(function: Callable[[], object], count: int) -> tuple[float, float]:
    """Return rows per second of processor time and of wall time, the best of three runs."""
    best = [0.0, 0.0]
    for _ in range(3):
        start, clock = time.process_time(), time.perf_counter()
        function()
        best[0] = max(best[0], count / (time.process_time() - start))
        best[1] = max(best[1], count / (time.perf_counter() - clock))
    return best[0], best[1]


def stack(examples: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Stack TFDS's examples to one batch."""
    return {name: np.stack([e[name] for e in examples]).astype(np.int32) for name in examples[0]}


def write_random_rows(folder: Path, length: int, num_rows: int, num_shards: int) -> PretrainingRows:
    """Write a data set of random tokens, in rows that pairs fill, and open it."""
    rng = np.random.default_rng(0)
    row_format = RowFormat(length, max(2, length // 32), vocab_size=30522)
    shards = []
    for index in range(num_shards):
        count = num_rows // num_shards
        rows = {
            name: rng.integers(0, 2 if name == "is_random_next" else 60, (count, *shape))
            for name, (shape, _) in row_format.features.items()
        }
        rows["lengths"][:] = length // (2 * row_format.max_sequences)
        path = folder / f"{index}.tmp"
        writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
        for record in row_format.to_records(rows):
            writer.write(record)
        writer.close()
        shards.append(Shard(str(path), num_rows=count, num_bytes=path.stat().st_size))
    finish_dataset(folder, row_format, {"train": shards})
    files = [
        (name, shard.num_rows)
        for name, shard in zip(shard_names("train", num_shards), shards, strict=True)
    ]
    hashes = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name, _ in files]
    return PretrainingRows(folder, row_format, files, hashes)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
