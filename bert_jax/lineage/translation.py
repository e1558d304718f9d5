"""The translation objective: cross-entropy with label smoothing, and the model that it trains.

A batch is source [B, S] and target [B, T], int32: token ids, END, then PAD.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from bert_jax.lineage.config import TransformerConfig
from bert_jax.lineage.seq2seq import Seq2Seq
from bert_jax.lineage.subwords import PAD, START
from bert_jax.lineage.transformer import Transformer
from bert_jax.models.functional import build
from bert_jax.nn.execution import Execution
from bert_jax.tasks.losses import accuracy_sums, cross_entropy
from bert_jax.training.step import AXIS, Batch, Metrics, Objective, Params


def build_translator(config: Any) -> tuple[Callable, Callable[[Params], Any]]:
    """Return `init` and `merge` of a translation model, chosen by the type of its configuration."""
    return build(config, Transformer if isinstance(config, TransformerConfig) else Seq2Seq)


def decoder_input(target: Int[Array, "B T"]) -> Int[Array, "B T"]:
    """Return START and all tokens but the last: the tokens before each target token."""
    first = jnp.full((target.shape[0], 1), START, target.dtype)
    return jnp.concatenate([first, target[:, :-1]], axis=1)


def smoothed_cross_entropy(
    logits: Float[Array, "B T V"], labels: Int[Array, "B T"], smoothing: float
) -> Float[Array, "B T"]:
    """Return the cross-entropy with label smoothing ε (Szegedy et al. 2016, section 7).

    It is (1 - ε) · (-log p(label)) + ε · mean over the vocabulary of -log p.
    """
    nll = cross_entropy(logits, labels)
    mean_nll = jax.nn.logsumexp(logits, axis=-1) - logits.mean(axis=-1)
    return (1 - smoothing) * nll + smoothing * mean_nll


def make_translation_objective(
    merge: Callable[[Params], Any], smoothing: float, execution: Execution
) -> Objective:
    """Build the objective: the mean loss of the global batch's target tokens, END included.

    The metric "nll" is without label smoothing: exp(nll) is the perplexity.

    Args:
        merge: of `build_translator`.
        smoothing: ε of the label smoothing.
        execution: dtypes and kernels.
    """

    def counts(batch: Batch) -> dict[str, Array]:
        return {"tokens": (batch["target"] != PAD).sum().astype(jnp.float32)}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        source, target = batch["source"], batch["target"]
        logits = merge(params)(
            source, source != PAD, decoder_input(target), key=key, execution=execution
        )
        weights = (target != PAD).astype(jnp.float32)
        num_tokens = weights.sum()
        total = (weights * smoothed_cross_entropy(logits, target, smoothing)).sum()
        nll = (weights * cross_entropy(logits, target)).sum()
        num_source_tokens = (source != PAD).sum().astype(jnp.float32)
        one = jax.lax.axis_size(AXIS) ** -1.0  # summed over devices, a batch counts once
        metrics = {
            "loss": (total, num_tokens),
            "nll": (nll, num_tokens),
            "token_accuracy": accuracy_sums(logits, target, weights),
            "tokens": (num_tokens + num_source_tokens, jnp.full((), one)),
        }
        return total / jnp.maximum(counts["tokens"], 1.0), metrics

    return Objective(lambda batch: batch, counts, loss)
