"""The scores of Luong and Bahdanau, and the context vector, by hand and in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.lineage.attention import Attention, attend, bahdanau_score, luong_score
from bert_jax.nn.initializers import uniform


def test_luong_score_by_hand():
    s, keys = jnp.array([[1.0, 2.0]]), jnp.array([[[3.0, 4.0], [0.0, 5.0]]])

    np.testing.assert_allclose(luong_score(s, keys), [[11.0, 10.0]])


def test_bahdanau_score_by_hand():
    s, keys = jnp.array([[1.0, 2.0]]), jnp.array([[[0.0, 0.0], [0.5, -0.5]]])
    w, v = jnp.array([[0.0, 0.1], [0.2, 0.0]]), jnp.array([[1.0], [10.0]])

    expected = np.tanh([0.4, 0.9]) + 10 * np.tanh([0.1, -0.4])  # s W = [0.4, 0.1]
    np.testing.assert_allclose(bahdanau_score(s, keys, w, v), [expected], rtol=1e-5)


def test_context_and_alignment_by_hand():
    scores, mask = jnp.log(jnp.array([[1.0, 3.0, 9.0]])), jnp.array([[True, True, False]])
    h = jnp.array([[[4.0], [8.0], [100.0]]])

    context, alignment = attend(scores, h, mask)

    np.testing.assert_allclose(alignment, [[0.25, 0.75, 0.0]], atol=1e-6)
    np.testing.assert_allclose(context, [[7.0]], rtol=1e-6)


def test_attention_by_hand():
    attention = Attention("dot", 2, 2, uniform(0.1), nnx.Rngs(0))
    h = jnp.array([[[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]])
    mask = jnp.array([[True, True, False]])

    context, alignment = attention(jnp.array([[1.0, 0.5]]), attention.project_keys(h), h, mask)

    np.testing.assert_allclose(alignment, [[0.5, 0.5, 0.0]], atol=1e-6)
    np.testing.assert_allclose(context, [[0.5, 1.0]], atol=1e-6)


def test_scaled_scores_are_general_ones_over_the_root_of_the_query_s_width():
    general, scaled = (
        Attention(score, 4, 6, uniform(1.0), nnx.Rngs(0)) for score in ("general", "scaled")
    )
    h = jnp.array(np.random.default_rng(0).normal(size=(1, 3, 6)), jnp.float32)

    np.testing.assert_allclose(scaled.project_keys(h), general.project_keys(h) / 2, rtol=1e-6)


@pytest.mark.parametrize("score", ["dot", "general", "scaled", "additive"])
def test_the_order_of_the_memory_does_not_matter_to_attention(score):
    attention = Attention(score, 4, 4, uniform(1.0), nnx.Rngs(0))
    rng = np.random.default_rng(0)
    h, s = jnp.array(rng.normal(size=(1, 5, 4)), jnp.float32), jnp.ones((1, 4))
    mask, order = jnp.array([[True, False, True, True, True]]), np.array([3, 1, 4, 0, 2])

    context, alignment = attention(s, attention.project_keys(h), h, mask)
    shuffled = h[:, order]
    other_context, other_alignment = attention(
        s, attention.project_keys(shuffled), shuffled, mask[:, order]
    )

    np.testing.assert_allclose(context, other_context, atol=1e-6)
    np.testing.assert_allclose(alignment[:, order], other_alignment, atol=1e-6)


def test_scores_are_luong_s_and_bahdanau_s():
    rng = np.random.default_rng(0)
    h, s = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 4))
    general = Attention("general", 4, 3, uniform(1.0), nnx.Rngs(0))
    additive = Attention("additive", 4, 3, uniform(1.0), nnx.Rngs(0))

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)

    def align(attention):
        states = jnp.float32(h)
        keys, mask = attention.project_keys(states), jnp.ones((2, 5), bool)
        return attention(jnp.float32(s), keys, states, mask)[1]

    w = np.asarray(general.w[...])
    scores = [[s[b] @ (w.T @ h[b, i]) for i in range(5)] for b in range(2)]
    np.testing.assert_allclose(align(general), softmax(np.array(scores)), atol=1e-5)

    w, u, v = (np.asarray(x[...]) for x in (additive.w, additive.u, additive.v))
    scores = [[v[:, 0] @ np.tanh(s[b] @ w + h[b, i] @ u) for i in range(5)] for b in range(2)]
    np.testing.assert_allclose(align(additive), softmax(np.array(scores)), atol=1e-5)
