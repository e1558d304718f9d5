"""Batches for fine-tuning: shuffled without end, texts of many lengths packed into few shapes.

`labelled/packed.py` makes the batches of evaluation and prediction, from the same parts.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.corpus.loader import HostBatch
from bert_jax.corpus.packing import pack
from bert_jax.corpus.permutation import permute

# Row lengths; each is compiled once.
BUCKETS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144)
PACKED_LENGTH = 64  # tokens in a row of short texts: long enough to fill, cheap to attend over
MIN_TOKENS_PER_SLOT = 8  # a row of T tokens has T / 8 slots, each for one text of any length
SORT_WINDOW = 50  # training batches within which texts are sorted by length
PLANNING_SEEDS = 3  # first epochs of seeds 0, 1, 2: they determine the shapes of all others
SMALL_SHAPE_SHARE = 0.9  # share of the batches that fit into the smaller of two shapes
NO_LABEL = -1

Groups = list[list[int]]
"""Indices of the texts in each row of a batch, in order."""


class EncodedText(NamedTuple):
    """A text, or a pair of texts, as token ids."""

    tokens: list[int]
    """[CLS] A [SEP], or [CLS] A [SEP] B [SEP]."""
    first_length: int
    """Tokens in the first segment, special tokens included."""
    targets: dict[str, Any]
    """Training targets by name: a number, an array of the text, or a list with a number for each
    token."""
    example: int = 0
    """Index of the example that it encodes, in whole or in part."""
    truncated: bool = False
    """True if tokens of the example were left out to keep to the maximum length."""


class Packing(NamedTuple):
    """Parameters for packing texts into the rows of a global batch."""

    max_length: int
    """Tokens in the longest text that may occur."""
    pad_id: int
    """The padding token."""
    row_multiple: int = 1
    """The number of rows is a multiple of this: the number of devices."""
    process: tuple[int, int] = (0, 1)
    """Index of this process, and number of processes; each takes its share of every batch."""

    def bucket(self, length: int) -> int:
        """Return the smallest row length that holds `length` tokens."""
        largest = max(self.max_length, PACKED_LENGTH)
        return next((b for b in BUCKETS if length <= b < largest), largest)

    def shared_row_length(self, longest: int) -> int:
        """Return the length of rows shared by texts of at most `longest` tokens."""
        return self.bucket(max(longest, PACKED_LENGTH))

    def round_up(self, num_rows: int) -> int:
        """Return the next number of rows that splits evenly over the devices."""
        return -(-num_rows // self.row_multiple) * self.row_multiple

    def share(self, batch: HostBatch) -> HostBatch:
        """Return this process's rows; all processes get the same keys, even without a text."""
        index, count = self.process
        size = len(batch["tokens"]) // count
        return {name: x[index * size : (index + 1) * size] for name, x in batch.items()}


def max_texts(length: int) -> int:
    """Return J, the maximum number of texts in a row of `length` tokens."""
    return max(1, length // MIN_TOKENS_PER_SLOT)


def collate(
    texts: Sequence[EncodedText], groups: Groups, num_rows: int, length: int, pad_id: int = 0
) -> HostBatch:
    """Collate groups of texts into a batch, one group per row, its texts one after the other.

    Args:
        texts: all texts.
        groups: indices of the texts in each row.
        num_rows: B; rows after the last group are empty.
        length: T, tokens in a row.
        pad_id: the padding token.

    Returns:
        tokens [B, T]; lengths [B, J, 2], 0 where there is no text; and targets, [B, J] or, of
        arrays, [B, J, …], or [B, T] per token with NO_LABEL on padding.
    """
    tokens = np.full((num_rows, length), pad_id, np.int32)
    lengths = np.zeros((num_rows, max_texts(length), 2), np.int32)
    targets: HostBatch = {}
    for row, indices in enumerate(groups):
        start = 0
        for slot, text in enumerate(texts[i] for i in indices):
            stop = start + len(text.tokens)
            tokens[row, start:stop] = text.tokens
            lengths[row, slot] = text.first_length, len(text.tokens) - text.first_length
            for name, value in text.targets.items():
                if name not in targets:
                    targets[name] = _empty_target(value, tokens.shape, lengths.shape[:2])
                targets[name][row, slice(start, stop) if isinstance(value, list) else slot] = value
            start = stop
    return {"tokens": tokens, "lengths": lengths, **targets}


def _empty_target(
    value: Any, token_shape: tuple[int, ...], text_shape: tuple[int, ...]
) -> np.ndarray:
    if isinstance(value, list):
        return np.full(token_shape, NO_LABEL, np.int32)
    is_float = np.asarray(value).dtype.kind == "f"
    return np.zeros((*text_shape, *np.shape(value)), np.float32 if is_float else np.int32)


def hash_texts(texts: Iterable[EncodedText]) -> str:
    """Return a hash of all texts in their order, over the arrays that `collate` makes of each."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.example.to_bytes(8, "little"))
        for name, x in collate([text], [[0]], 1, len(text.tokens)).items():
            digest.update(name.encode())
            digest.update(x.tobytes())
    return digest.hexdigest()


def steps_per_epoch(num_texts: int, batch_size: int) -> int:
    """Return the number of batches in an epoch.

    If `batch_size` does not divide `num_texts`, some batches have fewer texts.
    """
    return -(-num_texts // batch_size)


def finetuning_batches(
    texts: Sequence[EncodedText], batch_size: int, packing: Packing, seed: int, start_step: int = 0
) -> Iterator[HostBatch]:
    """Yield training batches without end; each epoch sees every text once, in a new order.

    The whole epoch is shuffled. Within SORT_WINDOW batches, texts that need longer rows are then
    grouped; among batches of one row length, short and long texts are dealt out evenly, so that
    all of them fill about as many rows and two shapes suffice. The order of these batches is
    shuffled again.

    Args:
        texts: all texts.
        batch_size: texts in the global batch.
        packing: how texts are packed into rows.
        seed: seed of the order.
        start_step: number of the first batch to yield, from 0.
    """
    planned = _plan_num_rows(texts, batch_size, packing)
    epoch, first = divmod(start_step, steps_per_epoch(len(texts), batch_size))
    while True:
        for length, groups in _epoch(texts, batch_size, packing, seed, epoch)[first:]:
            needed = packing.round_up(len(groups))
            num_rows = next((n for n in planned.get(length, ()) if n >= needed), needed)
            yield packing.share(collate(texts, groups, num_rows, length, packing.pad_id))
        epoch, first = epoch + 1, 0


def planned_batches(
    texts: Sequence[EncodedText], batch_size: int, packing: Packing
) -> list[HostBatch]:
    """Return a global batch, nearly empty, of each shape that is planned for training.

    They are all shapes of nearly every run: hardly ever needs a later epoch more rows.

    Args:
        texts: all texts.
        batch_size: texts in the global batch.
        packing: how texts are packed into rows.
    """
    shortest = min(texts, key=lambda text: len(text.tokens))
    return [
        collate([shortest], [[0]], num_rows, length, packing.pad_id)
        for length, counts in _plan_num_rows(texts, batch_size, packing).items()
        for num_rows in counts
    ]


def _plan_num_rows(
    texts: Sequence[EncodedText], batch_size: int, packing: Packing
) -> dict[int, list[int]]:
    """Return, by row length, the row count that suffices for 90 % of the batches, and for all.

    The batches counted are always those of the first PLANNING_SEEDS seeds, so that all seeds have
    the same shapes.
    """
    needed: dict[int, list[int]] = {}
    for seed in range(PLANNING_SEEDS):
        for length, groups in _epoch(texts, batch_size, packing, seed, epoch=0):
            needed.setdefault(length, []).append(packing.round_up(len(groups)))
    return {
        length: sorted({int(np.quantile(counts, SMALL_SHAPE_SHARE, method="higher")), max(counts)})
        for length, counts in needed.items()
    }


def _epoch(
    texts: Sequence[EncodedText], batch_size: int, packing: Packing, seed: int, epoch: int
) -> list[tuple[int, Groups]]:
    """Return the row length and the groups of each batch of an epoch."""
    order = permute(np.arange(len(texts)), len(texts), seed, epoch).tolist()
    rank = {index: position for position, index in enumerate(order)}
    batches = []
    for start in range(0, len(order), SORT_WINDOW * batch_size):
        window = order[start : start + SORT_WINDOW * batch_size]
        window.sort(key=lambda i: len(texts[i].tokens))
        parts = [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
        by_length = itertools.groupby(
            parts, lambda indices: packing.shared_row_length(len(texts[indices[-1]].tokens))
        )
        for length, parts_of_length in by_length:
            for indices in _deal(list(parts_of_length), rank):
                sizes = np.array([len(texts[i].tokens) for i in indices])
                groups = _group(indices, *pack(sizes, length, max_texts(length)))
                batches.append((length, groups))
    shuffled = permute(np.arange(len(batches)), len(batches), seed + 1, epoch)
    return [batches[i] for i in shuffled.tolist()]


def _deal(batches: Groups, rank: dict[int, int]) -> Groups:
    """Redistribute the texts of batches, sorted by length, so that batches have similar lengths.

    Each batch gets one of every `len(batches)` consecutive texts; which one is random, by the rank
    of the texts in the shuffled epoch.
    """
    texts = list(itertools.chain.from_iterable(batches))
    count = len(batches)
    rounds = [
        sorted(texts[i : i + count], key=rank.__getitem__) for i in range(0, len(texts), count)
    ]
    return [[dealt[i] for dealt in rounds if i < len(dealt)] for i in range(count)]


def _group(indices: Sequence[int], rows: np.ndarray, slots: np.ndarray) -> Groups:
    """Return the indices in each row, in the order of their slots."""
    groups: Groups = [[] for _ in range(int(rows.max()) + 1)]
    for i in np.argsort(slots, kind="stable").tolist():
        groups[rows[i]].append(indices[i])
    return groups
