"""Batches for evaluation and prediction: each text once, and the outputs back to their texts.

`labelled/batching.py` makes the batches of fine-tuning.
"""

import bisect
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from bert_jax.corpus.loader import HostBatch
from bert_jax.errors import CheckpointError
from bert_jax.labelled.batching import (
    MIN_TOKENS_PER_SLOT,
    PACKED_LENGTH,
    EncodedText,
    Groups,
    Packing,
    collate,
    max_texts,
)

Progress = Callable[[float], object]
"""Called with the share of the tokens that are done; `bool` does nothing."""


def apply_packed(
    model: Callable[[Iterator[HostBatch]], Iterable[np.ndarray]],
    texts: Sequence[EncodedText],
    num_outputs: Sequence[int],
    batch_size: int,
    packing: Packing,
    progress: Progress = bool,
) -> list[np.ndarray]:
    """Apply a model to all texts, in the batches of `packed_batches`.

    Args:
        model: a process's shares of all batches → the outputs [B, n, ...] of each global batch, in
            order; in a row, the outputs of one text follow those of the text before it. It may take
            some batches before it gives the outputs of earlier ones.
        texts: all texts.
        num_outputs: outputs of each text, see `count_outputs`.
        batch_size: rows of PACKED_LENGTH tokens in a batch.
        packing: how texts are packed into rows.
        progress: called after each batch.

    Returns:
        The outputs of each text [num_outputs, ...], in the order of the texts.
    """
    outputs: list[np.ndarray] = [np.empty(0)] * len(texts)
    total = sum(len(text.tokens) for text in texts)
    done = 0
    waiting: deque[Groups] = deque()

    def batches() -> Iterator[HostBatch]:
        for groups, batch in packed_batches(texts, batch_size, packing):
            waiting.append(groups)
            yield batch

    for batch_outputs in model(batches()):
        for index, output in split_outputs(waiting.popleft(), batch_outputs, num_outputs):
            outputs[index] = output
            done += len(texts[index].tokens)
        progress(done / total)
    return outputs


def require_finite(outputs: Iterable[np.ndarray]) -> None:
    """Check that a model computed numbers.

    Raises:
        CheckpointError: NaN or Inf, of which no prediction can be made.
    """
    numbers = (x["probability"] if x.dtype.names else x for x in outputs)
    if not all(np.isfinite(x).all() for x in numbers):
        raise CheckpointError(
            "the model computes NaN or Inf",
            "finite numbers",
            "use another checkpoint: its weights are too large for float32",
        )


def count_outputs(texts: Iterable[EncodedText], by_token: bool) -> list[int]:
    """Return how many outputs each text has: one for every token, or one in all."""
    return [len(text.tokens) if by_token else 1 for text in texts]


def split_outputs(
    groups: Groups, outputs: np.ndarray, num_outputs: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index of each text of a batch, and its outputs.

    Args:
        groups: texts in each row.
        outputs: [B, n, ...].
        num_outputs: outputs of each text.
    """
    for indices, output in zip(groups, outputs, strict=False):
        ends = np.cumsum([num_outputs[i] for i in indices])
        yield from zip(indices, np.split(output, ends), strict=False)


def packed_batches(
    texts: Sequence[EncodedText], batch_size: int, packing: Packing
) -> Iterator[tuple[Groups, HostBatch]]:
    """Yield every text once, the longest first; short ones fill up the rows.

    All batches hold about as many tokens as `batch_size` rows of PACKED_LENGTH: the longer the
    rows, the fewer of them.

    Yields:
        The groups of the global batch, and this process's share of it. Batches of one T have one
        B; only the last batch may have a different one.
    """
    waiting = _Waiting([len(text.tokens) for text in texts])
    while waiting.sizes:
        room = packing.shared_row_length(waiting.sizes[-1])
        max_rows = packing.round_up(max(1, batch_size * PACKED_LENGTH // room))
        groups = list(itertools.takewhile(bool, (waiting.take(room) for _ in range(max_rows))))
        num_rows = min(max_rows, packing.round_up(1 << (len(groups) - 1).bit_length()))
        used = (sum(len(texts[i].tokens) for i in indices) for indices in groups)
        length = packing.bucket(max(*used, MIN_TOKENS_PER_SLOT * max(map(len, groups))))
        yield groups, packing.share(collate(texts, groups, num_rows, length, packing.pad_id))


class _Waiting:
    """Texts that are in no batch yet, by their sizes."""

    def __init__(self, sizes: Sequence[int]):
        self._texts: dict[int, list[int]] = {}
        for i in reversed(range(len(sizes))):
            self._texts.setdefault(sizes[i], []).append(i)
        self.sizes = sorted(self._texts)

    def take(self, room: int) -> list[int]:
        """Take the longest texts that fit into `room` tokens, one after the other."""
        taken: list[int] = []
        limit = max_texts(room)
        while len(taken) < limit and self.sizes and self.sizes[0] <= room:
            i = bisect.bisect_right(self.sizes, room) - 1
            size = self.sizes[i]
            taken.append(self._texts[size].pop())
            if not self._texts[size]:
                del self.sizes[i]
            room -= size
        return taken
