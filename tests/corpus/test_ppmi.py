"""Co-occurrence counts, positive PMI and its factorization, by hand and against dense NumPy."""

import numpy as np
import pytest
import scipy.sparse

from bert_jax.corpus import ppmi
from bert_jax.corpus.ppmi import (
    PairCounts,
    count_pairs,
    embed_pieces,
    positive_pmi,
    randomized_svd,
    read_sequences,
)
from bert_jax.corpus.prepared import PreparedData

PAD, UNK, CLS, SEP, A, B, C = range(7)
SPECIAL = np.arange(7) < A
ENDS = np.array([PAD, CLS, SEP])


def count(*rows, **options) -> PairCounts:
    tokens = np.array(rows)
    return count_pairs([(tokens, np.cumsum(np.isin(tokens, ENDS), axis=1))], SPECIAL, **options)


def entries(counts: PairCounts) -> dict[tuple[int, int], int]:
    pairs = counts.pairs.tocoo()
    columns = (pairs.row.tolist(), pairs.col.tolist(), pairs.data.tolist())
    return {(left, right): number for left, right, number in zip(*columns, strict=True)}


@pytest.fixture(scope="module")
def data(prepared):
    return PreparedData(prepared)


@pytest.fixture(scope="module")
def random_rows():
    return np.random.default_rng(0).integers(0, 7, (40, 12))


def test_neighbors_count_twice_as_much_as_pieces_two_places_apart():
    counts = count([CLS, A, B, A, SEP, C, SEP, PAD])
    assert entries(counts) == {(A, B): 2, (B, A): 2, (A, A): 1}
    assert counts.pieces.tolist() == [0, 0, 0, 0, 6, 4, 0]


def test_a_wider_window_has_weights_that_fall_linearly():
    assert entries(count([CLS, A, B, C, A, SEP], window=3)) == {
        (A, B): 3, (B, C): 3, (C, A): 3, (A, C): 2, (B, A): 2, (A, A): 1,
    }  # fmt: skip


def test_special_tokens_are_not_counted_and_keep_their_place():
    assert entries(count([CLS, A, UNK, B, SEP, PAD])) == {(A, B): 1}


def test_sequences_of_a_row_count_as_in_rows_of_their_own():
    together = count([CLS, A, B, SEP, B, C, SEP, CLS, C, A, SEP, PAD])
    apart = count([CLS, A, B, SEP], [CLS, B, C, SEP], [CLS, C, A, SEP])
    assert entries(together) == entries(apart) == {(A, B): 2, (B, C): 2, (C, A): 2}


def test_chunks_add_up(random_rows):
    sequences = np.zeros_like(random_rows)
    whole = count_pairs([(random_rows, sequences)], SPECIAL)
    parts = [(random_rows[i : i + 7], sequences[i : i + 7]) for i in range(0, 40, 7)]
    chunked = count_pairs(parts, SPECIAL)
    assert entries(whole) == entries(chunked)
    np.testing.assert_array_equal(whole.pieces, chunked.pieces)
    assert whole.num_pruned == chunked.num_pruned == 0


def test_the_rarest_pairs_are_dropped_where_there_are_too_many():
    rows = [[CLS, A, B, SEP]] * 3 + [[CLS, B, C, SEP]] * 2 + [[CLS, C, A, SEP], [CLS, A, C, SEP]]
    full, pruned = count(*rows), count(*rows, max_pairs=3)
    assert len(entries(full)) == 4
    assert entries(pruned) == {(A, B): 6}
    assert pruned.num_pruned == 3
    np.testing.assert_array_equal(pruned.pieces, full.pieces)
    assert entries(count(*rows, max_pairs=4)) == entries(full)


def test_of_equally_rare_pairs_the_bound_is_kept_too():
    counts = count(*([CLS, x, y, SEP] for x in (A, B, C) for y in (A, B, C)), max_pairs=8)
    assert counts.pairs.nnz == 4


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_positive_pmi_by_hand(power):
    matrix = positive_pmi(count([CLS, A, A, B, SEP, PAD]), power).toarray()
    contexts = {A: 7**power / (7**power + 3**power), B: 3**power / (7**power + 3**power)}
    expected = np.zeros((7, 7))
    expected[A, B] = np.log(0.3 / (0.7 * contexts[B]))
    expected[B, A] = np.log(0.3 / (0.3 * contexts[A]))
    assert np.log(0.4 / (0.7 * contexts[A])) < 0  # A beside A: less than by chance
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)


def test_the_factorization_is_numpys(random_rows):
    rng = np.random.default_rng(1)
    noise = 1e-3 * rng.standard_normal((90, 60))
    dense = rng.standard_normal((90, 8)) @ rng.standard_normal((8, 60)) + noise
    u, s = randomized_svd(scipy.sparse.csr_matrix(dense), 8, seed=0)
    exact_u, exact_s, _ = np.linalg.svd(dense, full_matrices=False)
    np.testing.assert_allclose(s, exact_s[:8], rtol=1e-6)
    gram, exact = (x * y @ x.T for x, y in ((u, s), (exact_u[:, :8], exact_s[:8])))
    np.testing.assert_allclose(gram, exact, rtol=0, atol=1e-5)


def test_power_iterations_help_where_singular_values_fall_slowly():
    dense = np.random.default_rng(2).standard_normal((300, 300))
    exact = np.linalg.svd(dense, compute_uv=False)[:20]
    errors = [
        np.abs(randomized_svd(scipy.sparse.csr_matrix(dense), 20, 0, n)[1] - exact).max()
        for n in (0, 2, 8)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_a_matrix_of_less_than_the_rank_has_fewer_vectors():
    u, s = randomized_svd(scipy.sparse.csr_matrix(np.diag([3.0, 2.0, 0.0])), 8, seed=0)
    assert u.shape == (3, 3)
    np.testing.assert_allclose(s, [3, 2, 0], atol=1e-12)


def test_rows_are_spread_over_the_split_and_bounded(data, monkeypatch):
    rows = data.rows(32)
    monkeypatch.setattr(ppmi, "CHUNK", 32 * 4)
    chunks = [tokens for tokens, _ in read_sequences(rows, 10, ENDS)]
    assert [len(tokens) for tokens in chunks] == [4, 4, 2]
    expected = rows[np.arange(10) * len(rows) // 10]["tokens"]
    np.testing.assert_array_equal(np.concatenate(chunks), expected)
    monkeypatch.setattr(ppmi, "MAX_TOKENS", 32 * 10 + 1)
    assert embed_pieces(rows, data.tokenizer, data.tokenizer.vocab_size, 4).num_rows == 10


def test_the_same_rows_and_seed_give_the_same_bits(data):
    size = data.tokenizer.vocab_size
    first, again, other = (
        embed_pieces(data.rows(32), data.tokenizer, size, 16, seed).vectors for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_pieces_without_neighbors_and_special_tokens_have_no_vector(data):
    tokenizer = data.tokenizer
    size = tokenizer.vocab_size + 3  # the last are padding
    made = embed_pieces(data.rows(32), tokenizer, size, 16)
    assert made.vectors.shape == (size, 16)
    ids = [tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id]
    assert not made.known[[*ids, tokenizer.mask_id, -1, -2, -3]].any()
    assert not made.vectors[~made.known].any()
    assert made.vectors[made.known].any(axis=1).all()


def test_pieces_of_the_same_neighbors_have_similar_vectors():
    """Of two kinds of 10 pieces, each has only neighbors of the other kind or of its own."""
    rng = np.random.default_rng(3)
    kinds = rng.integers(0, 2, (500, 1)) * 10
    tokens = rng.integers(0, 10, (500, 8)) + kinds
    matrix = positive_pmi(count_pairs([(tokens, np.zeros_like(tokens))], np.zeros(20, bool)))
    u, s = randomized_svd(matrix, 2, 0)
    vectors = u * np.sqrt(s)
    cosines = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    assert cosines[:10, :10].min() > 0.9
    assert np.abs(cosines[:10, 10:]).max() < 0.1
