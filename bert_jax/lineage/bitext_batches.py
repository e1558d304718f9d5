"""Batches of few shapes from encoded pairs of sentences.

A batch is source int32 [B, S] and target int32 [B, T]: token ids, END, then PAD.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.corpus.permutation import permute
from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.lineage.bitext import Pair
from bert_jax.lineage.subwords import END, PAD, UNK, Subwords

# Lengths 8, 10, 12, 14, 16, 20, …: a tenth of a batch is padding, on average.
SHORTEST_BUCKET, BUCKETS_PER_OCTAVE = 8, 4


class EncodedPair(NamedTuple):
    """Token ids of both sides, each with END."""

    source: list[int]
    target: list[int]


class Batching(NamedTuple):
    """Size of training batches, in tokens or in pairs."""

    num_tokens: int | None
    """Tokens of a global batch on its longer side, padding included; None: set by num_pairs."""
    num_pairs: int | None
    """Pairs in a global batch; None: set by num_tokens."""
    row_multiple: int
    """Divisor of the number of rows: devices times accumulation steps."""
    min_length: int
    """Pairs shorter than this share batches."""


class Shape(NamedTuple):
    """Rows of a global batch, and the length of either side."""

    num_rows: int
    source: int
    target: int


def encode_pairs(
    pairs: Sequence[Pair],
    vocabulary: Subwords,
    max_positions: int,
    source_length: int,
    rejects: Rejects,
) -> tuple[list[Pair], list[EncodedPair]]:
    """Encode pairs; those longer than the model reads are rejected.

    Args:
        pairs: texts.
        vocabulary: of both sides.
        max_positions: most tokens that the model reads, END included.
        source_length: sources with fewer tokens are filled with END, see `append_end`.
        rejects: collects the pairs that are too long.

    Returns:
        The pairs that remain, and their tokens.

    Raises:
        DataError: no pair remains.
    """
    kept, rows = [], []
    sources = vocabulary.encode([pair.source for pair in pairs])
    targets = vocabulary.encode([pair.target for pair in pairs])
    for pair, source, target in zip(pairs, sources, targets, strict=True):
        longest = max(len(source), len(target)) + 1
        if longest > max_positions:
            reason = f"longer than the {max_positions} tokens that the model reads"
            rejects.add(pair.place, reason, pair._asdict())
        else:
            kept.append(pair)
            rows.append(EncodedPair(append_end(source, source_length), [*target, END]))
    if not rows:
        raise DataError(
            f"all {len(pairs):,} pairs, from {pairs[0].place} on, have more than {max_positions}"
            " tokens on one side, END included",
            "pairs that the model can read",
            "raise --model.max-positions, or split the texts into sentences",
        )
    return kept, rows


def append_end(ids: Sequence[int], min_length: int) -> list[int]:
    """Append END to a source, as often as it takes to make `min_length` tokens."""
    return [*ids, *[END] * max(min_length - len(ids), 1)]


def count_unknown(rows: Sequence[EncodedPair]) -> int:
    """Count the pairs with symbols outside the vocabulary."""
    return sum(UNK in row.source or UNK in row.target for row in rows)


def bucket_length(length: int) -> int:
    """Round a number of tokens up to the length of a row: one of four to an octave."""
    size = SHORTEST_BUCKET
    while size < length:
        octave = 1 << (size.bit_length() - 1)
        size += max(octave // BUCKETS_PER_OCTAVE, 1)
    return size


def translation_batches(
    rows: Sequence[EncodedPair],
    batching: Batching,
    seed: int,
    start_step: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches without end; each epoch sees every pair once, in a different order.

    A batch has pairs of about one length, and all batches of a length have one shape, which is
    compiled once; the last batch of a length may be partly empty.

    Args:
        rows: all pairs.
        batching: the size of a batch.
        seed: of the order.
        start_step: the step of the first batch.
        process: index of this process and number of processes; each takes its share of a batch.
    """
    num_steps = steps_per_epoch(rows, batching)
    epoch, first = divmod(start_step, num_steps)
    while True:
        for indices, shape in _plan_epoch(rows, batching, seed, epoch)[first:]:
            yield _process_share([rows[i] for i in indices], shape, process)
        epoch, first = epoch + 1, 0


def steps_per_epoch(rows: Sequence[EncodedPair], batching: Batching) -> int:
    """Return the number of batches in which every pair is seen once."""
    return len(_plan_epoch(rows, batching, 0, 0))


def planned_batches(rows: Sequence[EncodedPair], batching: Batching) -> list[dict[str, np.ndarray]]:
    """Return a global batch, empty, of each shape that training has, to compile for it."""
    shapes = {shape for _, shape in _plan_epoch(rows, batching, 0, 0)}
    return [_process_share([], shape, (0, 1)) for shape in sorted(shapes)]


def _plan_epoch(
    rows: Sequence[EncodedPair], batching: Batching, seed: int, epoch: int
) -> list[tuple[list[int], Shape]]:
    """Return the indices of the pairs of every batch, and its shape."""
    groups: dict[int, list[int]] = {}
    for i in permute(np.arange(len(rows)), len(rows), seed, epoch).tolist():
        longest = max(map(len, rows[i]))
        groups.setdefault(bucket_length(max(longest, batching.min_length)), []).append(i)
    batches = []
    for length, indices in sorted(groups.items()):
        num_pairs = batching.num_pairs or (batching.num_tokens or 0) // length
        multiple = batching.row_multiple
        num_rows = max(multiple, num_pairs // multiple * multiple)
        shape = _shape([rows[i] for i in indices], num_rows)
        batches += [(indices[i : i + num_rows], shape) for i in range(0, len(indices), num_rows)]
    order = permute(np.arange(len(batches)), len(batches), seed + 1, epoch)
    return [batches[i] for i in order.tolist()]


def translation_eval_batches(
    rows: Sequence[EncodedPair], num_rows: int, process: tuple[int, int] = (0, 1)
) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
    """Yield every pair once, by the length of its source.

    Yields:
        The indices of a global batch's pairs, and this process's share of the batch.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].source))
    for start in range(0, len(order), num_rows):
        indices = order[start : start + num_rows]
        pairs = [rows[i] for i in indices]
        yield indices, _process_share(pairs, _shape(pairs, num_rows), process)


def _shape(pairs: Sequence[EncodedPair], num_rows: int) -> Shape:
    """Return the shape of a batch that holds any of these pairs."""
    source, target = (bucket_length(max(map(len, side))) for side in zip(*pairs, strict=True))
    return Shape(num_rows, source, target)


def _process_share(
    pairs: Sequence[EncodedPair], shape: Shape, process: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Return a process's rows of the padded batch of these pairs."""
    index, num_processes = process
    share = shape.num_rows // num_processes
    batch = {}
    for side in EncodedPair._fields:
        tokens = np.full((shape.num_rows, getattr(shape, side)), PAD, np.int32)
        for i, row in enumerate(pairs):
            ids = getattr(row, side)
            tokens[i, : len(ids)] = ids
        batch[side] = tokens[index * share : (index + 1) * share]
    return batch
