"""Encoded texts of many lengths to batches of few shapes: short texts share a row."""

import bisect
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.data.loader import Batch, permute
from bert_jax.data.packing import pack

BUCKETS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # lengths of rows, and so of programs
PACKED_LENGTH = 64  # tokens of a row of short texts: enough to be full, few to attend to
TOKENS_PER_TEXT = 8  # a row of T tokens holds at most T / 8 texts
SORTED_TOGETHER = 50  # training batches among which texts are sorted by length
EPOCHS_PLANNED = 3  # epochs by which the shapes of all others are chosen
MOST = 0.9  # batches that have rows enough in the smaller one of two shapes
NO_LABEL = -1

Groups = list[list[int]]
"""The numbers of the texts that stand in each row of a batch, one after the other."""


class EncodedText(NamedTuple):
    """A text, or a pair, as the model takes it."""

    tokens: list[int]
    """[CLS] A [SEP], or [CLS] A [SEP] B [SEP]."""
    first: int
    """Tokens of the first segment."""
    targets: dict[str, Any]
    """What to learn: numbers, or a list with a number for each token."""
    example: int = 0
    """The example that it is, or is a part of."""


class Packing(NamedTuple):
    """How texts are put into the rows of a global batch."""

    longest: int
    """Tokens that a text can have."""
    pad_id: int
    """The token that fills rows up."""
    multiple: int = 1
    """What the number of rows is divisible by: devices."""
    process: tuple[int, int] = (0, 1)
    """Index and number of the processes; each takes its share of every batch."""

    def bucket(self, length: int) -> int:
        """The length of a row that holds so many tokens."""
        most = max(self.longest, PACKED_LENGTH)
        return next((b for b in BUCKETS if length <= b < most), most)

    def room(self, longest: int) -> int:
        """The length of a row that texts share, when none of them is longer than this."""
        return self.bucket(max(longest, PACKED_LENGTH))

    def round_up(self, num_rows: int) -> int:
        """The next number of rows that all devices can share."""
        return -(-num_rows // self.multiple) * self.multiple

    def share(self, batch: Batch) -> Batch:
        """A process's rows; every process has the same arrays, even without a text."""
        index, count = self.process
        size = len(batch["tokens"]) // count
        return {name: x[index * size : (index + 1) * size] for name, x in batch.items()}


def most_texts(length: int) -> int:
    """Texts J that a row of so many tokens can hold."""
    return max(1, length // TOKENS_PER_TEXT)


def join(
    texts: Sequence[EncodedText], groups: Groups, num_rows: int, length: int, pad_id: int = 0
) -> Batch:
    """A batch of rows, each of which holds a group of texts, one after the other.

    Returns:
        tokens [B, T]; lengths [B, J, 2], 0 where there is no text; and targets, [B, J] or by token
        [B, T], NO_LABEL where there is no token.
    """
    tokens = np.full((num_rows, length), pad_id, np.int32)
    lengths = np.zeros((num_rows, most_texts(length), 2), np.int32)
    targets: Batch = {}
    for row, numbers in enumerate(groups):
        start = 0
        for place, text in enumerate(texts[i] for i in numbers):
            stop = start + len(text.tokens)
            tokens[row, start:stop] = text.tokens
            lengths[row, place] = text.first, len(text.tokens) - text.first
            for name, value in text.targets.items():
                if name not in targets:
                    targets[name] = _empty_target(value, tokens.shape, lengths.shape[:2])
                targets[name][row, slice(start, stop) if isinstance(value, list) else place] = value
            start = stop
    return {"tokens": tokens, "lengths": lengths, **targets}


def _empty_target(value: Any, by_token: tuple[int, ...], by_text: tuple[int, ...]) -> np.ndarray:
    if isinstance(value, list):
        return np.full(by_token, NO_LABEL, np.int32)
    return np.zeros(by_text, np.float32 if isinstance(value, float) else np.int32)


def split(
    texts: Sequence[EncodedText], groups: Groups, outputs: np.ndarray, by_token: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """What a model gave for each text of a batch: its number, and [t, C] by token, or [1, C].

    Args:
        texts: all texts.
        groups: those in each row.
        outputs: [B, T, C] by token, or [B, J, C].
        by_token: which of both.
    """
    for numbers, output in zip(groups, outputs, strict=False):
        sizes = [len(texts[i].tokens) if by_token else 1 for i in numbers]
        yield from zip(numbers, np.split(output, np.cumsum(sizes)), strict=False)


def hash_texts(texts: Iterable[EncodedText]) -> str:
    """A hash of all texts in their order: of the arrays that a batch holds of each."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.example.to_bytes(8, "little"))
        for name, x in join([text], [[0]], 1, len(text.tokens)).items():
            digest.update(name.encode())
            digest.update(x.tobytes())
    return digest.hexdigest()


def steps_per_epoch(num_texts: int, batch_size: int) -> int:
    """Batches in which every text is seen once; some have fewer texts, where the numbers ask it."""
    return -(-num_texts // batch_size)


def train_batches(
    texts: Sequence[EncodedText], batch_size: int, packing: Packing, seed: int, start_step: int = 0
) -> Iterator[Batch]:
    """Batches without end, from a step on; each epoch sees every text once, in another order.

    The whole epoch is shuffled. Among SORTED_TOGETHER batches the texts that need longer rows are
    then put together; batches with rows of one length get short and long texts alike, so that all
    of them fill about as many rows: two shapes are enough. These batches are shuffled again.

    Args:
        texts: all texts.
        batch_size: texts in the global batch.
        packing: how they are put into rows.
        seed: of the order.
        start_step: the first step.
    """
    shapes = _shapes(texts, batch_size, packing)
    epoch, first = divmod(start_step, steps_per_epoch(len(texts), batch_size))
    while True:
        for length, groups in _epoch(texts, batch_size, packing, seed, epoch)[first:]:
            needed = packing.round_up(len(groups))
            num_rows = next((n for n in shapes.get(length, ()) if n >= needed), needed)
            yield packing.share(join(texts, groups, num_rows, length, packing.pad_id))
        epoch, first = epoch + 1, 0


def _shapes(
    texts: Sequence[EncodedText], batch_size: int, packing: Packing
) -> dict[int, list[int]]:
    """For each length of rows, how many of them most of the batches need, and how many all do.

    That is looked up in some epochs of any seed, so that all seeds have the same shapes.
    """
    needed: dict[int, list[int]] = {}
    for seed in range(EPOCHS_PLANNED):
        for length, groups in _epoch(texts, batch_size, packing, seed, epoch=0):
            needed.setdefault(length, []).append(packing.round_up(len(groups)))
    return {
        length: sorted({int(np.quantile(counts, MOST, method="higher")), max(counts)})
        for length, counts in needed.items()
    }


def _epoch(
    texts: Sequence[EncodedText], batch_size: int, packing: Packing, seed: int, epoch: int
) -> list[tuple[int, Groups]]:
    """The length of rows, and the groups, of each batch of an epoch."""
    order = permute(np.arange(len(texts)), len(texts), seed, epoch).tolist()
    drawn = {number: place for place, number in enumerate(order)}
    batches = []
    for start in range(0, len(order), SORTED_TOGETHER * batch_size):
        together = order[start : start + SORTED_TOGETHER * batch_size]
        together.sort(key=lambda i: len(texts[i].tokens))
        cut = [together[i : i + batch_size] for i in range(0, len(together), batch_size)]
        rooms = itertools.groupby(cut, lambda numbers: packing.room(len(texts[numbers[-1]].tokens)))
        for room, of_one_room in rooms:
            for dealt in _deal(list(of_one_room), drawn):
                sizes = np.array([len(texts[i].tokens) for i in dealt])
                batches.append((room, _group(dealt, *pack(sizes, room, most_texts(room)))))
    places = permute(np.arange(len(batches)), len(batches), seed + 1, epoch)
    return [batches[place] for place in places.tolist()]


def _deal(batches: Groups, drawn: dict[int, int]) -> Groups:
    """Deals the texts of batches anew, sorted as they are, so that each has as long ones.

    Of as many texts as there are batches each gets one; chance, the order in which they were drawn,
    says which.
    """
    texts = list(itertools.chain.from_iterable(batches))
    count = len(batches)
    rounds = [
        sorted(texts[i : i + count], key=drawn.__getitem__) for i in range(0, len(texts), count)
    ]
    return [[dealt[i] for dealt in rounds if i < len(dealt)] for i in range(count)]


def _group(numbers: Sequence[int], rows: np.ndarray, slots: np.ndarray) -> Groups:
    groups: Groups = [[] for _ in range(int(rows.max()) + 1)]
    for place in np.argsort(slots, kind="stable").tolist():
        groups[rows[place]].append(numbers[place])
    return groups


def packed_batches(
    texts: Sequence[EncodedText], batch_size: int, packing: Packing
) -> Iterator[tuple[Groups, Batch]]:
    """Every text once, the longest first; short ones fill the rows up.

    All batches hold about as many tokens as `batch_size` rows of PACKED_LENGTH: the longer the
    rows, the fewer.

    Yields:
        The groups of the global batch, and a process's share of it. Of one T there is one B, and
        in the last batch another one.
    """
    waiting = _Waiting([len(text.tokens) for text in texts])
    while waiting.sizes:
        room = packing.room(waiting.sizes[-1])
        most = packing.round_up(max(1, batch_size * PACKED_LENGTH // room))
        groups = list(itertools.takewhile(bool, (waiting.take(room) for _ in range(most))))
        num_rows = min(most, packing.round_up(1 << (len(groups) - 1).bit_length()))
        used = (sum(len(texts[i].tokens) for i in numbers) for numbers in groups)
        length = packing.bucket(max(*used, TOKENS_PER_TEXT * max(map(len, groups))))
        yield groups, packing.share(join(texts, groups, num_rows, length, packing.pad_id))


class _Waiting:
    """Texts that are in no batch yet, by their sizes."""

    def __init__(self, sizes: Sequence[int]):
        self._texts: dict[int, list[int]] = {}
        for i in reversed(range(len(sizes))):
            self._texts.setdefault(sizes[i], []).append(i)
        self.sizes = sorted(self._texts)

    def take(self, room: int) -> list[int]:
        """The longest text, then again and again the longest that there is still room for."""
        taken: list[int] = []
        most = most_texts(room)
        while len(taken) < most and self.sizes and self.sizes[0] <= room:
            place = bisect.bisect_right(self.sizes, room) - 1
            size = self.sizes[place]
            taken.append(self._texts[size].pop())
            if not self._texts[size]:
                del self.sizes[place]
            room -= size
        return taken
