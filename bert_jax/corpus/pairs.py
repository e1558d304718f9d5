"""NSP pairs: sentence pairs for next-sentence prediction, as ranges of tokens.

The algorithm is the original's: `create_instances_from_document` and `truncate_seq_pair` of
google-research/bert's create_pretraining_data.py. Tokens are never copied: A and B are each a range
of the bundle's flat token array, because sentences of a document are adjacent, and truncation takes
tokens off the two ends of a range.
"""

import random
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple


class Document(NamedTuple):
    """Bounds of a document's sentences in the bundle's flat token array."""

    identity: int
    """Equal for equal texts, and for pieces of one text."""
    bounds: list[int]
    """Sentence i is tokens [bounds[i], bounds[i + 1]); every sentence has at least one token."""


class Pair(NamedTuple):
    """One example: tokens [a_start, a_end) and [b_start, b_end) of the flat array."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int
    is_random_next: int
    document: int
    """Index of A's document."""
    b_document: int
    """Index of B's document."""


def make_pairs(
    documents: Sequence[Document],
    index: int,
    max_tokens: int,
    short_seq_prob: float,
    rng: random.Random,
) -> list[Pair]:
    """Make the pairs of one pass over one document.

    Args:
        documents: all documents of the bundle, from which random next sentences come; at least one
            has a different identity from this one.
        index: the document to pass over.
        max_tokens: maximum length of A and B together (T less [CLS] and two [SEP]).
        short_seq_prob: probability that this pass has a random shorter target length.
        rng: source of all draws.
    """
    bounds = documents[index].bounds
    num_sentences = len(bounds) - 1
    draw = rng.random
    target = max_tokens
    if draw() < short_seq_prob:
        target = 2 + int(draw() * (max_tokens - 1))  # uniform over 2 … max_tokens
    pairs = []
    first = 0
    while first < num_sentences:
        # the chunk: sentences first … last, up to the target length or the document's end
        last = min(bisect_left(bounds, bounds[first] + target, first + 1), num_sentences) - 1
        size = last - first + 1
        a_sentences = 1 + int(draw() * (size - 1)) if size >= 2 else 1
        a_start, a_end = bounds[first], bounds[first + a_sentences]
        if size == 1 or draw() < 0.5:
            is_random_next = 1
            other = draw_other_document(documents, index, rng)
            other_bounds = documents[other].bounds
            start = int(draw() * (len(other_bounds) - 1))
            b_target = max(target - (a_end - a_start), 1)
            end = bisect_left(other_bounds, other_bounds[start] + b_target, start + 1)
            b_start, b_end = other_bounds[start], other_bounds[min(end, len(other_bounds) - 1)]
            first += a_sentences  # unused sentences are put back
        else:
            is_random_next, other = 0, index
            b_start, b_end = a_end, bounds[last + 1]
            first = last + 1
        if b_end - b_start + a_end - a_start > max_tokens:
            a_start, a_end, b_start, b_end = truncate(
                a_start, a_end, b_start, b_end, max_tokens, rng
            )
        pairs.append(Pair(a_start, a_end, b_start, b_end, is_random_next, index, other))
    return pairs


def draw_other_document(documents: Sequence[Document], index: int, rng: random.Random) -> int:
    """Draw a random document whose identity differs from that of document `index`.

    The original gives up after ten draws and takes the same document, labelled "random". Here the
    next document of a different identity after the last draw is taken instead.
    """
    count, identity = len(documents), documents[index].identity
    for _ in range(10):
        other = int(rng.random() * count)
        if documents[other].identity != identity:
            return other
    for step in range(count):
        if documents[(other + step) % count].identity != identity:
            return (other + step) % count
    raise AssertionError("a bundle needs documents of at least two identities")


def truncate(
    a_start: int, a_end: int, b_start: int, b_end: int, max_tokens: int, rng: random.Random
) -> tuple[int, int, int, int]:
    """Truncate the longer of A and B (B if they are equal), at the front or back with p = ½.

    The original removes tokens one by one. The number that each side loses follows from the lengths
    alone, and the share of it that comes off the front is binomial: the number of ones among that
    many random bits.
    """
    excess = b_end - b_start + a_end - a_start - max_tokens
    longer_by = (a_end - a_start) - (b_end - b_start)
    level = min(excess, abs(longer_by))  # first until both are equally long, then B and A in turn
    rest = excess - level
    off_a = rest // 2 + (level if longer_by > 0 else 0)
    off_b = excess - off_a
    if off_a:
        front = rng.getrandbits(off_a).bit_count()
        a_start, a_end = a_start + front, a_end - (off_a - front)
    if off_b:
        front = rng.getrandbits(off_b).bit_count()
        b_start, b_end = b_start + front, b_end - (off_b - front)
    return a_start, a_end, b_start, b_end
