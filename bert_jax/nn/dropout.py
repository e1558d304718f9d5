"""Dropout whose key comes in with the call, on cheap random bits."""

import jax
import jax.numpy as jnp
from jax.lax import RandomAlgorithm
from jaxtyping import Array, Float, PRNGKeyArray, UInt32


def dropout(
    x: Float[Array, "*shape"], key: PRNGKeyArray | None, rate: float
) -> Float[Array, "*shape"]:
    """Zeroes elements with probability `rate` and scales the others (Srivastava et al. 2014).

    Two elements share one 32-bit random word, so the rate is rounded to a multiple of 1/65536,
    and the scale is the rounded rate's. `key=None`, as in evaluation, or a rate of 0 return `x`.
    """
    threshold = round(rate * 65536)
    if key is None or threshold == 0:
        return x
    width = x.shape[-1]
    words = random_words(key, (*x.shape[:-1], (width + 1) // 2))
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(*x.shape[:-1], -1)
    keep = halves[..., :width] >= jnp.uint16(threshold)
    return jnp.where(keep, x * (65536 / (65536 - threshold)), jnp.zeros((), x.dtype))


def random_words(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "*shape"]:
    """Random bits from XLA's own generator: a third to a quarter of `jax.random.bits`'s time.

    The bits depend on the platform, so they are for dropout only. JAX's Philox keys would be as
    fast, but do not compile on several devices (jaxlib 0.10.2: "Unable to convert MHLO to
    StableHLO" under shard_map).
    """
    seed = jax.random.bits(key, (4,), jnp.uint32)
    on_cpu = jax.default_backend() == "cpu"
    algorithm = RandomAlgorithm.RNG_THREE_FRY if on_cpu else RandomAlgorithm.RNG_DEFAULT
    return jax.lax.rng_bit_generator(seed, shape, jnp.uint32, algorithm=algorithm)[1]


def split_key(key: PRNGKeyArray | None, num: int) -> list[PRNGKeyArray] | list[None]:
    """Splits a key; None, for evaluation, stays None."""
    return [None] * num if key is None else list(jax.random.split(key, num))
