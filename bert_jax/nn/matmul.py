"""Matrix products that are fast in bfloat16 on CPUs too.

In float32 each function here is the plain product. In bfloat16, XLA uses the CPU's matrix hardware
(AMX) only for a product with a float32 result, and in the backward pass only if the left operand
has its rows contiguous in memory; both are arranged here. On every device the gradients of float32
scores are bfloat16 products, where plain differentiation would multiply float32 by bfloat16.

What is special to CPUs is chosen when a program is lowered (`jax.lax.platform_dependent`), so that
a program for a machine that is absent is the one that it would run.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.typing import DTypeLike
from jaxtyping import Array, Float


def matmul(x: Float[Array, "N I"], kernel: Float[Array, "I O"]) -> Float[Array, "N O"]:
    """Return x W, in the dtype of `x`."""
    if x.dtype != jnp.bfloat16:
        return x @ kernel
    return _bfloat16_matmul(x, kernel, jnp.bfloat16)


def matmul_transposed(
    x: Float[Array, "*B N D"], y: Float[Array, "*B M D"]
) -> Float[Array, "*B N M"]:
    """Return x Yᵀ in float32: the dot product of each vector of `x` with each of `y`."""
    if x.dtype != jnp.bfloat16:
        return jnp.einsum("...ND,...MD->...NM", x, y, preferred_element_type=jnp.float32)
    return _bfloat16_matmul(x, y.swapaxes(-1, -2), jnp.float32)


def unembed(x: Float[Array, "B P D"], embedding: Float[Array, "V D"]) -> Float[Array, "B P V"]:
    """Return x Eᵀ in float32: logits over the vocabulary from the word embedding E."""
    return matmul_transposed(x.reshape(-1, x.shape[-1]), embedding).reshape(*x.shape[:-1], -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _bfloat16_matmul(
    x: Float[Array, "*B N I"], kernel: Float[Array, "*B I O"], dtype: DTypeLike
) -> Float[Array, "*B N O"]:
    """Return x W in `dtype` from bfloat16 inputs; the backward pass is bfloat16 throughout."""
    return _contract(x, -1, kernel, -2, dtype)


def _bfloat16_gradients(
    dtype: DTypeLike, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    del dtype
    x, kernel = saved
    dy, x_transposed = dy.astype(x.dtype), x.swapaxes(-1, -2)
    dx = _contract(dy, -1, kernel, -1, x.dtype)
    dw = _contract(x_transposed, -1, dy, -2, x.dtype, row_major=True)
    return dx, dw


_bfloat16_matmul.defvjp(
    lambda x, kernel, dtype: (_bfloat16_matmul(x, kernel, dtype), (x, kernel)), _bfloat16_gradients
)


def _contract(
    a: Array, axis_a: int, b: Array, axis_b: int, dtype: DTypeLike, row_major: bool = False
) -> Array:
    """Sum over one axis of each array, in float32; all but the last two axes are batch axes.

    Args:
        a: the left operand.
        axis_a: its axis to sum over.
        b: the right operand.
        axis_b: its axis to sum over.
        dtype: of the result.
        row_major: on CPUs, lay `a` out with its rows contiguous, as AMX needs it.
    """
    shared = tuple(range(a.ndim - 2))
    axes = (((axis_a % a.ndim,), (axis_b % b.ndim,)), (shared, shared))

    def on_cpu(a: Array, b: Array) -> Array:
        if row_major:
            a = with_layout_constraint(a, Layout(tuple(range(a.ndim))))
        return jax.lax.dot_general(a, b, axes, preferred_element_type=jnp.float32).astype(dtype)

    def elsewhere(a: Array, b: Array) -> Array:
        return jax.lax.dot_general(a, b, axes, preferred_element_type=dtype)

    return jax.lax.platform_dependent(a, b, cpu=on_cpu, default=elsewhere)
