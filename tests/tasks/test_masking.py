"""On-device masking: counts, shares, bounds, and that a draw depends on its row alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.config import MaskingConfig
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.masking import MaskingRules, mask_rows, masked_counts, num_predictions

CLS, SEP, MASK, V = 2, 3, 4, 1000
RULES = MaskingRules(MaskingConfig(), V, CLS, SEP, MASK)
mask_rows = jax.jit(mask_rows, static_argnames="rules")
KEY = jax.random.key(0, impl="philox4x32")  # compiles faster than Threefry


def full_rows(num_rows, lengths):
    """Rows with the same pairs everywhere; content tokens from 5 on."""
    length = int(np.sum(lengths))
    tokens = np.random.default_rng(0).integers(5, V, (num_rows, length)).astype(np.int32)
    place = 0
    for first, second in lengths:
        tokens[:, place] = CLS
        tokens[:, [place + first - 1, place + first + second - 1]] = SEP
        place += first + second
    pairs = jnp.broadcast_to(jnp.asarray(lengths, jnp.int32), (num_rows, len(lengths), 2))
    return tokens, row_layout(pairs, length)


def test_counts_are_the_originals():
    counts = masked_counts(128, MaskingConfig())
    # Halves go to the even number, as in Python 3: 4.5 -> 4, 16.5 -> 16.
    wanted = {0: 0, 1: 0, 2: 0, 3: 1, 5: 1, 10: 2, 30: 4, 64: 10, 110: 16, 128: 19}
    assert {n: int(counts[n]) for n in wanted} == wanted
    assert masked_counts(128, MaskingConfig(max_per_sequence=5)).max() == 5


@given(
    st.lists(st.integers(0, 64), min_size=1, max_size=12),
    st.sampled_from([0.01, 0.1, 0.15, 0.3, 0.5]),
    st.sampled_from([None, 1, 3]),
    st.integers(0, 20),
)
@settings(deadline=None, max_examples=500)
def test_no_row_overflows_its_places(lengths, rate, most, pad):
    config = MaskingConfig(rate=rate, max_per_sequence=most)
    total = sum(lengths) + pad
    counts = masked_counts(total, config)
    assert counts[lengths].sum() <= num_predictions(total, len(lengths), config)


@given(
    st.lists(st.integers(0, 64), min_size=1, max_size=12),
    st.tuples(*[st.floats(0.01, 0.5)] * 2),
    st.integers(0, 9),
)
@settings(deadline=None, max_examples=200)
def test_no_step_overflows_the_places_of_the_larger_rate(lengths, rates, step):
    config = MaskingConfig(rate=rates[0], final_rate=rates[1])
    total = sum(lengths)
    counts = masked_counts(total, config.at(step, 10))
    assert counts[lengths].sum() <= num_predictions(total, len(lengths), config)


def test_at_each_step_masks_are_those_of_its_rate():
    """The first `counts` of one random order: at a smaller rate, some of those at a larger one."""
    lengths = [(30, 34), (40, 24)]
    tokens, layout = full_rows(8, lengths)
    config = MaskingConfig(rate=0.3, final_rate=0.1)
    rules = dataclasses.replace(RULES, config=config)
    place, chosen = (jnp.zeros(8, jnp.int32), jnp.arange(8)), []
    for step in range(3):
        constant = config.at(step, 3)
        counts = np.tile(masked_counts(128, constant)[[64, 64]], (8, 1))
        masked = mask_rows(KEY, tokens, layout, place, rules, counts=counts)
        wanted = mask_rows(KEY, tokens, layout, place, dataclasses.replace(rules, config=constant))
        assert masked.positions.shape[1] == num_predictions(128, 2, MaskingConfig(rate=0.3))
        np.testing.assert_array_equal(masked.tokens, wanted.tokens)
        num = wanted.positions.shape[1]
        for name, values in wanted._asdict().items():
            if name != "tokens":
                np.testing.assert_array_equal(getattr(masked, name)[:, :num], values)
        assert not masked.weights[:, num:].any()
        real = np.asarray(masked.weights) == 1
        chosen.append({(b, int(t)) for b, t in zip(np.nonzero(real)[0],
                       np.asarray(masked.positions)[real], strict=True)})  # fmt: skip
    assert [len(x) for x in chosen] == [8 * 2 * n for n in (19, 13, 6)]
    assert chosen[0] > chosen[1] > chosen[2]


def test_the_bound_is_reached_by_the_shortest_sequences():
    # [CLS] a [SEP] has one prediction, so 4 of them have 4: more than floor(0.15 · 12 + 0.5 · 4).
    assert num_predictions(12, 4, MaskingConfig()) == 4
    assert num_predictions(128, 1, MaskingConfig()) == 19
    assert num_predictions(128, 4, MaskingConfig()) == 21


def test_shares():
    tokens, layout = full_rows(2000, [(30, 34), (40, 24)])
    place = (jnp.zeros(2000, jnp.int32), jnp.arange(2000))
    masked = mask_rows(KEY, tokens, layout, place, RULES)
    real = np.asarray(masked.weights) == 1
    # round(0.15 · 64) = 10 in each sequence, exactly
    first = (np.asarray(masked.positions) < 64) & real
    assert (first.sum(axis=1) == 10).all()
    assert (real.sum(axis=1) == 20).all()
    kinds = np.bincount(np.asarray(masked.kind)[real], minlength=3) / real.sum()
    np.testing.assert_allclose(kinds, [0.8, 0.1, 0.1], atol=0.005)
    positions = np.asarray(masked.positions)
    at = np.take_along_axis(np.asarray(masked.tokens), positions, axis=1)
    was = np.take_along_axis(tokens, positions, axis=1)
    assert (np.asarray(masked.labels)[real] == was[real]).all()
    assert (at[real & (masked.kind == 0)] == MASK).all()
    assert (at[real & (masked.kind == 2)] == was[real & (masked.kind == 2)]).all()
    random = at[real & (masked.kind == 1)]
    assert random.min() < 10  # the whole vocabulary, special tokens too
    assert random.max() > V - 10
    assert not np.isin(was[real], [CLS, SEP]).any()
    assert ((np.asarray(masked.tokens) != tokens).sum(axis=1) <= real.sum(axis=1)).all()


def test_every_place_is_chosen_equally_often():
    tokens, layout = full_rows(2000, [(30, 34), (40, 24)])
    place = (jnp.zeros(2000, jnp.int32), jnp.arange(2000))
    masked = mask_rows(KEY, tokens, layout, place, RULES)
    positions = np.asarray(masked.positions)[np.asarray(masked.weights) == 1]
    share = np.bincount(positions, minlength=128) / 2000
    special = [0, 29, 63, 64, 103, 127]
    np.testing.assert_allclose(share[special], 0)
    # 10 of 61 candidates (of 62 and 61); 0.035 are more than four standard deviations
    np.testing.assert_allclose(np.delete(share, special), 10 / 61, atol=0.035)


def test_whole_words_are_chosen_whole():
    tokens, layout = full_rows(200, [(30, 34)])
    rules = dataclasses.replace(RULES, config=MaskingConfig(whole_word=True))
    continues = np.arange(V) % 2 == 1
    place = (jnp.zeros(200, jnp.int32), jnp.arange(200))
    masked = mask_rows(KEY, tokens, layout, place, rules, continues)
    chosen = np.zeros(tokens.shape, bool)
    for b in range(200):
        chosen[b, np.asarray(masked.positions[b])[np.asarray(masked.weights[b]) == 1]] = True
    special = np.isin(tokens, [CLS, SEP])
    joined = continues[tokens[:, 1:]] & ~special[:, 1:] & ~special[:, :-1]
    assert (chosen[:, 1:] == chosen[:, :-1])[joined].all()
    # 10 of each row, or a little less where the last word is too long
    assert 9.5 * 200 < chosen.sum() <= 10 * 200


def test_the_draw_is_a_function_of_seed_epoch_and_row_alone():
    tokens, layout = full_rows(4, [(30, 34)])
    tokens[:] = tokens[0]

    def masked(epoch, row, seed=0, places=slice(None)):
        epoch, row = jnp.asarray(epoch), jnp.asarray(row)
        part = jax.tree.map(lambda x: x[places], layout)
        return mask_rows(jax.random.key(seed), tokens[places], part, (epoch, row), RULES).tokens

    all_four = masked([0, 0, 1, -1], [7, 8, 7, 7])
    alone = masked([0], [7], places=slice(2, 3))
    np.testing.assert_array_equal(all_four[0], alone[0])
    for other in (all_four[1], all_four[2], all_four[3], masked([0], [7], 1, slice(1))[0]):
        assert (all_four[0] != other).any()


def test_a_filler_row_has_no_predictions():
    layout = row_layout(jnp.zeros((1, 3, 2), jnp.int32), 32)
    place = (jnp.zeros(1, jnp.int32), jnp.array([-1]))
    masked = mask_rows(KEY, np.zeros((1, 32), np.int32), layout, place, RULES)
    assert not masked.weights.any()
    assert not masked.tokens.any()
