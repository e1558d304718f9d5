"""NSP pairs: sentence pairs for next-sentence prediction, as ranges of tokens; and single segments.

The algorithm is the original's: `create_instances_from_document` and `truncate_seq_pair` of
google-research/bert's create_pretraining_data.py. Tokens are never copied: A and B are each a range
of the bundle's flat token array, because sentences of a document are adjacent, and truncation takes
tokens off the two ends of a range.

Without NSP, a sequence is a pair whose B is empty: sentences in a row, and none is truncated.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

PIECE_SHARE = 0.125  # of the longest pair; a sentence longer than a pair is cut into such pieces


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
    """Equal to b_start in a sequence without B, for MLM without NSP."""
    is_random_next: int
    document: int
    """Index of A's document."""
    b_document: int
    """Index of B's document."""


def cut_long_sentences(
    document: Document, max_tokens: int, word_start: Int[np.ndarray, "N"]
) -> Document:
    """Cut sentences that are longer than `max_tokens` into pieces, which count as sentences.

    Pieces begin at words where they can, and several fit into a pair, as sentences of ordinary
    length do: so text without punctuation has actual next sentences, and little is truncated.

    Args:
        document: the document.
        max_tokens: maximum length of A and B together.
        word_start: index of the first token of the word of each token in the bundle's flat array.
    """
    sizes = np.diff(document.bounds)
    if sizes.max(initial=0) <= max_tokens:
        return document
    piece = max(int(PIECE_SHARE * max_tokens), 1)
    bounds = document.bounds[:1]
    for start, end in pairwise(document.bounds):
        size = end - start
        num_pieces = -(-size // piece) if size > max_tokens else 1
        for target in (start + size * i // num_pieces for i in range(1, num_pieces)):
            bounds.append(int(word_start[target]) if word_start[target] > bounds[-1] else target)
        bounds.append(end)
    return Document(document.identity, bounds)


def make_sequences(
    documents: Sequence[Document],
    index: int,
    max_tokens: int,
    short_seq_prob: float,
    rng: random.Random,
) -> list[Pair]:
    """Make the sequences of one pass over one document, for MLM without NSP: pairs without B.

    Each holds as many whole sentences as fit, none of which is longer than `max_tokens`; the
    arguments are those of `make_pairs`.
    """
    bounds = documents[index].bounds
    target = draw_target(max_tokens, short_seq_prob, rng)
    sequences = []
    first, num_sentences = 0, len(bounds) - 1
    while first < num_sentences:
        last = max(bisect_right(bounds, bounds[first] + target) - 1, first + 1)
        start, end = bounds[first], bounds[last]
        sequences.append(Pair(start, end, end, end, 0, index, index))
        first = last
    return sequences


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
    target = draw_target(max_tokens, short_seq_prob, rng)
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


def draw_target(max_tokens: int, short_seq_prob: float, rng: random.Random) -> int:
    """Draw the target length of one pass: `max_tokens` or, rarely, uniform over 2 … max_tokens."""
    if rng.random() < short_seq_prob:
        return 2 + int(rng.random() * (max_tokens - 1))
    return max_tokens


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
