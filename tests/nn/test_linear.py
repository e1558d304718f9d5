import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.nn.linear import (
    Linear,
    activate,
    layer_norm,
    product,
    truncated_normal,
    word_scores,
)


def test_layer_norm_by_hand():
    # mean 3, variance 4 with ε = 0: (1 - 3) / 2 = -1, and so on; then · 2 + 10
    x = jnp.array([[1.0, 1, 5, 5]])
    out = layer_norm(x, jnp.full(4, 2.0), jnp.full(4, 10.0), 0.0)
    np.testing.assert_allclose(out, [[8.0, 8, 12, 12]], rtol=1e-6)
    # ε stands beside the variance: √(4 + 12) = 4
    out = layer_norm(x, jnp.ones(4), jnp.zeros(4), 12.0)
    np.testing.assert_allclose(out, [[-0.5, -0.5, 0.5, 0.5]], rtol=1e-6)


def test_layer_norm_of_bfloat16_has_float32_statistics():
    x = np.random.default_rng(0).normal(size=(4, 768)) + 8
    low = jnp.asarray(x, jnp.bfloat16)
    out = layer_norm(low, jnp.ones(768), jnp.zeros(768), 1e-12)
    assert out.dtype == jnp.bfloat16
    exact = np.asarray(low, np.float64)
    exact = (exact - exact.mean(-1, keepdims=True)) / exact.std(-1, keepdims=True)
    np.testing.assert_allclose(np.asarray(out, np.float64), exact, rtol=2**-8, atol=1e-6)


def test_activations_by_hand():
    x = jnp.array([-1.0, 0.0, 1.0, 2.0])
    # x Φ(x) with Φ(1) = 0.841344746, Φ(2) = 0.977249868
    exact = [-0.158655254, 0.0, 0.841344746, 1.954499736]
    np.testing.assert_allclose(activate("gelu", x), exact, atol=1e-6)
    # x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))
    approximate = [-0.158808009, 0.0, 0.841191991, 1.954597694]
    np.testing.assert_allclose(activate("gelu_tanh", x), approximate, atol=1e-6)
    np.testing.assert_allclose(activate("relu", x), [0, 0, 1, 2])
    with pytest.raises(ValueError, match="hidden_act = 'swish'"):
        activate("swish", x)


def test_the_gradient_of_gelu_is_its_slope():
    x = jnp.array([-2.0, 0.0, 1.0])
    slope = jax.vmap(jax.grad(lambda x: activate("gelu", x)))(x)
    # Φ(x) + x φ(x) with φ(2) = 0.053990967, φ(1) = 0.241970725
    np.testing.assert_allclose(slope, [0.022750132 - 0.107981933, 0.5, 1.083315471], atol=1e-6)


def test_truncated_normal_is_not_corrected_for_its_width():
    x = np.asarray(truncated_normal(0.02)(jax.random.key(0), (400, 500)))
    assert np.abs(x).max() <= 0.04
    assert np.abs(x).max() > 0.0399
    assert abs(x.std() - 0.02 * 0.8796) < 1e-4
    assert abs(x.mean()) < 2e-4


def test_a_product_of_bfloat16_is_float32s_rounded_and_so_are_its_gradients():
    rng = np.random.default_rng(0)
    shapes = ((6, 40), (40, 30), (6, 30))
    x, kernel, dy = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in shapes)

    def all_of(x, kernel, dy):
        y, pull = jax.vjp(product, x, kernel)
        return y, *pull(dy)

    found = jax.jit(all_of)(x, kernel, dy)
    wanted = jax.jit(all_of)(*(each.astype(jnp.float32) for each in (x, kernel, dy)))
    for ours, exact in zip(found, wanted, strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=0.005, atol=1e-4)


def test_scores_of_words_are_float32_and_no_product_of_their_gradients_is():
    rng = np.random.default_rng(0)
    shapes = ((2, 3, 40), (50, 40), (2, 3, 50))
    x, words, dy = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in shapes)

    def all_of(x, words, dy):
        scores, pull = jax.vjp(word_scores, x, words)
        return scores, *pull(dy)

    low = (x, words, dy.astype(jnp.float32))
    found = jax.jit(all_of)(*low)
    wanted = jax.jit(all_of)(*(each.astype(jnp.float32) for each in low))
    assert [each.dtype.name for each in found] == ["float32", "bfloat16", "bfloat16"]
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5, atol=1e-5)
    for ours, exact in zip(found[1:], wanted[1:], strict=True):
        np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=0.005, atol=1e-4)
    program = jax.jit(all_of).lower(*low).as_text().splitlines()
    products = [line for line in program if "dot_general" in line]
    assert len(products) == 3
    for line in products:  # … : (tensor<6x40xbf16>, tensor<40x50xbf16>) -> tensor<6x50xf32>
        assert line.count("xbf16>") == 2


def test_linear_contracts_as_many_axes_as_it_was_built_with():
    linear = Linear((2, 3), (4, 5), truncated_normal(0.02), nnx.Rngs(0))
    assert not linear.bias[...].any()
    linear.bias[...] = jnp.arange(20.0).reshape(4, 5)
    x = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
    wanted = np.einsum("bij,ijkl->bkl", x, linear.kernel[...]) + np.arange(20).reshape(4, 5)
    np.testing.assert_allclose(linear(jnp.asarray(x)), wanted, rtol=1e-5)
