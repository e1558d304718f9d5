"""Greedy and beam search against exhaustive search on a toy model."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.lineage.decoding import (
    Penalties,
    SearchSize,
    SpecialTokens,
    alignment_weights,
    beam_search,
    greedy_search,
    search_n_best,
)

V, END, T = 4, 3, 4
SPECIAL = SpecialTokens(start=0, end=END, pad=0)
NO_PENALTY = Penalties()


def toy(seed, num_rows=3):
    """Return a model whose next token depends on all before it, by a table for each sentence."""
    rng = np.random.default_rng(seed)
    tables = jnp.array(rng.normal(size=(num_rows, T, V * V, V)) * 2, jnp.float32)
    alignments = jnp.array(rng.dirichlet(np.ones(5), size=(num_rows, T, V)), jnp.float32)

    def step(sentences, state, tokens, t):
        history = (state * V + tokens) % (V * V)
        return history, tables[sentences, t, history], alignments[sentences, t, tokens]

    return step


def all_hypotheses(limit):
    for length in range(1, limit + 1):
        for body in itertools.product([w for w in range(V) if w != END], repeat=length - 1):
            yield (*body, END)


def score_by_hand(step, sentence, hypothesis, penalties):
    state, token, log_p, coverage = jnp.zeros(1, jnp.int32), 0, 0.0, np.zeros(5)
    sentences = jnp.array([sentence])
    for t, word in enumerate(hypothesis):
        state, logits, alignment = step(sentences, state, jnp.array([token]), jnp.array(t))
        log_p += float(jax.nn.log_softmax(logits[0])[word])
        coverage += np.asarray(alignment[0])
        token = word
    covered = np.log(np.minimum(coverage, 1.0)).sum()
    divisor = ((5 + len(hypothesis)) / 6) ** penalties.length
    return log_p / divisor + penalties.coverage * covered


def search(step, num_rows, limits, beams, penalties):
    mask = jnp.ones((num_rows, 5), bool)
    each = jnp.repeat(jnp.arange(num_rows), beams)
    state = jnp.zeros(num_rows, jnp.int32)
    run = jax.jit(
        lambda s: beam_search(partial(step, each), s, limits, mask, T, SPECIAL, beams, penalties)
    )
    return run(state)


@pytest.mark.parametrize(
    "penalties", [NO_PENALTY, Penalties(length=0.8), Penalties(length=0.4, coverage=0.3)]
)
def test_a_wide_beam_finds_what_exhaustive_search_finds(penalties):
    for seed in range(2):
        step, limits = toy(seed), jnp.array([4, 3, 2])

        hypotheses, scores = search(step, 3, limits, 40, penalties)

        for sentence in range(3):
            every = {h: score_by_hand(step, sentence, h, penalties)
                     for h in all_hypotheses(int(limits[sentence]))}  # fmt: skip
            best = max(every, key=every.__getitem__)
            assert tuple(hypotheses[sentence][: len(best)].tolist()) == best
            assert (np.asarray(hypotheses[sentence][len(best) :]) == 0).all()
            np.testing.assert_allclose(scores[sentence], every[best], atol=1e-5)


@pytest.mark.parametrize("penalties", [NO_PENALTY, Penalties(length=0.4, coverage=0.3)])
def test_the_n_best_are_those_of_exhaustive_search(penalties):
    step, limits, mask = toy(1), jnp.array([4, 3, 2]), jnp.ones((3, 5), bool)
    step, size = partial(step, jnp.repeat(jnp.arange(3), 40)), SearchSize(T, 40, 6)
    state = jnp.zeros(3, jnp.int32)

    hypotheses, scores = search_n_best(step, state, limits, mask, size, SPECIAL, penalties)

    for sentence in range(3):
        every = {h: score_by_hand(toy(1), sentence, h, penalties)
                 for h in all_hypotheses(int(limits[sentence]))}  # fmt: skip
        best = sorted(every, key=every.__getitem__, reverse=True)[:6]
        expected = [(*h, *[0] * (T - len(h))) for h in best]
        np.testing.assert_array_equal(hypotheses[sentence][: len(best)], expected)
        given = [every[h] for h in best]
        np.testing.assert_allclose(scores[sentence][: len(best)], given, atol=1e-5)
        assert (np.asarray(scores[sentence][len(best) :]) == -np.inf).all()


def test_a_source_token_without_attention_costs_all_hypotheses_alike():
    step, limits = toy(3), jnp.array([4, 3, 2])

    def blind(*inputs):
        state, logits, alignment = step(*inputs)
        return state, logits, jnp.zeros_like(alignment)

    hypotheses, scores = search(blind, 3, limits, 4, Penalties(coverage=0.2))
    expected, _ = search(blind, 3, limits, 4, NO_PENALTY)

    np.testing.assert_array_equal(hypotheses, expected)
    assert (np.asarray(hypotheses) != 0).any(axis=1).all()
    assert np.isfinite(np.asarray(scores)).all()


def test_one_beam_is_greedy_search():
    step, limits = toy(7, num_rows=16), jnp.full(16, T)

    beam, _ = search(step, 16, limits, 1, NO_PENALTY)
    state = jnp.zeros(16, jnp.int32)
    greedy = greedy_search(partial(step, jnp.arange(16)), state, limits, T, SPECIAL)

    ended = (np.asarray(greedy) == END).any(axis=1)
    assert 0 < ended.sum() < 16  # at its limit the beam has to end, greedy search does not
    np.testing.assert_array_equal(beam[ended], greedy[ended])


def test_greedy_search_stops_at_the_end_token_and_at_the_limit():
    def step(state, tokens, t):  # row 0 is 1 1 END, row 1 never ends
        word = jnp.where((jnp.arange(2) == 0) & (t == 2), END, 1)
        return state, jax.nn.one_hot(word, V), jnp.zeros((2, 1))

    hypotheses = greedy_search(step, jnp.zeros(2), jnp.array([4, 2]), T, SPECIAL)

    np.testing.assert_array_equal(hypotheses, [[1, 1, END, 0], [1, 1, 0, 0]])


def test_reordering_moves_every_array_of_the_state():
    """The second best first token has the best second one, so that hypotheses swap rows then.

    The third token depends on the first one, which only the state still holds.
    """
    first = [0.0, 0.55, 0.45, 0.0]
    second = {1: [0.0, 0.5, 0.5, 0.0], 2: [0.0, 1.0, 0.0, 0.0]}
    third = {1: [0.0, 1.0, 0.0, 0.0], 2: [0.0, 0.0, 0.0, 1.0]}
    table = jnp.log(jnp.array([first, second[1], second[2], third[1], third[2]]) + 1e-9)

    def step(state, tokens, t):
        state = [jnp.where(t == 1, tokens, x) for x in state]
        is_two = jnp.stack([x == 2 for x in state]).all(axis=0)
        rows = jnp.where(t == 0, 0, jnp.where(t == 1, 1, 3) + is_two)
        return state, table[rows], jnp.zeros((tokens.shape[0], 1))

    mask, state = jnp.ones((1, 1), bool), [jnp.zeros(1, jnp.int32)] * 3
    best, score = beam_search(step, state, jnp.array([4]), mask, T, SPECIAL, 2, NO_PENALTY)

    np.testing.assert_array_equal(best, [[2, 1, END, 0]])
    np.testing.assert_allclose(score, [np.log(0.45)], atol=1e-4)


def test_alignment_weights_are_those_of_the_given_tokens():
    step = toy(3, num_rows=2)
    targets = jnp.array([[1, 2, END, 0], [2, END, 0, 0]])

    state = jnp.zeros(2, jnp.int32)
    alignment = alignment_weights(partial(step, jnp.arange(2)), state, targets, SPECIAL)

    assert alignment.shape == (2, T, 5)
    _, _, second = step(jnp.arange(2), jnp.zeros(2, jnp.int32), jnp.array([1, 2]), jnp.array(1))
    np.testing.assert_allclose(alignment[:, 1], second)
