"""Windows over a passage, and the spans of answers in them, as in BERT's `run_squad.py`."""

from collections.abc import Sequence

import numpy as np

from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.squad import Question
from bert_jax.tokenizer.tokenizer import Tokenizer

STRIDE = 128  # tokens between the starts of two windows, as in `run_squad.py`
MAX_ANSWER = 30  # tokens
N_BEST = 20
MASKED = -1e30  # logit of what is excluded


def most_context(starts: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
    """Return, for each token of a passage, the index of the window with most context around it.

    The context is the smaller number of tokens on its two sides, plus a hundredth of the window's
    size; the first window wins a tie (`run_squad.py`, `_check_is_max_context`).

    Args:
        starts: the first token of each window.
        sizes: tokens in each window.
    """
    start, size = np.array(starts)[:, None], np.array(sizes)[:, None]
    position = np.arange((start + size).max())[None] - start  # in each window [W, S]
    context = np.minimum(position, size - 1 - position) + 0.01 * size
    is_inside = (position >= 0) & (position < size)
    return np.where(is_inside, context, -1.0).argmax(axis=0)


def best_spans(
    text: EncodedText, output: np.ndarray, may_start: np.ndarray
) -> list[tuple[float, int, int]]:
    """Return the N_BEST spans of one window: score, first character, last character + 1."""
    starts, ends = np.array(text.targets["char_start"]), np.array(text.targets["char_end"])
    logits = output[: len(starts)].astype(np.float64)
    usable = np.pad(may_start, (len(starts) - len(may_start) - 1, 1)), starts >= 0
    first, last = (np.where(usable[i], logits[:, i], MASKED) for i in (0, 1))
    sums = first[:, None] + last[None, :]
    length = np.arange(len(starts))[None, :] - np.arange(len(starts))[:, None]
    sums = np.where((length >= 0) & (length < MAX_ANSWER), sums, MASKED)
    order = np.argsort(-sums, axis=None, kind="stable")[:N_BEST]
    pairs = zip(*np.unravel_index(order, sums.shape), strict=True)
    return [
        (float(sums[i, j]), int(starts[i]), int(ends[j])) for i, j in pairs if sums[i, j] > MASKED
    ]


def encode_passages(
    contexts: Sequence[str], tokenizer: Tokenizer
) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """Return for each distinct passage its ids, and each token's first and last + 1 character."""
    distinct = list(dict.fromkeys(contexts))
    return dict(zip(distinct, tokenizer.encode_with_offsets(distinct), strict=True))


def token_span(
    example: Question, starts: Sequence[int], ends: Sequence[int]
) -> tuple[int, int] | None:
    """Return the first and last token of the first answer; None without an answer."""
    if not example.label:
        return None
    answer = example.label[0]
    stop = answer.start + len(answer.text)
    first = int(np.searchsorted(ends, answer.start, side="right"))
    last = int(np.searchsorted(starts, stop, side="left")) - 1
    return (first, last) if first <= last else None


def window_starts(size: int, room: int, stride: int | None = None) -> list[int]:
    """Return where windows over a passage start, a step apart, until one reaches the end.

    Args:
        size: tokens in the passage.
        room: tokens in a window.
        stride: as for `window_step`.
    """
    starts = [0]
    while starts[-1] + room < size:
        starts.append(starts[-1] + window_step(room, stride))
    return starts


def window_step(room: int, stride: int | None = None) -> int:
    """Return the tokens between the starts of two windows of `room` tokens.

    Args:
        room: tokens in a window.
        stride: the step, SQuAD's doc_stride; one larger than a window leaves nothing out, as in
            `run_squad.py`. None: 128, or half of a window if that is less.
    """
    if stride is None:
        return min(STRIDE, max(1, room // 2))
    return min(stride, room)
