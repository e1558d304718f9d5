import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from bert_jax.corpus.packing import pack


def test_best_fit_decreasing_by_hand():
    # rows begin with 7, 6 and 5; then 4 fits best next to 6, a 3 next to 7, a 3 next to 5
    rows, slots = pack(np.array([3, 4, 5, 6, 7, 3]), length=10, max_sequences=4)
    assert rows.tolist() == [0, 1, 2, 1, 0, 2]
    assert slots.tolist() == [1, 1, 0, 0, 0, 1]


def test_a_row_takes_no_more_than_its_number_of_sequences():
    rows, slots = pack(np.array([1] * 7), length=100, max_sequences=3)
    assert np.bincount(rows).tolist() == [3, 3, 1]
    assert slots.max() == 2


def test_one_sequence_a_row_keeps_the_order():
    rows, slots = pack(np.array([5, 9, 1]), length=10, max_sequences=1)
    assert rows.tolist() == [0, 1, 2]
    assert slots.tolist() == [0, 0, 0]


def plain_best_fit(sizes, length, max_sequences):
    """Pack in plain loops; return free space and number of sequences of each row, sorted."""
    space, count, filled = [], [], []
    for now, size in enumerate(sorted(sizes, reverse=True)):
        fitting = [
            (space[r], -filled[r], r)
            for r in range(len(space))
            if space[r] >= size and count[r] < max_sequences
        ]
        if fitting:
            row = min(fitting)[2]
        else:
            row = len(space)
            space.append(length)
            count.append(0)
            filled.append(now)
        space[row] -= size
        filled[row] = now
        count[row] += 1
    return sorted(zip(space, count, strict=True))


@given(
    sizes=st.lists(st.integers(1, 64), max_size=80),
    max_sequences=st.integers(2, 6),
)
@example(sizes=[1, 7, 8, 11, 11, 13, 20, 40, 45, 47, 47, 51], max_sequences=4)  # equal spaces
def test_equals_plain_best_fit_and_breaks_no_limit(sizes, max_sequences):
    rows, slots = pack(np.array(sizes, np.int64), 64, max_sequences)
    used = np.bincount(rows, sizes).astype(int)
    count = np.bincount(rows)
    assert (used <= 64).all()
    assert (count <= max_sequences).all()
    assert (count > 0).all()
    assert len({*zip(rows.tolist(), slots.tolist(), strict=True)}) == len(sizes)
    assert all(sorted(slots[rows == r]) == list(range(count[r])) for r in range(len(count)))
    assert sorted(zip((64 - used).tolist(), count.tolist(), strict=True)) == plain_best_fit(
        sizes, 64, max_sequences
    )
