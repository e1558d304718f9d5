"""Word-piece vectors from co-occurrence counts: a factorized matrix of positive PMI.

Levy and Goldberg (2014), "Neural Word Embedding as Implicit Matrix Factorization"; Levy, Goldberg
and Dagan (2015), "Improving Distributional Similarity with Lessons Learned from Word Embeddings".
"""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Float32, Int

from bert_jax.corpus.loader import PretrainingRows
from bert_jax.tokenizer.tokenizer import Tokenizer

MAX_TOKENS = 1 << 24  # places of rows that are counted; more text hardly changes the vectors
MAX_PAIRS = 1 << 24  # distinct pairs that are kept; counts and matrix take less than 2 GB
CHUNK = 1 << 21  # places of rows that are counted at once
WINDOW = 2
CONTEXT_POWER = 0.5  # predicts pieces from their neighbors better than the usual 0.75
OVERSAMPLING = 16
POWER_ITERATIONS = 2


@dataclasses.dataclass(frozen=True)
class PairCounts:
    """Co-occurrences of pieces, counted in shares 1 / window of an occurrence next to each other.

    So every count is an integer, exact in any order of addition.
    """

    pairs: scipy.sparse.csr_matrix
    """Counts [V, V] of a piece (row) followed by another (column) within the window."""
    pieces: Int[np.ndarray, "V"]
    """Sum over both sides of every piece's counts, pruned pairs included."""
    num_pruned: int = 0
    """Distinct pairs that were left out for being rare, counted once for each time."""


@dataclasses.dataclass(frozen=True)
class PieceVectors:
    """Vectors of pieces, and what they were made of."""

    vectors: Float32[np.ndarray, "V D"]
    """U √S; 0 for pieces that have none."""
    known: Bool[np.ndarray, "V"]
    """True for pieces that have a vector."""
    num_rows: int
    """Rows that were counted."""
    num_pairs: int
    """Distinct pairs of pieces in the matrix."""


def embed_pieces(
    rows: PretrainingRows, tokenizer: Tokenizer, vocab_size: int, width: int, seed: int = 0
) -> PieceVectors:
    """Return vectors of pieces by their neighbors in prepared rows.

    The same rows, seed and versions of NumPy and SciPy give the same vectors on the same machine.
    Time and memory are bounded for any data: up to MAX_TOKENS places, in rows spread evenly over
    the split, are counted, and up to MAX_PAIRS distinct pairs kept.

    Args:
        rows: rows of the training split.
        tokenizer: the tokenizer that made them; its special tokens have no vectors.
        vocab_size: rows V of the result; at least the tokenizer's tokens.
        width: length D of a vector.
        seed: seed of the randomized factorization.
    """
    num_rows = min(len(rows), max(1, MAX_TOKENS // rows.row_format.length))
    special = np.zeros(vocab_size, bool)
    special[tokenizer.special_ids] = True
    ends = np.array([tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id])
    counts = count_pairs(read_sequences(rows, num_rows, ends), special)
    matrix = positive_pmi(counts)
    u, s = randomized_svd(matrix, width, seed)
    known = np.diff(matrix.indptr) > 0
    vectors = np.zeros((vocab_size, width), np.float32)
    vectors[known, : len(s)] = u[known] * np.sqrt(s)
    return PieceVectors(vectors, known, num_rows, counts.pairs.nnz)


def read_sequences(
    rows: PretrainingRows, num_rows: int, ends: Int[np.ndarray, "N"]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Iterate over chunks of rows that are spread evenly: tokens and sequence numbers [B, T].

    Args:
        rows: the rows.
        num_rows: rows to read.
        ends: ids of the tokens between two sequences.
    """
    size = max(1, CHUNK // rows.row_format.length)
    numbers = np.arange(num_rows) * len(rows) // num_rows
    for start in range(0, num_rows, size):
        tokens = rows[numbers[start : start + size]]["tokens"]
        yield tokens, np.cumsum(np.isin(tokens, ends), axis=1, dtype=np.int32)


def count_pairs(
    chunks: Iterable[tuple[np.ndarray, np.ndarray]],
    special: Bool[np.ndarray, "V"],
    window: int = WINDOW,
    max_pairs: int = MAX_PAIRS,
) -> PairCounts:
    """Count pairs of pieces at a distance d of 1, …, window, with the weight 1 - (d - 1) / window.

    Args:
        chunks: tokens and sequence numbers [B, T]; pairs are inside one sequence.
        special: True for tokens that are not counted; they keep their place.
        window: the largest distance.
        max_pairs: distinct pairs to keep. Where a chunk makes them more, the rarest are dropped
            until half of them are left (lossy counting, Manku and Motwani 2002).
    """
    size = len(special)
    pairs = scipy.sparse.csr_matrix((size, size), dtype=np.int32)
    pieces, num_pruned = np.zeros(size, np.int64), 0
    for tokens, sequences in chunks:
        left, right, weights = [], [], []
        counted = ~special[tokens]
        for distance in range(1, window + 1):
            first, second = np.s_[:, :-distance], np.s_[:, distance:]
            valid = counted[first] & counted[second] & (sequences[first] == sequences[second])
            left.append(tokens[first][valid])
            right.append(tokens[second][valid])
            weights.append(np.full(len(left[-1]), window + 1 - distance, np.int32))
        weight, index = np.concatenate(weights), (np.concatenate(left), np.concatenate(right))
        new = scipy.sparse.coo_matrix((weight, index), shape=(size, size)).tocsr()
        for axis in (0, 1):
            pieces += np.asarray(new.sum(axis=axis, dtype=np.int64)).ravel()
        pairs = pairs + new
        if pairs.nnz > max_pairs:
            num_pruned += pairs.nnz - max_pairs // 2
            pairs = keep_largest(pairs, max_pairs // 2)
    return PairCounts(pairs, pieces, num_pruned)


def keep_largest(matrix: scipy.sparse.csr_matrix, number: int) -> scipy.sparse.csr_matrix:
    """Return the matrix with its `number` largest entries; of equal ones, the first."""
    order = np.argsort(-matrix.data, kind="stable")
    matrix = matrix.copy()
    matrix.data[order[number:]] = 0
    matrix.eliminate_zeros()
    return matrix


def positive_pmi(counts: PairCounts, power: float = CONTEXT_POWER) -> scipy.sparse.csr_matrix:
    """Return max(0, log p(w, c) / (p(w) p(c))) of pieces w and contexts c, on either side.

    Args:
        counts: counts of pairs.
        power: the power of the contexts' counts, whose shares are p(c): below 1, rare contexts
            weigh less (Levy, Goldberg and Dagan 2015, section 3.1).
    """
    matrix = (counts.pairs + counts.pairs.T).tocsr().astype(np.float32)
    total = counts.pieces.sum()
    seen = np.maximum(counts.pieces, 1)
    context = np.where(counts.pieces > 0, seen.astype(np.float64) ** power, 0.0)
    log_piece = np.log(seen / max(total, 1)).astype(np.float32)
    log_context = np.log(np.maximum(context, 1) / max(context.sum(), 1)).astype(np.float32)
    data = np.log(matrix.data / np.float32(max(total, 1)))
    data -= np.repeat(log_piece, np.diff(matrix.indptr))
    data -= log_context[matrix.indices]
    matrix.data = np.maximum(data, 0)
    matrix.eliminate_zeros()
    return matrix


def randomized_svd(
    matrix: scipy.sparse.csr_matrix, rank: int, seed: int, iterations: int = POWER_ITERATIONS
) -> tuple[Float[np.ndarray, "M R"], Float[np.ndarray, "R"]]:
    """Return the largest singular values and their left vectors.

    Halko, Martinsson and Tropp (2011), algorithms 4.4 (randomized subspace iteration) and 5.1.

    Args:
        matrix: a sparse matrix [M, N].
        rank: number of singular values; fewer if M or N is less.
        seed: seed of the random start.
        iterations: power iterations; each makes small singular values less of a disturbance.
    """
    size = rank + OVERSAMPLING
    transposed = matrix.T.tocsr()
    start = np.random.default_rng(seed).standard_normal((matrix.shape[1], size), matrix.dtype)
    q = np.linalg.qr(matrix @ start).Q
    for _ in range(iterations):
        q = np.linalg.qr(transposed @ q).Q
        q = np.linalg.qr(matrix @ q).Q
    u, s, _ = np.linalg.svd((transposed @ q).T, full_matrices=False)
    return q @ u[:, :rank], s[:rank]
