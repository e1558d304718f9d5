"""Losses as sums and counts, to be summed over devices before they are divided."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

MLM_EPSILON = 1e-5
"""Epsilon of the MLM loss, Σ w·ce / (Σ w + ε), as in `get_masked_lm_output` of BERT's code."""


def cross_entropy(
    logits: Float[Array, "*batch C"], labels: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Return -log softmax(logits)[label], in float32."""
    logits = logits.astype(jnp.float32)
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def binary_cross_entropy(
    logits: Float[Array, "*batch"], labels: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Return -log sigmoid(±logit), + where the label is 1 and - where it is 0, in float32."""
    logits = logits.astype(jnp.float32)
    return jax.nn.softplus(logits) - labels * logits


def masked_language_model_sums(
    logits: Float[Array, "B P V"], labels: Int[Array, "B P"], weights: Float[Array, "B P"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return Σ w·ce and Σ w over the predicted positions (Devlin et al. 2019, section 3.1).

    The loss of a global batch is the first, summed over all devices and microbatches, divided by
    the second, summed likewise, plus `MLM_EPSILON`.
    """
    return (weights * cross_entropy(logits, labels)).sum(), weights.sum()


def next_sentence_sums(
    logits: Float[Array, "B J 2"], labels: Int[Array, "B J"], lengths: Int[Array, "B J"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return Σ ce and the number of pairs; a length of 0 means no pair. The loss is the mean."""
    weights = (lengths > 0).astype(jnp.float32)
    return (weights * cross_entropy(logits, labels)).sum(), weights.sum()


def accuracy_sums(
    logits: Float[Array, "*batch C"], labels: Int[Array, "*batch"], weights: Float[Array, "*batch"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return Σ w·[no logit is above the label's] and Σ w.

    The loss computes the maximum too; an argmax would read all logits once more.
    """
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    correct = (chosen >= logits.max(axis=-1)).astype(jnp.float32)
    return (weights * correct).sum(), weights.sum()
