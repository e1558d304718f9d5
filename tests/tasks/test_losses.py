import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.tasks.losses import (
    MLM_EPSILON,
    accuracy_sums,
    cross_entropy,
    masked_language_model_sums,
    next_sentence_sums,
)


def test_cross_entropy_by_hand():
    logits = jnp.log(jnp.array([[1.0, 3.0], [1.0, 1.0]]))
    found = cross_entropy(logits, jnp.array([1, 0]))
    np.testing.assert_allclose(found, [np.log(4 / 3), np.log(2)], rtol=1e-6)


def test_large_logits_stay_finite_and_bfloat16_is_summed_in_float32():
    logits = jnp.array([[1e4, 0.0]], jnp.bfloat16)
    found = cross_entropy(logits, jnp.array([1]))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, [9984.0])  # 1e4 in bfloat16


def test_masked_words_are_weighted_sums():
    # ce is ln 4 everywhere; a filler has weight 0 whatever its label
    logits = jnp.zeros((2, 2, 4))
    weights = jnp.array([[1.0, 1.0], [1.0, 0.0]])
    total, count = masked_language_model_sums(logits, jnp.array([[0, 1], [2, 3]]), weights)
    np.testing.assert_allclose([total, count], [3 * np.log(4), 3], rtol=1e-6)
    assert MLM_EPSILON == 1e-5
    slope = jax.grad(lambda x: masked_language_model_sums(x, jnp.zeros((2, 2), int), weights)[0])
    gradient = slope(logits)
    assert not gradient[1, 1].any()
    np.testing.assert_allclose(gradient[0, 0], [-0.75, 0.25, 0.25, 0.25], rtol=1e-6)


def test_next_sentence_counts_pairs_only():
    logits = jnp.array([[[0.0, jnp.log(3.0)], [50.0, -50.0]]])
    total, count = next_sentence_sums(logits, jnp.array([[1, 1]]), jnp.array([[9, 0]]))
    np.testing.assert_allclose([total, count], [np.log(4 / 3), 1], rtol=1e-6)


def test_accuracy():
    logits = jnp.array([[[1.0, 2.0, 0.0], [5.0, 0.0, 0.0]]])
    sums = accuracy_sums(logits, jnp.array([[1, 1]]), jnp.array([[1.0, 1.0]]))
    assert [float(x) for x in sums] == [1.0, 2.0]
    sums = accuracy_sums(logits, jnp.array([[1, 1]]), jnp.array([[1.0, 0.0]]))
    assert [float(x) for x in sums] == [1.0, 1.0]
