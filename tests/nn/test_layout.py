import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.nn.layout import block_diagonal_mask, gather_positions, row_layout


def test_two_pairs_and_padding_by_hand():
    layout = row_layout(jnp.array([[[2, 1], [2, 0], [0, 0]]], jnp.int32), 6)
    assert layout.sequence_ids.tolist() == [[1, 1, 1, 2, 2, 0]]
    assert layout.positions.tolist() == [[0, 1, 2, 0, 1, 0]]
    assert layout.segment_ids.tolist() == [[0, 0, 1, 0, 0, 0]]
    assert layout.starts[0, :2].tolist() == [0, 3]
    assert layout.lengths.tolist() == [[3, 2, 0]]


def test_a_row_without_sequences_is_all_padding():
    layout = row_layout(jnp.zeros((1, 2, 2), jnp.int32), 5)
    for part in (layout.sequence_ids, layout.positions, layout.segment_ids):
        assert part.tolist() == [[0] * 5]


def test_starts_stay_in_a_full_row():
    layout = row_layout(jnp.array([[[2, 1], [3, 0], [0, 0]]], jnp.int32), 6)
    assert layout.starts.tolist() == [[0, 3, 5]]


def test_positions_are_gathered_row_by_row():
    x, positions = jnp.arange(12.0).reshape(2, 3, 2), jnp.array([[2, 0], [1, 1]])
    actual = gather_positions(x, positions)
    assert actual.tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]
    assert gather_positions(x[:, :, 0], positions).tolist() == [[4, 0], [8, 8]]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=5, max_size=5))
@settings(deadline=None, max_examples=50)
def test_equals_loops(pairs):
    length = 40
    layout = row_layout(jnp.array([pairs], jnp.int32), length)
    expected = np.zeros((3, length), int)
    t = 0
    for j, (first, second) in enumerate(pairs):
        for i in range(first + second):
            expected[:, t] = j + 1, i, i >= first
            t += 1
    actual = [layout.sequence_ids[0], layout.positions[0], layout.segment_ids[0]]
    np.testing.assert_array_equal(actual, expected)


def test_mask_is_block_diagonal():
    mask = block_diagonal_mask(jnp.array([[1, 1, 2, 0]]))
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(mask[0, 0], np.array(expected, bool))
