"""Encoded texts of many lengths to batches of few shapes."""

import bisect
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.data.loader import permute

BUCKETS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # lengths of rows, and so of programs
SORTED_TOGETHER = 50  # batches of an epoch among which rows are sorted by length
PACKED_LENGTH = 64  # tokens of a row of short texts: enough to be full, few to attend to
PACKED_TEXTS = 8  # texts that a row can hold
NO_LABEL = -1


class Row(NamedTuple):
    """A text, or a pair, as the model takes it."""

    tokens: list[int]
    """[CLS] A [SEP], or [CLS] A [SEP] B [SEP]."""
    first: int
    """Tokens of the first segment."""
    targets: dict[str, Any]
    """What to learn: numbers, or a list with a number for each token."""
    example: int = 0
    """The example that it is, or is a part of."""


def bucket(length: int, longest: int) -> int:
    """The length of a row that holds `length` tokens, when none is longer than `longest`."""
    return next((b for b in BUCKETS if length <= b < longest), longest)


def pad(rows: Sequence[Row], length: int, num_rows: int, pad_id: int) -> dict[str, np.ndarray]:
    """A batch: tokens [B, T], lengths [B, 1, 2] (0 where there is no row), targets [B] or [B, T].

    Targets by token are NO_LABEL where there is no token.
    """
    tokens = np.full((num_rows, length), pad_id, np.int32)
    lengths = np.zeros((num_rows, 1, 2), np.int32)
    targets: dict[str, np.ndarray] = {}
    for i, row in enumerate(rows):
        count = len(row.tokens)
        tokens[i, :count] = row.tokens
        lengths[i, 0] = row.first, count - row.first
        for name, value in row.targets.items():
            if isinstance(value, list):
                shape, fill, dtype = (num_rows, length), NO_LABEL, np.int32
                value = value + [NO_LABEL] * (length - count)
            else:
                shape, fill = (num_rows,), 0
                dtype = np.float32 if isinstance(value, float) else np.int32
            targets.setdefault(name, np.full(shape, fill, dtype))[i] = value
    return {"tokens": tokens, "lengths": lengths, **targets}


def hash_rows(rows: Iterable[Row]) -> str:
    """A hash of all rows in their order: of the arrays that a batch holds of each."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.example.to_bytes(8, "little"))
        for name, x in pad([row], len(row.tokens), 1, 0).items():
            digest.update(name.encode())
            digest.update(x.tobytes())
    return digest.hexdigest()


def share(batch: dict[str, np.ndarray], process: tuple[int, int]) -> dict[str, np.ndarray]:
    """A process's rows of a global batch; every process has the same arrays, even without a row."""
    index, count = process
    size = len(batch["tokens"]) // count
    return {name: x[index * size : (index + 1) * size] for name, x in batch.items()}


def steps_per_epoch(num_rows: int, batch_size: int) -> int:
    """Batches in which every row is seen once; the last may be partly empty."""
    return -(-num_rows // batch_size)


def train_batches(
    rows: Sequence[Row],
    batch_size: int,
    longest: int,
    pad_id: int,
    seed: int,
    start_step: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, np.ndarray]]:
    """Batches without end, from a step on; each epoch sees every row once, in another order.

    The whole epoch is shuffled, then rows of a similar length are put together within
    SORTED_TOGETHER batches, and these batches are shuffled again.

    Args:
        rows: all rows.
        batch_size: rows in the global batch.
        longest: tokens that a row can have.
        pad_id: the token that fills rows up.
        seed: of the order.
        start_step: the first step.
        process: index and number of the processes; each takes its share of every batch.
    """
    num_steps = steps_per_epoch(len(rows), batch_size)
    epoch, first = divmod(start_step, num_steps)
    while True:
        batches = _epoch_order(rows, batch_size, seed, epoch)
        for numbers in batches[first:]:
            chosen = [rows[i] for i in numbers]
            length = bucket(max(len(row.tokens) for row in chosen), longest)
            yield share(pad(chosen, length, batch_size, pad_id), process)
        epoch, first = epoch + 1, 0


def _epoch_order(rows: Sequence[Row], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    order = permute(np.arange(len(rows)), len(rows), seed, epoch).tolist()
    batches = []
    for start in range(0, len(order), SORTED_TOGETHER * batch_size):
        together = order[start : start + SORTED_TOGETHER * batch_size]
        together.sort(key=lambda i: len(rows[i].tokens))
        batches += [together[i : i + batch_size] for i in range(0, len(together), batch_size)]
    places = permute(np.arange(len(batches)), len(batches), seed + 1, epoch)
    return [batches[place] for place in places.tolist()]


def eval_batches(
    rows: Sequence[Row],
    batch_size: int,
    longest: int,
    pad_id: int,
    process: tuple[int, int] = (0, 1),
) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
    """Every row once, the short ones first: the numbers of a global batch's rows, and a share."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].tokens))
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        chosen = [rows[i] for i in numbers]
        length = bucket(len(chosen[-1].tokens), longest)
        yield numbers, share(pad(chosen, length, batch_size, pad_id), process)


def packed_batches(
    rows: Sequence[Row], batch_size: int, longest: int, pad_id: int
) -> Iterator[tuple[list[list[int]], dict[str, np.ndarray]]]:
    """Every row once, without targets, the longest first; short ones fill the rows up.

    All batches hold about as many tokens as `batch_size` rows of PACKED_LENGTH: the longer the
    rows, the fewer.

    Yields:
        The numbers of the rows that stand in each row of the batch, one after the other; and
        tokens [B, T], lengths [B, J, 2] with J = PACKED_TEXTS. Of one T there is one B, and in the
        last batch another one, a power of two.
    """
    waiting = _Waiting([len(row.tokens) for row in rows])
    full = min(PACKED_LENGTH, longest)
    while waiting.sizes:
        room = bucket(max(full, waiting.sizes[-1]), longest)
        most = max(1, batch_size * full // room)
        groups = list(itertools.takewhile(bool, (waiting.take(room) for _ in range(most))))
        joined = [[token for i in numbers for token in rows[i].tokens] for numbers in groups]
        num_rows = min(most, 1 << (len(groups) - 1).bit_length())
        length = bucket(max(map(len, joined)), longest)
        tokens = np.full((num_rows, length), pad_id, np.int32)
        lengths = np.zeros((num_rows, PACKED_TEXTS, 2), np.int32)
        for place, numbers in enumerate(groups):
            tokens[place, : len(joined[place])] = joined[place]
            segments = [(rows[i].first, len(rows[i].tokens) - rows[i].first) for i in numbers]
            lengths[place, : len(numbers)] = segments
        yield groups, {"tokens": tokens, "lengths": lengths}


class _Waiting:
    """Rows that are in no batch yet, by their sizes."""

    def __init__(self, sizes: Sequence[int]):
        self._rows: dict[int, list[int]] = {}
        for i in reversed(range(len(sizes))):
            self._rows.setdefault(sizes[i], []).append(i)
        self.sizes = sorted(self._rows)

    def take(self, room: int) -> list[int]:
        """The longest row, then again and again the longest that there is still room for."""
        taken: list[int] = []
        while len(taken) < PACKED_TEXTS and self.sizes and self.sizes[0] <= room:
            place = bisect.bisect_right(self.sizes, room) - 1
            size = self.sizes[place]
            taken.append(self._rows[size].pop())
            if not self._rows[size]:
                del self.sizes[place]
            room -= size
        return taken
