"""The smallest blocks: affine map, layer norm, activations, and how they start."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float, PRNGKeyArray

SQRT_HALF = math.sqrt(0.5)
Initializer = Callable[..., Array]
"""Draws an array: `(key, shape) -> array`."""


def uniform(limit: float) -> Initializer:
    """Uniform from -limit to limit."""
    return lambda key, shape: jax.random.uniform(key, shape, minval=-limit, maxval=limit)


def normal(stddev: float) -> Initializer:
    """Normal with this standard deviation."""
    return lambda key, shape: stddev * jax.random.normal(key, shape)


def fan_in_normal(key: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
    """Normal with variance 1 / shape[0] (LeCun et al. 1998, section 4.6)."""
    return jax.random.normal(key, shape) / math.sqrt(shape[0])


def truncated_normal(stddev: float) -> Initializer:
    """Normal cut at two standard deviations, as BERT's kernels start.

    As in TensorFlow, the width that the cut takes away is not given back: the actual standard
    deviation is 0.88 of `stddev`.
    """
    unscaled = jax.nn.initializers.truncated_normal(stddev=1.0, lower=-2.0, upper=2.0)
    return lambda key, shape: stddev * unscaled(key, shape, jnp.float32)


def product(x: Float[Array, "N I"], kernel: Float[Array, "I O"]) -> Float[Array, "N O"]:
    """x W, in the type of `x`.

    On CPUs, XLA multiplies bfloat16 in hardware (AMX) only where the result is to be float32.
    """
    if x.dtype != jnp.bfloat16 or jax.default_backend() != "cpu":
        return x @ kernel
    return _bfloat16_product(x, kernel).astype(x.dtype)


def scores(x: Float[Array, "*B N D"], y: Float[Array, "*B M D"]) -> Float[Array, "*B N M"]:
    """x Yᵀ in float32: each vector of `x` with each of `y`; gradients multiply as `x` does."""
    if x.dtype != jnp.bfloat16:
        return jnp.einsum("...ND,...MD->...NM", x, y, preferred_element_type=jnp.float32)
    return _bfloat16_product(x, y.swapaxes(-1, -2))


def word_scores(x: Float[Array, "B P D"], words: Float[Array, "V D"]) -> Float[Array, "B P V"]:
    """x Eᵀ in float32, where E has a vector for each word."""
    return scores(x.reshape(-1, x.shape[-1]), words).reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def _bfloat16_product(
    x: Float[Array, "*B N I"], kernel: Float[Array, "*B I O"]
) -> Float[Array, "*B N O"]:
    """x W in float32, of bfloat16; on the way back, all is bfloat16."""
    return _multiply(x, -1, kernel, -2)


def _bfloat16_gradients(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    dy, x_transposed = dy.astype(x.dtype), x.swapaxes(-1, -2)
    if jax.default_backend() == "cpu":  # AMX wants rows to meet columns in memory, as in x W
        x_transposed = with_layout_constraint(x_transposed, Layout(tuple(range(x.ndim))))
    dx, dw = _multiply(dy, -1, kernel, -1), _multiply(x_transposed, -1, dy, -2)
    return dx.astype(x.dtype), dw.astype(x.dtype)


_bfloat16_product.defvjp(
    lambda x, kernel: (_bfloat16_product(x, kernel), (x, kernel)), _bfloat16_gradients
)


def _multiply(a: Array, axis_a: int, b: Array, axis_b: int) -> Array:
    """Sums over an axis of each, in float32; what is before the last two axes, they share."""
    shared = tuple(range(a.ndim - 2))
    axes = (((axis_a % a.ndim,), (axis_b % b.ndim,)), (shared, shared))
    return jax.lax.dot_general(a, b, axes, preferred_element_type=jnp.float32)


class Linear(nnx.Module):
    """y = x W + b over one or several axes: kernel [*in_shape, *out_shape], bias [*out_shape]."""

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        init: Initializer,
        rngs: nnx.Rngs,
    ):
        self.kernel = nnx.Param(init(rngs.params(), (*in_shape, *out_shape)))
        self.bias = nnx.Param(jnp.zeros(out_shape))
        self.num_in = len(in_shape)

    def __call__(self, x: Float[Array, "*batch_in"]) -> Float[Array, "*batch_out"]:
        """Maps the last axes, `in_shape`, to `out_shape`."""
        kernel, bias = self.kernel[...], self.bias[...]
        # Two axes each: the gradient of the kernel takes XLA twice as long over more (on CPU).
        in_shape, out_shape = kernel.shape[: self.num_in], kernel.shape[self.num_in :]
        flat = kernel.astype(x.dtype).reshape(math.prod(in_shape), math.prod(out_shape))
        y = product(x.reshape(-1, flat.shape[0]), flat)
        y = y.reshape(*x.shape[: -self.num_in], *out_shape)
        return y + jnp.broadcast_to(bias.astype(x.dtype), y.shape)


def layer_norm(
    x: Float[Array, "*batch D"], scale: Float[Array, "D"], bias: Float[Array, "D"], eps: float
) -> Float[Array, "*batch D"]:
    """(x - mean) / √(variance + ε) · scale + bias over the last axis (Ba et al. 2016).

    Statistics are float32; the result has the type of `x`.
    """
    x32 = x.astype(jnp.float32)
    mean = x32.mean(axis=-1, keepdims=True)
    centred = x32 - mean
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    normal = centred * jax.lax.rsqrt(variance + eps)
    scale, bias = (jnp.broadcast_to(p.astype(jnp.float32), x.shape) for p in (scale, bias))
    return (normal * scale + bias).astype(x.dtype)


class LayerNorm(nnx.Module):
    """Layer normalisation; its parameters keep float32."""

    def __init__(self, width: int, eps: float):
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))
        self.eps = eps

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Normalises the last axis."""
        return layer_norm(x, self.scale[...], self.bias[...], self.eps)


def activate(name: str, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Applies an activation by its name in `BertConfig.hidden_act`.

    "gelu" is x Φ(x) with the exact normal distribution (Hendrycks and Gimpel 2016), as in the
    checkpoints of 2018; "gelu_tanh" is its tanh approximation, as in the original code since
    February 2019.
    """
    if name == "gelu":
        return x * (0.5 * (1.0 + jax.lax.erf(x * SQRT_HALF)))
    if name == "gelu_tanh":
        return jax.nn.gelu(x, approximate=True)
    if name == "relu":
        return jax.nn.relu(x)
    raise ValueError(f"hidden_act = {name!r}, expected 'gelu', 'gelu_tanh' or 'relu'")
