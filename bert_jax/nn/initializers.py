"""Initializers of parameters."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

Initializer = Callable[..., Array]
"""Function `(key, shape) -> array`."""
TRUNCATED_STDDEV = 0.87962566
"""Standard deviation of a normal distribution of variance 1, truncated at 2."""


def uniform(limit: float) -> Initializer:
    """Return an initializer that draws uniformly from -limit to limit."""
    return lambda key, shape: jax.random.uniform(key, shape, minval=-limit, maxval=limit)


def normal(stddev: float) -> Initializer:
    """Return an initializer that draws from a normal distribution."""
    return lambda key, shape: stddev * jax.random.normal(key, shape)


def fan_in_normal(key: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
    """Draw from a normal distribution of variance 1 / shape[0] (LeCun et al. 1998, section 4.6)."""
    return jax.random.normal(key, shape) / math.sqrt(shape[0])


def truncated_normal(stddev: float) -> Initializer:
    """Return BERT's initializer of kernels: a normal distribution, truncated at two `stddev`.

    As in TensorFlow, this is not corrected for the truncation: the actual standard deviation is
    `TRUNCATED_STDDEV` of `stddev`.
    """
    unscaled = jax.nn.initializers.truncated_normal(stddev=1.0, lower=-2.0, upper=2.0)
    return lambda key, shape: stddev * unscaled(key, shape, jnp.float32)
