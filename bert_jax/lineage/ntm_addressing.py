"""Addressing of the Neural Turing Machine's memory (by content and by location), and access to it.

Equations are numbered as in Graves, Wayne and Danihelka 2014 (arXiv:1410.5401). A weighting w is a
distribution over the N rows of the memory M. Here `H` counts heads, and `R` is the number of
shifts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bert_jax.lineage.config import AddressingConfig

# --- Addressing -----------------------------------------------------------------------------------


def content_weighting(
    k: Float[Array, "B H M"], β: Float[Array, "B H"], memory: Float[Array, "B N M"]
) -> Float[Array, "B H N"]:
    """Return the softmax over rows of β times the cosine of key and row (equations 5, 6).

    A row or key of zeros is orthogonal to everything.
    """
    dots = jnp.einsum("bhm,bnm->bhn", k, memory)
    norms = _norm(k)[:, :, None] * _norm(memory)[:, None, :]
    return jax.nn.softmax(β[..., None] * dots / norms, axis=-1)


def _norm(x: Float[Array, "*batch M"]) -> Float[Array, "*batch"]:
    return jnp.sqrt(jnp.square(x).sum(axis=-1) + 1e-16)  # not 0, where the root has no gradient


def interpolate(
    w_c: Float[Array, "B H N"], g: Float[Array, "B H"], w_prev: Float[Array, "B H N"]
) -> Float[Array, "B H N"]:
    """Return g w_c + (1 - g) w_prev (equation 7)."""
    return g[..., None] * w_c + (1 - g[..., None]) * w_prev


def shift(w_g: Float[Array, "B H N"], s: Float[Array, "B H R"]) -> Float[Array, "B H N"]:
    """Return w(i) = Σ_j w_g(j) s(i - j), with indices modulo N (equation 8).

    `s` is a distribution over shifts from -(R-1)/2 to (R-1)/2; a positive one goes to higher rows.
    """
    max_shift = s.shape[-1] // 2
    shifted = [jnp.roll(w_g, offset, axis=-1) for offset in range(-max_shift, max_shift + 1)]
    return jnp.einsum("rbhn,bhr->bhn", jnp.stack(shifted), s)


def sharpen(w: Float[Array, "B H N"], γ: Float[Array, "B H"]) -> Float[Array, "B H N"]:
    """Return w(i)^γ / Σ_j w(j)^γ (equation 9).

    It is computed from logarithms, so that no power overflows and nothing is divided by 0.
    """
    return jax.nn.softmax(γ[..., None] * jnp.log(w + 1e-12), axis=-1)


class AddressingParams(NamedTuple):
    """Parameters of each head's addressing, which the controller emits."""

    k: Float[Array, "B H M"]
    """Key."""
    β: Float[Array, "B H"]
    """Key strength, > 0."""
    g: Float[Array, "B H"]
    """Interpolation gate, in (0, 1)."""
    s: Float[Array, "B H R"]
    """Distribution over shifts."""
    γ: Float[Array, "B H"]
    """Sharpening, ≥ 1."""


def address(
    params: AddressingParams,
    w_prev: Float[Array, "B H N"],
    memory: Float[Array, "B N M"],
    config: AddressingConfig,
) -> Float[Array, "B H N"]:
    """Return the heads' new weightings, by all steps of figure 2 that `config` switches on."""
    w = content_weighting(params.k, params.β, memory) if config.content else w_prev
    if config.interpolation:
        w = interpolate(w, params.g, w_prev)
    if config.shift:
        w = shift(w, params.s)
    return sharpen(w, params.γ) if config.sharpening else w


# --- Reading and writing --------------------------------------------------------------------------


def read(w: Float[Array, "B H N"], memory: Float[Array, "B N M"]) -> Float[Array, "B H M"]:
    """Return r = Σ_i w(i) M(i) of each head (equation 2)."""
    return jnp.einsum("bhn,bnm->bhm", w, memory)


def write(
    memory: Float[Array, "B N M"],
    w: Float[Array, "B H N"],
    e: Float[Array, "B H M"],
    a: Float[Array, "B H M"],
) -> Float[Array, "B N M"]:
    """Return M(i) (1 - w(i) e) + w(i) a (equations 3, 4): all heads erase, then all add."""
    for head in range(w.shape[1]):
        memory = memory * (1 - w[:, head, :, None] * e[:, head, None, :])
    return memory + jnp.einsum("bhn,bhm->bnm", w, a)
