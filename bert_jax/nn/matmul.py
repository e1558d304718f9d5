"""Matrix products that are fast in bfloat16 on CPUs too.

In float32 each function here is the plain product. In bfloat16, XLA uses the CPU's matrix hardware
(AMX) only for a product with a float32 result, and in the backward pass only if the left operand
has its rows contiguous in memory; both are arranged here. On every device the gradients of float32
scores are bfloat16 products, where plain differentiation would multiply float32 by bfloat16.
"""

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float


def matmul(x: Float[Array, "N I"], kernel: Float[Array, "I O"]) -> Float[Array, "N O"]:
    """Return x W, in the dtype of `x`."""
    if x.dtype != jnp.bfloat16 or jax.default_backend() != "cpu":
        return x @ kernel
    return _bfloat16_matmul(x, kernel).astype(x.dtype)


def matmul_transposed(
    x: Float[Array, "*B N D"], y: Float[Array, "*B M D"]
) -> Float[Array, "*B N M"]:
    """Return x Yᵀ in float32: the dot product of each vector of `x` with each of `y`."""
    if x.dtype != jnp.bfloat16:
        return jnp.einsum("...ND,...MD->...NM", x, y, preferred_element_type=jnp.float32)
    return _bfloat16_matmul(x, y.swapaxes(-1, -2))


def unembed(x: Float[Array, "B P D"], embedding: Float[Array, "V D"]) -> Float[Array, "B P V"]:
    """Return x Eᵀ in float32: logits over the vocabulary from the word embedding E."""
    return matmul_transposed(x.reshape(-1, x.shape[-1]), embedding).reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def _bfloat16_matmul(
    x: Float[Array, "*B N I"], kernel: Float[Array, "*B I O"]
) -> Float[Array, "*B N O"]:
    """Return x W in float32 from bfloat16 inputs; the backward pass is bfloat16 throughout."""
    return _contract(x, -1, kernel, -2)


def _bfloat16_gradients(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    dy, x_transposed = dy.astype(x.dtype), x.swapaxes(-1, -2)
    if jax.default_backend() == "cpu":  # AMX needs row-major operands, as in x W
        x_transposed = with_layout_constraint(x_transposed, Layout(tuple(range(x.ndim))))
    dx, dw = _contract(dy, -1, kernel, -1), _contract(x_transposed, -1, dy, -2)
    return dx.astype(x.dtype), dw.astype(x.dtype)


_bfloat16_matmul.defvjp(
    lambda x, kernel: (_bfloat16_matmul(x, kernel), (x, kernel)), _bfloat16_gradients
)


def _contract(a: Array, axis_a: int, b: Array, axis_b: int) -> Array:
    """Sum over one axis of each array, in float32; all but the last two axes are batch axes."""
    shared = tuple(range(a.ndim - 2))
    axes = (((axis_a % a.ndim,), (axis_b % b.ndim,)), (shared, shared))
    return jax.lax.dot_general(a, b, axes, preferred_element_type=jnp.float32)
