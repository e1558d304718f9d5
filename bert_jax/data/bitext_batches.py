"""Encoded pairs of sentences to batches of few shapes.

A batch is source int32 [B, S] and target int32 [B, T]: token ids, END, then PAD.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.data.bitext import Pair
from bert_jax.data.loader import permute
from bert_jax.data.rejects import Rejects
from bert_jax.data.subwords import END, PAD, UNK, Subwords
from bert_jax.errors import DataError

FIRST, PER_OCTAVE = 8, 4  # lengths 8, 10, 12, 14, 16, 20, …: padding costs a tenth, on average


class EncodedPair(NamedTuple):
    """Token ids of both sides, each with END."""

    source: list[int]
    target: list[int]


class Batching(NamedTuple):
    """How training pairs are put together."""

    tokens: int | None
    """Tokens of a global batch on its longer side, padding included; or"""
    size: int | None
    """pairs in it."""
    multiple: int
    """What the number of rows is divisible by: devices times accumulation steps."""
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
    """Encodes pairs; those longer than the model's positions are rejected.

    Args:
        pairs: texts.
        vocabulary: of both sides.
        max_positions: tokens that the model can read, END included.
        source_length: of `end_source`.
        rejects: takes the pairs that are too long.

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
            reason = f"longer than the model's {max_positions} positions"
            rejects.add(pair.place, reason, pair._asdict())
        else:
            kept.append(pair)
            rows.append(EncodedPair(end_source(source, source_length), [*target, END]))
    if not rows:
        raise DataError(
            f"{pairs[0].place} and on: all {len(pairs):,} pairs have more than {max_positions}"
            " tokens on one side, END included",
            "pairs that fit into the model's positions",
            "raise --model.max-positions, or cut the texts into sentences",
        )
    return kept, rows


def end_source(ids: Sequence[int], length: int) -> list[int]:
    """A source and its END, which is repeated where that makes fewer than `length` tokens."""
    return [*ids, *[END] * max(length - len(ids), 1)]


def count_unknown(rows: Sequence[EncodedPair]) -> int:
    """Pairs with symbols outside the vocabulary."""
    return sum(UNK in row.source or UNK in row.target for row in rows)


def bucket(length: int) -> int:
    """The length of a row that holds `length` tokens: four to an octave."""
    size = FIRST
    while size < length:
        octave = 1 << (size.bit_length() - 1)
        size += max(octave // PER_OCTAVE, 1)
    return size


def train_batches(
    rows: Sequence[EncodedPair],
    batching: Batching,
    seed: int,
    start_step: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, np.ndarray]]:
    """Batches without end, from a step on; each epoch sees every pair once, in another order.

    Pairs of about one length stand together, and all their batches have one shape, which is
    compiled once; the last batch of a length may be partly empty.

    Args:
        rows: all pairs.
        batching: how many of them make a batch.
        seed: of the order.
        start_step: the first step.
        process: index and number of the processes; each takes its share of every batch.
    """
    num_steps = steps_per_epoch(rows, batching)
    epoch, first = divmod(start_step, num_steps)
    while True:
        for numbers, shape in _epoch(rows, batching, seed, epoch)[first:]:
            yield _share([rows[i] for i in numbers], shape, process)
        epoch, first = epoch + 1, 0


def steps_per_epoch(rows: Sequence[EncodedPair], batching: Batching) -> int:
    """Batches in which every pair is seen once."""
    return len(_epoch(rows, batching, 0, 0))


def _epoch(
    rows: Sequence[EncodedPair], batching: Batching, seed: int, epoch: int
) -> list[tuple[list[int], Shape]]:
    """Numbers of the pairs of every batch, and its shape."""
    groups: dict[int, list[int]] = {}
    for i in permute(np.arange(len(rows)), len(rows), seed, epoch).tolist():
        longest = max(map(len, rows[i]))
        groups.setdefault(bucket(max(longest, batching.min_length)), []).append(i)
    batches = []
    for length, numbers in sorted(groups.items()):
        wanted = batching.size or (batching.tokens or 0) // length
        num_rows = max(batching.multiple, wanted // batching.multiple * batching.multiple)
        shape = _shape([rows[i] for i in numbers], num_rows)
        batches += [(numbers[i : i + num_rows], shape) for i in range(0, len(numbers), num_rows)]
    places = permute(np.arange(len(batches)), len(batches), seed + 1, epoch)
    return [batches[place] for place in places.tolist()]


def eval_batches(
    rows: Sequence[EncodedPair], num_rows: int, process: tuple[int, int] = (0, 1)
) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
    """Every pair once, by the length of its source: numbers of a global batch's pairs, a share."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].source))
    for start in range(0, len(order), num_rows):
        numbers = order[start : start + num_rows]
        chosen = [rows[i] for i in numbers]
        yield numbers, _share(chosen, _shape(chosen, num_rows), process)


def _shape(chosen: Sequence[EncodedPair], num_rows: int) -> Shape:
    """The shape of a batch that has room for any of these pairs."""
    source, target = (bucket(max(map(len, side))) for side in zip(*chosen, strict=True))
    return Shape(num_rows, source, target)


def _share(
    chosen: Sequence[EncodedPair], shape: Shape, process: tuple[int, int]
) -> dict[str, np.ndarray]:
    index, count = process
    share = shape.num_rows // count
    batch = {}
    for side in EncodedPair._fields:
        tokens = np.full((shape.num_rows, getattr(shape, side)), PAD, np.int32)
        for i, row in enumerate(chosen):
            ids = getattr(row, side)
            tokens[i, : len(ids)] = ids
        batch[side] = tokens[index * share : (index + 1) * share]
    return batch
