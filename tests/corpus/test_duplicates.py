import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.corpus.duplicates import DuplicateCounter


@given(st.lists(st.lists(st.integers(0, 30))))
def test_duplicates_are_exact_below_the_limit(batches):
    counter = DuplicateCounter(limit=10_000)
    for batch in batches:
        counter.add(np.array(batch, np.uint64))
    values = [value for batch in batches for value in batch]
    expected = 1 - len(set(values)) / len(values) if values else 0
    assert counter.duplicate_share() == pytest.approx(expected)
    assert not counter.is_estimate


def test_beyond_the_limit_duplicates_are_estimated_in_bounded_memory():
    rng = np.random.default_rng(0)
    counter = DuplicateCounter(limit=20_000)
    distinct = rng.integers(0, 2**64, 200_000, dtype=np.uint64)
    for part in np.split(np.concatenate([distinct, distinct[:50_000]]), 50):
        counter.add(part)
        assert len(counter._kept) + counter._num_pending <= 1.5 * counter.limit
    assert counter.is_estimate
    assert counter.duplicate_share() == pytest.approx(0.2, abs=0.02)


def test_the_order_of_hashes_does_not_matter():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**64, 5000, dtype=np.uint64)
    shares = set()
    for _ in range(3):
        counter = DuplicateCounter(limit=400)
        for part in np.array_split(np.concatenate([values, values[:999]]), 7):
            counter.add(part)
        rng.shuffle(values[1000:])
        shares.add(counter.duplicate_share())
    assert len(shares) == 1
