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

FIRST, PER_OCTAVE = 8, 4  # lengths 8, 10, 12, 14, 16, 20, …: padding costs a tenth, on average


class EncodedPair(NamedTuple):
    """Token ids of both sides, each with END."""

    source: list[int]
    target: list[int]


def encode_pairs(
    pairs: Sequence[Pair], vocabulary: Subwords, max_positions: int, rejects: Rejects
) -> tuple[list[Pair], list[EncodedPair]]:
    """Encodes pairs; those longer than the model's positions are rejected.

    Returns:
        The pairs that remain, and their tokens.
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
            rows.append(EncodedPair([*source, END], [*target, END]))
    return kept, rows


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
    batch_tokens: int | None,
    batch_size: int | None,
    multiple: int,
    seed: int,
    start_step: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, np.ndarray]]:
    """Batches without end, from a step on; each epoch sees every pair once, in another order.

    Pairs of about one length stand together; the last batch of a length may be partly empty.

    Args:
        rows: all pairs.
        batch_tokens: tokens of a global batch on its longer side, padding included; or
        batch_size: pairs in it.
        multiple: what the number of rows is divisible by: devices times accumulation steps.
        seed: of the order.
        start_step: the first step.
        process: index and number of the processes; each takes its share of every batch.
    """
    num_steps = len(_epoch(rows, batch_tokens, batch_size, multiple, seed, 0))
    epoch, first = divmod(start_step, num_steps)
    while True:
        for numbers, num_rows in _epoch(rows, batch_tokens, batch_size, multiple, seed, epoch)[
            first:
        ]:
            yield _share([rows[i] for i in numbers], num_rows, process)
        epoch, first = epoch + 1, 0


def steps_per_epoch(
    rows: Sequence[EncodedPair], batch_tokens: int | None, batch_size: int | None, multiple: int
) -> int:
    """Batches in which every pair is seen once."""
    return len(_epoch(rows, batch_tokens, batch_size, multiple, 0, 0))


def _epoch(
    rows: Sequence[EncodedPair],
    batch_tokens: int | None,
    batch_size: int | None,
    multiple: int,
    seed: int,
    epoch: int,
) -> list[tuple[list[int], int]]:
    """Numbers of the pairs of every batch, and its rows."""
    groups: dict[int, list[int]] = {}
    for i in permute(np.arange(len(rows)), len(rows), seed, epoch).tolist():
        groups.setdefault(bucket(max(map(len, rows[i]))), []).append(i)
    batches = []
    for length, numbers in sorted(groups.items()):
        wanted = batch_size or (batch_tokens or 0) // length
        num_rows = max(multiple, wanted // multiple * multiple)
        batches += [(numbers[i : i + num_rows], num_rows) for i in range(0, len(numbers), num_rows)]
    places = permute(np.arange(len(batches)), len(batches), seed + 1, epoch)
    return [batches[place] for place in places.tolist()]


def eval_batches(
    rows: Sequence[EncodedPair], num_rows: int, process: tuple[int, int] = (0, 1)
) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
    """Every pair once, by the length of its source: numbers of a global batch's pairs, a share."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].source))
    for start in range(0, len(order), num_rows):
        numbers = order[start : start + num_rows]
        yield numbers, _share([rows[i] for i in numbers], num_rows, process)


def _share(
    chosen: Sequence[EncodedPair], num_rows: int, process: tuple[int, int]
) -> dict[str, np.ndarray]:
    index, count = process
    share = num_rows // count
    batch = {}
    for side in EncodedPair._fields:
        sides = [getattr(row, side) for row in chosen]
        tokens = np.full((num_rows, bucket(max(map(len, sides)))), PAD, np.int32)
        for i, ids in enumerate(sides):
            tokens[i, : len(ids)] = ids
        batch[side] = tokens[index * share : (index + 1) * share]
    return batch
