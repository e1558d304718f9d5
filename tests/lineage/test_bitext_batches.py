"""Batches of encoded pairs: shapes, order, padding, resuming and sharing."""

import itertools

import numpy as np
import pytest

from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.lineage.bitext import Pair
from bert_jax.lineage.bitext_batches import (
    Batching,
    EncodedPair,
    bucket_length,
    count_unknown,
    encode_pairs,
    planned_batches,
    steps_per_epoch,
    translation_batches,
    translation_eval_batches,
)
from bert_jax.lineage.subwords import END, PAD, train_characters


def rows(num=50):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 30, size=(num, 2))
    return [EncodedPair([i + 4] * s + [END], [i + 4] * t + [END]) for i, (s, t) in enumerate(sizes)]


def seen(batches):
    return sorted(int(b["source"][i, 0]) - 4 for b in batches for i in range(len(b["source"]))
                  if b["source"][i, 0] != PAD)  # fmt: skip


def test_buckets_are_four_to_an_octave():
    lengths = [1, 8, 9, 11, 16, 17, 33, 64, 65]
    assert [bucket_length(n) for n in lengths] == [8, 8, 10, 12, 16, 20, 40, 64, 80]


@pytest.mark.parametrize(("tokens", "size"), [(96, None), (None, 8)])
def test_an_epoch_sees_every_pair_once_within_the_tokens(tokens, size):
    pairs = rows()
    batching = Batching(tokens, size, 2, min_length=8)
    steps = steps_per_epoch(pairs, batching)
    stream = translation_batches(pairs, batching, seed=1)

    first, second = (list(itertools.islice(stream, steps)) for _ in range(2))

    assert seen(first) == seen(second) == list(range(50))
    assert [b["source"].tolist() for b in first] != [b["source"].tolist() for b in second]
    assert [b["source"].shape for b in first] != [b["source"].shape for b in second]
    for batch in first:
        longest = max(x.shape[1] for x in batch.values())
        assert len(batch["source"]) % 2 == 0
        assert len(batch["source"]) == size if size else len(batch["source"]) * longest <= 96
    lengths = {bucket_length(max(map(len, pair))) for pair in pairs}
    assert len({(b["source"].shape, b["target"].shape) for b in first}) == len(lengths)


def test_short_pairs_share_batches():
    pairs = rows()
    batching = Batching(None, 8, 2, min_length=32)

    batches = list(itertools.islice(translation_batches(pairs, batching, seed=1), 7))

    assert steps_per_epoch(pairs, batching) == 7  # 50 pairs by 8
    assert seen(batches) == list(range(50))
    longest = [max(len(side) for side in sides) for sides in zip(*pairs, strict=True)]
    shapes = {(b["source"].shape[1], b["target"].shape[1]) for b in batches}
    assert shapes == {tuple(bucket_length(n) for n in longest)}


def test_a_batch_holds_tokens_end_and_padding():
    (batch,) = (b for _, b in translation_eval_batches([EncodedPair([4, 5, END], [6, END])], 2))

    assert batch["source"].tolist() == [[4, 5, END] + [PAD] * 5, [PAD] * 8]
    assert batch["target"].tolist() == [[6, END] + [PAD] * 6, [PAD] * 8]


def test_resuming_and_sharing_are_exact():
    pairs, batching = rows(), Batching(96, None, 2, min_length=8)
    whole = list(itertools.islice(translation_batches(pairs, batching, seed=1), 40))

    resumed = list(itertools.islice(translation_batches(pairs, batching, 1, 25), 15))
    halves = [
        list(itertools.islice(translation_batches(pairs, batching, 1, 0, (i, 2)), 40))
        for i in (0, 1)
    ]

    for expected, batch in zip(whole[25:], resumed, strict=True):
        np.testing.assert_array_equal(expected["target"], batch["target"])
    for expected, left, right in zip(whole, *halves, strict=True):
        both = np.concatenate([left["source"], right["source"]])
        np.testing.assert_array_equal(expected["source"], both)


def test_long_pairs_are_rejected_with_their_place_and_unknown_symbols_counted():
    vocabulary, rejects = train_characters(["abc"], False), Rejects()
    pairs = [Pair("abc", "ab", "f:1"), Pair("abcabc", "a", "f:2"), Pair("ax", "b", "f:3")]

    kept, encoded = encode_pairs(pairs, vocabulary, 5, 1, rejects)

    assert [pair.place for pair in kept] == ["f:1", "f:3"]
    assert [(row["place"], row["reason"]) for row in rejects.rows] == [
        ("f:2", "longer than the 5 tokens that the model reads")
    ]
    assert count_unknown(encoded) == 1


def test_a_split_without_a_pair_that_fits_is_refused():
    vocabulary = train_characters(["abc"], False)

    with pytest.raises(DataError, match=r"all 1 pairs, from f:1 on, have more than 2 tokens"):
        encode_pairs([Pair("abc", "a", "f:1")], vocabulary, 2, 1, Rejects())


def test_short_sources_are_filled_up_with_end_symbols_targets_are_not():
    vocabulary = train_characters(["abc"], False)
    a, b, c = vocabulary.encode(["abc"])[0]
    pairs = [Pair("ab", "a", "f:1"), Pair("abca", "a", "f:2")]

    _, encoded = encode_pairs(pairs, vocabulary, 10, 4, Rejects())

    assert encoded == [([a, b, END, END], [a, END]), ([a, b, c, a, END], [a, END])]


@pytest.mark.parametrize(("tokens", "size"), [(96, None), (None, 8)])
def test_planned_batches_have_the_shapes_of_every_epoch(tokens, size):
    pairs, batching = rows(), Batching(tokens, size, 2, min_length=8)
    planned = [
        {k: (x.shape, x.dtype) for k, x in b.items()} for b in planned_batches(pairs, batching)
    ]
    for seed in range(3):
        stream = translation_batches(pairs, batching, seed)
        epochs = itertools.islice(stream, 2 * steps_per_epoch(pairs, batching))
        used = [{k: (x.shape, x.dtype) for k, x in batch.items()} for batch in epochs]
        assert all(shapes in planned for shapes in used)
        assert all(shapes in used for shapes in planned)
