import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.data.cleaning import Findings
from bert_jax.data.report import unigram_entropy, unigram_loss
from bert_jax.data.tally import HashSample, Tally
from bert_jax.errors import DataError


@given(st.lists(st.lists(st.integers(0, 30))))
def test_duplicates_are_exact_below_the_limit(batches):
    sample = HashSample(limit=10_000)
    for batch in batches:
        sample.add(np.array(batch, np.uint64))
    values = [value for batch in batches for value in batch]
    expected = 1 - len(set(values)) / len(values) if values else 0
    assert sample.duplicate_share() == pytest.approx(expected)
    assert sample.shift == 0


def test_beyond_the_limit_duplicates_are_estimated_in_bounded_memory():
    rng = np.random.default_rng(0)
    sample = HashSample(limit=20_000)
    distinct = rng.integers(0, 2**64, 200_000, dtype=np.uint64)
    for part in np.split(np.concatenate([distinct, distinct[:50_000]]), 50):
        sample.add(part)
        assert len(sample._kept) + sample._num_waiting <= 1.5 * sample.limit
    assert sample.shift > 0
    assert sample.duplicate_share() == pytest.approx(0.2, abs=0.02)


def test_the_order_of_hashes_does_not_matter():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**64, 5000, dtype=np.uint64)
    shares = set()
    for _ in range(3):
        sample = HashSample(limit=400)
        for part in np.array_split(np.concatenate([values, values[:999]]), 7):
            sample.add(part)
        rng.shuffle(values[1000:])
        shares.add(sample.duplicate_share())
    assert len(shares) == 1


def test_unigram_entropy_by_hand():
    assert unigram_entropy(np.array([1, 1, 0, 2])) == pytest.approx(1.5 * np.log(2))


def test_unigram_loss_by_hand():
    train, held_out = np.array([1, 3, 0, 0]), np.array([0, 2, 1, 0])
    # With one more of each, 2, 4, 1, 1 of 8: twice a half, once an eighth.
    assert unigram_loss(held_out, train) == pytest.approx((2 * np.log(2) + np.log(8)) / 3)
    many = 10**7 * np.array([1, 1, 0, 2])
    assert unigram_loss(many, many) == pytest.approx(unigram_entropy(many), rel=1e-5)


def test_a_corpus_without_rows_is_refused():
    with pytest.raises(DataError, match="corpus is empty"):
        Tally(10).refuse_what_cannot_work(0.1, Findings())
    findings = Findings()
    findings.add("document alone in its split (train; left out)", "x")
    with pytest.raises(DataError, match="single document"):
        Tally(10).refuse_what_cannot_work(0.1, findings)
