import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.corpus.permutation import permute


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**63), epoch=st.integers(0, 10**6))
def test_an_epoch_is_a_permutation(size, seed, epoch):
    values = permute(np.arange(size), size, seed, epoch)
    assert sorted(values.tolist()) == list(range(size))


def test_a_permutation_depends_on_seed_and_epoch_and_on_each_position_alone():
    whole = permute(np.arange(1000), 1000, 1, 0)
    np.testing.assert_array_equal(permute(np.array([7, 999]), 1000, 1, 0), whole[[7, 999]])
    assert (whole == permute(np.arange(1000), 1000, 2, 0)).mean() < 0.01
    assert (whole == permute(np.arange(1000), 1000, 1, 1)).mean() < 0.01


def test_permutations_look_random():
    """Position 0 maps to all values equally often, and neighbours do not stay neighbours."""
    size = 37
    first = np.bincount(
        [permute(np.array([0]), size, 0, e)[0] for e in range(7400)], minlength=size
    )
    assert ((first - 200) ** 2 / 200).sum() < size + 6 * np.sqrt(2 * size)
    steps = np.diff(permute(np.arange(100_000), 100_000, 0, 0))
    assert abs(np.corrcoef(steps[:-1], steps[1:])[0, 1] + 0.5) < 0.02  # −½ for a random order
    assert len(np.unique(steps)) > 50_000


@pytest.mark.parametrize(
    ("size", "seed", "epoch", "expected"),
    [
        (12, 0, 0, [0, 11, 9, 8, 4, 1, 3, 7, 2, 6, 10, 5]),
        (12, 0, 1, [7, 2, 11, 6, 9, 0, 1, 10, 8, 3, 5, 4]),
        (10**9, 2**63, 5, [979653042, 180941901, 34680616, 234743361]),
    ],
)
def test_the_order_never_changes(size, seed, epoch, expected):
    """Resuming a run of an older version needs the same order."""
    assert permute(np.arange(len(expected)), size, seed, epoch).tolist() == expected
