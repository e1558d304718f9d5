import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.labelled.batching import (
    NO_LABEL,
    EncodedText,
    Packing,
    collate,
    finetuning_batches,
    hash_texts,
    planned_batches,
    steps_per_epoch,
)
from bert_jax.labelled.packed import packed_batches


def make(lengths):
    return [EncodedText([i + 1] * n, n, {"label": i}, i) for i, n in enumerate(lengths)]


def labels(batch):
    """The labels of all texts in a batch."""
    return batch["label"][batch["lengths"][..., 0] > 0].tolist()


def test_texts_are_joined_with_their_targets():
    texts = [
        EncodedText([2, 7, 3], 3, {"label": 1, "tag": [-1, 4, -1]}),
        EncodedText([2, 3], 1, {"label": 2, "tag": [5, 6]}),
    ]
    batch = collate(texts, [[1, 0], [], [0]], 4, 16, pad_id=9)
    assert batch["tokens"][:3, :6].tolist() == [[2, 3, 2, 7, 3, 9], [9] * 6, [2, 7, 3, 9, 9, 9]]
    assert batch["lengths"].tolist() == [
        [[1, 1], [3, 0]], [[0, 0]] * 2, [[3, 0], [0, 0]], [[0, 0]] * 2
    ]  # fmt: skip
    assert batch["label"].tolist() == [[2, 1], [0, 0], [1, 0], [0, 0]]
    assert batch["tag"][:, :6].tolist() == [
        [5, 6, -1, 4, -1, NO_LABEL], [NO_LABEL] * 6, [-1, 4, -1, *[NO_LABEL] * 3], [NO_LABEL] * 6
    ]  # fmt: skip
    assert (batch["tokens"][:, 6:] == 9).all()
    assert (batch["tag"][:, 6:] == NO_LABEL).all()
    assert collate([EncodedText([1], 1, {"score": 0.5})], [[0]], 1, 8)["score"].dtype == np.float32


@pytest.mark.parametrize(("length", "longest", "bucket", "shared"), [
    (1, 128, 16, 64), (16, 128, 16, 64), (17, 128, 32, 64), (64, 80, 64, 64), (65, 80, 80, 80),
    (80, 80, 80, 80), (97, 100, 100, 100), (5, 12, 16, 64), (600, 8192, 768, 768),
    (7000, 8192, 8192, 8192),
])  # fmt: skip
def test_lengths_of_rows(length, longest, bucket, shared):
    packing = Packing(longest, 0)
    assert packing.bucket(length) == bucket
    assert packing.shared_row_length(length) == shared


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=70),
    st.sampled_from([2, 3, 8]),
    st.sampled_from([1, 4]),
)
def test_every_text_once_in_every_epoch(lengths, batch_size, multiple):
    texts = make(lengths)
    steps = steps_per_epoch(len(texts), batch_size)
    stream = finetuning_batches(texts, batch_size, Packing(100, 0, multiple), seed=3)
    for _ in range(2):
        seen = []
        for batch in itertools.islice(stream, steps):
            assert len(batch["tokens"]) % multiple == 0
            seen_labels = labels(batch)
            assert len(seen_labels) <= batch_size
            if len(texts) % batch_size == 0:
                assert len(seen_labels) == batch_size
            sizes = batch["lengths"].sum(-1)
            assert sizes[sizes > 0].tolist() == [lengths[label] for label in seen_labels]
            for label in seen_labels:
                assert (batch["tokens"] == label + 1).sum() == lengths[label]
            seen += seen_labels
        assert sorted(seen) == list(range(len(texts)))


def flat(batches):
    return [batch["tokens"].tolist() for batch in batches]


def test_resuming_continues_the_same_stream_and_processes_share_it():
    texts = make([n % 30 + 1 for n in range(50)])
    packing = Packing(32, 0, 2)
    whole = flat(itertools.islice(finetuning_batches(texts, 8, packing, seed=1), 20))
    rest = flat(itertools.islice(finetuning_batches(texts, 8, packing, seed=1, start_step=9), 11))
    assert whole[9:] == rest
    assert whole != flat(itertools.islice(finetuning_batches(texts, 8, packing, seed=2), 20))
    shares = [
        flat(
            itertools.islice(finetuning_batches(texts, 8, packing._replace(process=(i, 2)), 1), 20)
        )
        for i in (0, 1)
    ]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.sampled_from([2, 4, 8]))
def test_processes_share_every_array_of_a_batch_even_of_a_last_one_with_few_texts(size, count):
    texts = [
        EncodedText([7] * n, n, {"label": n, "tag": [n] * n, "score": n / 2})
        for n in range(1, size)
    ]
    texts.append(EncodedText([7], 1, {"label": 9, "tag": [9], "score": 0.5}))
    steps = 2 * steps_per_epoch(len(texts), 8)

    def batches(process):
        packing = Packing(32, 0, 8, process)
        yield from itertools.islice(finetuning_batches(texts, 8, packing, 1), steps)
        yield from (batch for _, batch in packed_batches(texts, 8, packing))

    shares = [batches((i, count)) for i in range(count)]
    for whole, *parts in zip(batches((0, 1)), *shares, strict=True):
        for part in parts:
            assert {k: x.dtype for k, x in part.items()} == {k: x.dtype for k, x in whole.items()}
        for name, x in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), x)


def test_texts_have_the_hash_of_all_that_a_model_learns_from():
    texts = [
        EncodedText([2, 7, 3], 3, {"label": 1, "tag": [-1, 4, -1]}, 0),
        EncodedText([2, 3], 1, {"score": 0.5}, 1),
    ]
    assert hash_texts(texts) == hash_texts([EncodedText(*text) for text in texts])
    others = [
        texts[:1],
        texts[::-1],
        [texts[0]._replace(tokens=[2, 7, 4]), texts[1]],
        [texts[0], texts[1]._replace(tokens=[2, 3, 0])],
        [texts[0]._replace(first_length=2), texts[1]],
        [texts[0]._replace(targets={"label": 1, "tag": [-1, 5, -1]}), texts[1]],
        [texts[0]._replace(targets={"other": 1, "tag": [-1, 4, -1]}), texts[1]],
        [texts[0], texts[1]._replace(targets={"score": 0.25})],
        [texts[0], texts[1]._replace(example=0)],
    ]
    assert len({hash_texts(each) for each in [texts, *others]}) == 1 + len(others)


def test_training_batches_are_full_and_have_few_shapes():
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.lognormal(3.0, 0.7, 2000).astype(int), 2, 128).tolist()
    texts = make(sizes)
    stream = finetuning_batches(texts, 32, Packing(128, 0), seed=0)
    batches = list(itertools.islice(stream, 3 * 63))
    filled = sum(b["lengths"].sum() for b in batches) / sum(b["tokens"].size for b in batches)
    assert filled > 0.83  # 0.7 of texts in rows of their own, sorted by length
    assert len({b["tokens"].shape for b in batches}) <= 6  # two for each of three lengths


def test_training_batches_mix_short_and_long_texts_at_random():
    texts = make([*range(2, 62)] * 4)  # all of them in rows of 64 tokens
    (first, *others), (again, *_) = (
        list(itertools.islice(finetuning_batches(texts, 24, Packing(64, 0), seed=seed), 10))
        for seed in (0, 1)
    )
    for batch in (first, *others):
        sizes = batch["lengths"].sum(-1)
        assert sizes[sizes > 0].mean() == pytest.approx(31.5, abs=2)  # unsorted ± 3.5
    assert {batch["tokens"].shape for batch in others} == {first["tokens"].shape}
    assert set(labels(first)) != set(labels(again))


def test_the_texts_of_a_batch_change_at_random_between_epochs():
    texts = make([*range(2, 62)])  # one text of each length
    stream = finetuning_batches(texts, 12, Packing(64, 0), seed=0)
    first, second = (
        {frozenset(labels(batch)) for batch in itertools.islice(stream, 5)} for _ in range(2)
    )
    assert not first & second


@pytest.mark.parametrize("process", [(0, 1), (1, 2)])
def test_planned_batches_have_the_shapes_of_an_epoch(process):
    rng = np.random.default_rng(0)
    texts = make([*rng.integers(4, 60, 400).tolist(), *rng.integers(65, 128, 60).tolist()])
    packing = Packing(128, 0, row_multiple=2, process=process)
    planned = planned_batches(texts, 16, packing)
    shapes = {batch["tokens"].shape for batch in planned}
    assert len(shapes) == len(planned)
    share = process[1]
    epoch = itertools.islice(
        finetuning_batches(texts, 16, packing, seed=0), steps_per_epoch(len(texts), 16)
    )
    used = {(len(b["tokens"]) * share, b["tokens"].shape[1]): b for b in epoch}
    assert used.keys() <= shapes
    assert {length for _, length in used} == {length for _, length in shapes} != {64}
    assert max(used) == max(shapes)
    of_one = used[max(used)]
    (largest,) = (batch for batch in planned if batch["tokens"].shape == max(shapes))
    for name, x in largest.items():
        assert (x.dtype, x.shape[1:]) == (of_one[name].dtype, of_one[name].shape[1:])
    assert largest.keys() == of_one.keys()
