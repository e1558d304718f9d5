"""Attention of LSTM decoders: the Luong score, the Bahdanau score, and the context vector.

The symbols are s for the decoder's state, h for the encoder's states, α for the alignment weights
and a for the context vector.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from bert_jax.nn.initializers import Initializer
from bert_jax.nn.transformer import LARGE_NEGATIVE


def luong_score(s: Float[Array, "B H"], keys: Float[Array, "B S H"]) -> Float[Array, "B S"]:
    """Return sᵀ h with keys h, or sᵀ W h with keys W h (Luong et al. 2015, equation 8).

    The paper calls the first one "dot", the second one "general".
    """
    return jnp.einsum("BH,BSH->BS", s, keys)


def bahdanau_score(
    s: Float[Array, "B H"],
    keys: Float[Array, "B S H"],
    w: Float[Array, "H H"],
    v: Float[Array, "H 1"],
) -> Float[Array, "B S"]:
    """Return vᵀ tanh(W s + U h) with keys U h (Bahdanau et al. 2015, appendix A.1.2)."""
    query = (s @ w)[:, None]
    return (jnp.tanh(jnp.broadcast_to(query, keys.shape) + keys) @ v)[..., 0]


def attend(
    scores: Float[Array, "B S"], h: Float[Array, "B S M"], mask: Bool[Array, "B S"]
) -> tuple[Float[Array, "B M"], Float[Array, "B S"]]:
    """Return the context vector a = Σ α h, and the alignment weights α = softmax(scores).

    The weights are 0 where `mask` is false (Luong et al. 2015, equation 7).
    """
    alignment = jax.nn.softmax(jnp.where(mask, scores, LARGE_NEGATIVE), axis=-1)
    return jnp.einsum("BS,BSM->BM", alignment, h), alignment


class Attention(nnx.Module):
    """Attention from a decoder state s to the encoder's states h.

    Args:
        score: "dot": sᵀ h; "general": sᵀ W h (Luong et al. 2015, equation 8); "scaled": the same
            over √H, since large scores saturate the softmax (Vaswani et al. 2017, section 3.2.1);
            "additive": vᵀ tanh(W s + U h) (Bahdanau et al. 2015, appendix A.1.2).
        query_width: width of s.
        memory_width: width of h.
        init: initial values of the kernels.
        rngs: RNG streams of the initial values.
    """

    def __init__(
        self, score: str, query_width: int, memory_width: int, init: Initializer, rngs: nnx.Rngs
    ):
        self.score = score
        if score in ("general", "scaled"):
            self.w = nnx.Param(init(rngs.params(), (memory_width, query_width)))
        if score == "additive":
            self.w = nnx.Param(init(rngs.params(), (query_width, query_width)))
            self.u = nnx.Param(init(rngs.params(), (memory_width, query_width)))
            self.v = nnx.Param(init(rngs.params(), (query_width, 1)))

    def project_keys(self, h: Float[Array, "B S M"]) -> Float[Array, "B S H"]:
        """Return h, W h, W h / √H or U h: the part of the score that is the same at every step."""
        if self.score == "dot":
            return h
        if self.score == "additive":
            return h @ self.u[...]
        keys = h @ self.w[...]
        return keys / math.sqrt(keys.shape[-1]) if self.score == "scaled" else keys

    def __call__(
        self,
        s: Float[Array, "B H"],
        keys: Float[Array, "B S H"],
        h: Float[Array, "B S M"],
        mask: Bool[Array, "B S"],
    ) -> tuple[Float[Array, "B M"], Float[Array, "B S"]]:
        """Return the context vector a and the alignment weights α, which are 0 on padding.

        Args:
            s: the decoder's state.
            keys: of `project_keys`.
            h: the encoder's states.
            mask: true on tokens, false on padding.
        """
        if self.score == "additive":
            scores = bahdanau_score(s, keys, self.w[...], self.v[...])
        else:
            scores = luong_score(s, keys)
        return attend(scores, h, mask)
