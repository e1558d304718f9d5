"""Dropout whose key comes in with the call, on cheap random bits."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def dropout(
    x: Float[Array, "*shape"], key: PRNGKeyArray | None, rate: float
) -> Float[Array, "*shape"]:
    """Zeroes elements with probability `rate` and scales the others (Srivastava et al. 2014).

    Two elements share one 32-bit random word, so the rate is rounded to a multiple of 1/65536,
    and the scale is the rounded rate's. `key=None`, as in evaluation, or a rate of 0 return `x`.
    On CPU, Philox keys (`jax.random.key(seed, impl="philox4x32")`) cost a quarter of Threefry's.
    """
    threshold = round(rate * 65536)
    if key is None or threshold == 0:
        return x
    width = x.shape[-1]
    words = jax.random.bits(key, (*x.shape[:-1], (width + 1) // 2), jnp.uint32)
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(*x.shape[:-1], -1)
    keep = halves[..., :width] >= jnp.uint16(threshold)
    return jnp.where(keep, x * (65536 / (65536 - threshold)), jnp.zeros((), x.dtype))
