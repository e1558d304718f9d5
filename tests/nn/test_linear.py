import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.linear import Linear, activate, layer_norm


def test_layer_norm_by_hand():
    # mean 3, variance 4 with ε = 0: (1 - 3) / 2 = -1, and so on; then · 2 + 10
    x = jnp.array([[1.0, 1, 5, 5]])
    out = layer_norm(x, jnp.full(4, 2.0), jnp.full(4, 10.0), 0.0)
    np.testing.assert_allclose(out, [[8.0, 8, 12, 12]], rtol=1e-6)
    # ε is added to the variance: √(4 + 12) = 4
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
    with pytest.raises(ValueError, match="activation = 'swish'"):
        activate("swish", x)


def test_the_gradient_of_gelu_is_its_slope():
    x = jnp.array([-2.0, 0.0, 1.0])
    slope = jax.vmap(jax.grad(lambda x: activate("gelu", x)))(x)
    # Φ(x) + x φ(x) with φ(2) = 0.053990967, φ(1) = 0.241970725
    np.testing.assert_allclose(slope, [0.022750132 - 0.107981933, 0.5, 1.083315471], atol=1e-6)


def test_linear_contracts_as_many_axes_as_it_was_built_with():
    linear = Linear((2, 3), (4, 5), truncated_normal(0.02), nnx.Rngs(0))
    assert not linear.bias[...].any()
    linear.bias[...] = jnp.arange(20.0).reshape(4, 5)
    x = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
    expected = np.einsum("bij,ijkl->bkl", x, linear.kernel[...]) + np.arange(20).reshape(4, 5)
    np.testing.assert_allclose(linear(jnp.asarray(x)), expected, rtol=1e-5)
