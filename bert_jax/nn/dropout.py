"""Dropout with cheap random bits, whose key is an argument of the call."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.lax import RandomAlgorithm
from jaxtyping import Array, Float, PRNGKeyArray, UInt32


def dropout(
    x: Float[Array, "*shape"], key: PRNGKeyArray | None, rate: float
) -> Float[Array, "*shape"]:
    """Zero elements with probability `rate` and scale the others (Srivastava et al. 2014).

    Two elements share a 32-bit random word, so the rate is rounded to a multiple of 1/65536, and
    the scale follows the rounded rate. With `key=None`, as in evaluation, or a rate of 0, return
    `x` unchanged.
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
    """Draw random bits with XLA's own generator, 3 to 4 times as fast as `jax.random.bits`.

    The bits depend on the platform, so use them for dropout only. JAX's Philox keys would be as
    fast, but do not compile on several devices (jaxlib 0.10.2: "Unable to convert MHLO to
    StableHLO" under shard_map).
    """

    def draw(algorithm: RandomAlgorithm) -> Callable[[Array], Array]:
        return lambda s: jax.lax.rng_bit_generator(s, shape, jnp.uint32, algorithm=algorithm)[1]

    seed = jax.random.bits(key, (4,), jnp.uint32)
    return jax.lax.platform_dependent(
        seed,
        cpu=draw(RandomAlgorithm.RNG_THREE_FRY),
        default=draw(RandomAlgorithm.RNG_DEFAULT),
    )


def split_key(key: PRNGKeyArray | None, num: int) -> list[PRNGKeyArray] | list[None]:
    """Split a key into `num` keys; None, as in evaluation, into `num` Nones."""
    return [None] * num if key is None else list(jax.random.split(key, num))
