import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.data.batching import (
    NO_LABEL,
    Row,
    bucket,
    eval_batches,
    hash_rows,
    packed_batches,
    pad,
    steps_per_epoch,
    train_batches,
)


def make(lengths):
    return [Row([i + 1] * n, n, {"label": i}, i) for i, n in enumerate(lengths)]


def test_rows_are_padded_with_their_targets():
    rows = [
        Row([2, 7, 3], 3, {"label": 1, "tag": [-1, 4, -1]}),
        Row([2, 3], 1, {"label": 0, "tag": [5, 6]}),
    ]
    batch = pad(rows, 4, 3, pad_id=9)
    assert batch["tokens"].tolist() == [[2, 7, 3, 9], [2, 3, 9, 9], [9, 9, 9, 9]]
    assert batch["lengths"].tolist() == [[[3, 0]], [[1, 1]], [[0, 0]]]
    assert batch["label"].tolist() == [1, 0, 0]
    assert batch["tag"].tolist() == [[-1, 4, -1, -1], [5, 6, -1, -1], [NO_LABEL] * 4]
    assert pad([Row([1], 1, {"score": 0.5})], 1, 1, 0)["score"].dtype == np.float32


@pytest.mark.parametrize(("length", "longest", "wanted"), [
    (1, 128, 16), (16, 128, 16), (17, 128, 32), (65, 80, 80), (80, 80, 80), (97, 100, 100),
])  # fmt: skip
def test_buckets(length, longest, wanted):
    assert bucket(length, longest) == wanted


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=70), st.sampled_from([2, 4, 8]))
def test_every_row_once_in_every_epoch(lengths, batch_size):
    rows = make(lengths)
    steps = steps_per_epoch(len(rows), batch_size)
    stream = train_batches(rows, batch_size, 64, 0, seed=3)
    for _ in range(2):
        seen = []
        for batch in itertools.islice(stream, steps):
            assert batch["tokens"].shape[0] == batch_size
            there = batch["lengths"][:, 0, 0] > 0
            seen += batch["label"][there].tolist()
            for label, tokens in zip(batch["label"][there], batch["tokens"][there], strict=True):
                assert (tokens > 0).sum() == lengths[label]
        assert sorted(seen) == list(range(len(rows)))
    held_out = []
    for numbers, batch in eval_batches(rows, batch_size, 64, 0):
        assert batch["label"][: len(numbers)].tolist() == numbers
        held_out += numbers
    assert sorted(held_out) == list(range(len(rows)))


def flat(batches):
    return [batch["tokens"].tolist() for batch in batches]


def test_resuming_continues_the_same_stream_and_processes_share_it():
    rows = make([n % 30 + 1 for n in range(50)])
    whole = flat(itertools.islice(train_batches(rows, 8, 32, 0, seed=1), 20))
    rest = flat(itertools.islice(train_batches(rows, 8, 32, 0, seed=1, start_step=9), 11))
    assert whole[9:] == rest
    assert whole != flat(itertools.islice(train_batches(rows, 8, 32, 0, seed=2), 20))
    shares = [
        flat(itertools.islice(train_batches(rows, 8, 32, 0, 1, process=(i, 2)), 20)) for i in (0, 1)
    ]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.sampled_from([2, 4, 8]))
def test_processes_share_every_array_of_a_batch_even_of_a_last_one_with_few_rows(size, count):
    rows = [Row([7] * n, n, {"label": n, "tag": [n] * n, "score": n / 2}) for n in range(1, size)]
    rows.append(Row([7], 1, {"label": 9, "tag": [9], "score": 0.5}))
    steps = 2 * steps_per_epoch(len(rows), 8)

    def batches(process):
        yield from itertools.islice(train_batches(rows, 8, 32, 0, 1, process=process), steps)
        yield from (batch for _, batch in eval_batches(rows, 8, 32, 0, process))

    shares = [batches((i, count)) for i in range(count)]
    for whole, *parts in zip(batches((0, 1)), *shares, strict=True):
        for part in parts:
            assert {k: x.dtype for k, x in part.items()} == {k: x.dtype for k, x in whole.items()}
        for name, x in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), x)


def test_rows_have_the_hash_of_all_that_a_model_learns_from():
    rows = [
        Row([2, 7, 3], 3, {"label": 1, "tag": [-1, 4, -1]}, 0),
        Row([2, 3], 1, {"score": 0.5}, 1),
    ]
    assert hash_rows(rows) == hash_rows([Row(*row) for row in rows])
    others = [
        rows[:1],
        rows[::-1],
        [rows[0]._replace(tokens=[2, 7, 4]), rows[1]],
        [rows[0], rows[1]._replace(tokens=[2, 3, 0])],
        [rows[0]._replace(first=2), rows[1]],
        [rows[0]._replace(targets={"label": 1, "tag": [-1, 5, -1]}), rows[1]],
        [rows[0]._replace(targets={"other": 1, "tag": [-1, 4, -1]}), rows[1]],
        [rows[0], rows[1]._replace(targets={"score": 0.25})],
        [rows[0], rows[1]._replace(example=0)],
    ]
    assert len({hash_rows(each) for each in [rows, *others]}) == 1 + len(others)


def test_batches_hold_rows_of_similar_length():
    rng = np.random.default_rng(0)
    rows = make(rng.integers(2, 128, 2000).tolist())
    batches = list(itertools.islice(train_batches(rows, 32, 128, 0, seed=0), 63))
    filled = sum((b["tokens"] > 0).sum() for b in batches) / sum(b["tokens"].size for b in batches)
    assert filled > 0.8  # 0.5 without sorting
    assert len({b["tokens"].shape for b in batches}) <= 7


def test_short_rows_share_a_row():
    sizes = [40, 90, 20, 4, 40, 60]
    rows = [Row([i + 1] * n, n - n // 3, {"label": i}) for i, n in enumerate(sizes)]
    ((groups, batch),) = packed_batches(rows, 8, 128, pad_id=0)
    assert groups == [[1, 3], [5, 2], [0, 4]]  # 94, 80 and 80 of 96 tokens
    assert batch["tokens"].shape == (4, 96)
    assert batch["tokens"][0].tolist() == [2] * 90 + [4] * 4 + [0] * 2
    assert batch["lengths"][1, :3].tolist() == [[40, 20], [14, 6], [0, 0]]
    assert batch["lengths"][:, 0].tolist() == [[60, 30], [40, 20], [27, 13], [0, 0]]
    assert batch["lengths"][:, 2:].sum() == 0
    assert [groups for groups, _ in packed_batches(make([2] * 9), 8, 128, 0)] == [
        [[*range(8)], [8]]  # no more than eight in a row
    ]
    assert list(packed_batches([], 8, 128, 0)) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=90), st.sampled_from([1, 4, 32]))
def test_every_row_is_packed_once(lengths, batch_size):
    rows, seen, shapes = make(lengths), [], {}
    for groups, batch in packed_batches(rows, batch_size, 100, 0):
        num_rows, length = batch["tokens"].shape
        assert num_rows == 1 or num_rows * length <= 64 * batch_size
        shapes.setdefault(length, set()).add(num_rows)
        for numbers, tokens, sizes in zip(
            groups, batch["tokens"], batch["lengths"].sum(-1), strict=False
        ):
            seen += numbers
            assert [lengths[i] for i in numbers] == sizes[: len(numbers)].tolist()
            joined = [token for i in numbers for token in rows[i].tokens]
            assert tokens[: len(joined)].tolist() == joined
    assert sorted(seen) == list(range(len(rows)))
    assert sum(len(sizes) for sizes in shapes.values()) <= len(shapes) + 1
