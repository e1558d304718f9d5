"""Linear layer, layer normalization and activations."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from bert_jax.nn.initializers import Initializer
from bert_jax.nn.matmul import matmul

SQRT_HALF = math.sqrt(0.5)


class Linear(nnx.Module):
    """y = x W + b over one or several axes: kernel [*in_shape, *out_shape], bias [*out_shape].

    Args:
        in_shape: the last axes of x.
        out_shape: the last axes of y.
        init: initial values of the kernel.
        rngs: RNG streams of the initial values.
        bias: False leaves out b.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        init: Initializer,
        rngs: nnx.Rngs,
        bias: bool = True,
    ):
        self.kernel = nnx.Param(init(rngs.params(), (*in_shape, *out_shape)))
        self.bias = nnx.Param(jnp.zeros(out_shape)) if bias else None
        self.num_in = len(in_shape)

    def __call__(self, x: Float[Array, "*batch_in"]) -> Float[Array, "*batch_out"]:
        """Map the last axes, `in_shape`, to `out_shape`."""
        kernel = self.kernel[...]
        # As matrices: with more axes, XLA takes twice as long for the kernel's gradient (on CPU).
        in_shape, out_shape = kernel.shape[: self.num_in], kernel.shape[self.num_in :]
        flat = kernel.astype(x.dtype).reshape(math.prod(in_shape), math.prod(out_shape))
        y = matmul(x.reshape(-1, flat.shape[0]), flat)
        y = y.reshape(*x.shape[: -self.num_in], *out_shape)
        if self.bias is None:
            return y
        bias = self.bias[...]
        return y + jnp.broadcast_to(bias.astype(x.dtype), y.shape)


def layer_norm(
    x: Float[Array, "*batch D"],
    scale: Float[Array, "D"],
    bias: Float[Array, "D"] | None,
    eps: float,
) -> Float[Array, "*batch D"]:
    """Return (x - mean) / √(variance + ε) · scale + bias over the last axis (Ba et al. 2016).

    Statistics are float32; the result has the dtype of `x`. A bias of None is 0.
    """
    x32 = x.astype(jnp.float32)
    mean = x32.mean(axis=-1, keepdims=True)
    centred = x32 - mean
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    normal = centred * jax.lax.rsqrt(variance + eps)
    scaled = normal * jnp.broadcast_to(scale.astype(jnp.float32), x.shape)
    if bias is not None:
        scaled = scaled + jnp.broadcast_to(bias.astype(jnp.float32), x.shape)
    return scaled.astype(x.dtype)


class LayerNorm(nnx.Module):
    """Layer normalization; its parameters stay float32."""

    def __init__(self, width: int, eps: float, bias: bool = True):
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width)) if bias else None
        self.eps = eps

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Normalize the last axis."""
        bias = None if self.bias is None else self.bias[...]
        return layer_norm(x, self.scale[...], bias, self.eps)


def activate(name: str, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Apply an activation by its name in a configuration.

    "gelu" is x Φ(x), with the exact normal distribution function Φ (Hendrycks and Gimpel 2016), as
    in the checkpoints of 2018; "gelu_tanh" is its tanh approximation, as in BERT's code since
    February 2019.
    """
    if name == "gelu":
        return x * (0.5 * (1.0 + jax.lax.erf(x * SQRT_HALF)))
    if name == "gelu_tanh":
        return jax.nn.gelu(x, approximate=True)
    if name == "relu":
        return jax.nn.relu(x)
    if name == "tanh":
        return jnp.tanh(x)
    raise ValueError(f"activation = {name!r}, expected 'gelu', 'gelu_tanh' or 'relu'")
