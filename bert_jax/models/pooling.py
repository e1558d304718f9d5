"""Sentence vectors: one vector for each sequence, pooled from the vectors of its tokens."""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bert_jax.config.check import require
from bert_jax.nn.layout import RowLayout, gather_positions

PoolingMode = Literal["mean", "cls", "max"]
MIN_NORM = 1e-12  # a vector of zeros stays one


def require_mode(mode: str) -> None:
    """Raise ConfigError if there is no such mode of pooling."""
    require(mode in get_args(PoolingMode), "pooling", mode, f"one of {get_args(PoolingMode)}")


class SentencePooling(NamedTuple):
    """Pooling of the vectors of a text's tokens to one (Reimers and Gurevych 2019, section 3)."""

    mode: PoolingMode = "mean"
    """Mean or maximum over all tokens, [CLS] and [SEP] included; or the vector of [CLS]."""
    normalize: bool = False
    """Scale each vector to length 1, so that a dot product is a cosine."""
    max_length: int | None = None
    """Maximum length of a text in tokens; None: the model's positions."""


def pool_sequences(
    hidden: Float[Array, "B T D"], layout: RowLayout, pooling: SentencePooling
) -> Float[Array, "B J D"]:
    """Return a vector for each sequence of each row; arbitrary where a row has no sequence j.

    Args:
        hidden: the vectors of all tokens.
        layout: layout of the rows.
        pooling: mode, and whether to normalize.
    """
    num_sequences = layout.lengths.shape[1]
    if pooling.mode == "cls":
        vectors = gather_positions(hidden, layout.starts)
    else:
        reduce = jax.ops.segment_sum if pooling.mode == "mean" else jax.ops.segment_max

        def pool_row(
            hidden: Float[Array, "T D"], sequence_ids: Int[Array, " T"]
        ) -> Float[Array, "J D"]:
            return reduce(hidden, sequence_ids, num_segments=num_sequences + 1)[1:]  # 0: padding

        vectors = jax.vmap(pool_row)(hidden, layout.sequence_ids)
        if pooling.mode == "mean":
            vectors = vectors / jnp.maximum(layout.lengths, 1)[..., None].astype(hidden.dtype)
    if pooling.normalize:
        norms = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
        vectors = vectors / jnp.maximum(norms, MIN_NORM)
    return vectors
