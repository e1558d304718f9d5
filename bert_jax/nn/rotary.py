"""Rotary position embeddings (Su et al. 2021)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def rotary_angles(
    positions: Int[Array, "B T"], width: int, theta: float
) -> Float[Array, "B T half"]:
    """Return the angle of each pair of dimensions: position · θ^(-2i / K), i = 0 … K/2 - 1.

    Equation 15 of Su et al. 2021, with 10,000 in place of θ.

    Args:
        positions: position of each token within its sequence.
        width: width K of a head, an even number.
        theta: base of the wavelengths, θ.
    """
    frequencies = theta ** -(jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    return positions[..., None].astype(jnp.float32) * frequencies[None, None]


def rotate(
    x: Float[Array, "B T N H K"], angles: Float[Array, "B T half"]
) -> Float[Array, "B T N H K"]:
    """Rotate dimensions i and i + K/2 of each vector by their angle, in float32.

    The dot product of two rotated vectors depends on the distance of their positions alone.

    Args:
        x: vectors of width K, such as queries and keys.
        angles: from `rotary_angles`; those of a token are shared by its vectors.
    """
    cos, sin = (f(angles)[:, :, None, None] for f in (jnp.cos, jnp.sin))
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
