"""Pretraining: masked language modelling and next-sentence prediction on packed rows.

Batches come from `corpus.loader` (see docs/design.md):

    tokens [B, T] · lengths [B, J, 2] · is_random_next [B, J] · row [B] · epoch [B]

Masking, on the device, turns them into the inputs of the loss:

    tokens [B, T] · positions, labels, weights, kind [B, P]
    lengths [B, J, 2] · is_random_next [B, J]
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from bert_jax.nn.execution import Execution
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.losses import (
    MLM_EPSILON,
    accuracy_sums,
    masked_language_model_sums,
    next_sentence_sums,
)
from bert_jax.tasks.masking import MaskingRules, mask_rows
from bert_jax.training.step import Batch, Metrics, Objective, Params

# Input at a predicted position, indexed by `MaskedRow.kind`.
MASK_OUTCOMES = ("mask", "random", "kept")


def make_pretraining_objective(
    merge: Callable[[Params], Any],
    mask_key: Array,
    rules: MaskingRules,
    is_continuation: np.ndarray,
    execution: Execution,
) -> Objective:
    """Build the sum of the mean MLM and NSP losses (Devlin et al. 2019, section 3.1).

    Args:
        merge: from `init, merge = build(config)`, of `BertForPreTraining`.
        mask_key: PRNG key; a row's mask depends only on this key, its epoch and its row number.
        rules: rates and special tokens.
        is_continuation: bool [V], True for "##" pieces, for whole-word masking.
        execution: dtypes and kernels.
    """

    def prepare(batch: Batch) -> Batch:
        layout = row_layout(batch["lengths"], batch["tokens"].shape[1])
        epoch_and_row = (batch["epoch"], batch["row"])
        continues = jnp.asarray(is_continuation)
        masked = mask_rows(mask_key, batch["tokens"], layout, epoch_and_row, rules, continues)
        pairs = {name: batch[name] for name in ("lengths", "is_random_next")}
        return masked._asdict() | pairs

    def counts(batch: Batch) -> dict[str, Array]:
        num_pairs = (batch["lengths"][..., 0] > 0).sum().astype(jnp.float32)
        return {"mlm": batch["weights"].sum(), "nsp": num_pairs}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        layout = row_layout(batch["lengths"], batch["tokens"].shape[1])
        mlm_logits, nsp_logits = merge(params)(
            batch["tokens"], layout, batch["positions"], key=key, execution=execution
        )
        labels, weights = batch["labels"], batch["weights"]
        mlm_loss, num_masked = masked_language_model_sums(mlm_logits, labels, weights)
        nsp_loss, num_pairs = next_sentence_sums(
            nsp_logits, batch["is_random_next"], layout.lengths
        )
        total = mlm_loss / (counts["mlm"] + MLM_EPSILON) + nsp_loss / jnp.maximum(counts["nsp"], 1)

        is_pair = (layout.lengths > 0).astype(jnp.float32)
        row_lengths = layout.lengths.sum(axis=-1).astype(jnp.float32)
        metrics = {
            "mlm_loss": (mlm_loss, num_masked),
            "nsp_loss": (nsp_loss, num_pairs),
            "mlm_accuracy": accuracy_sums(mlm_logits, labels, weights),
            "nsp_accuracy": accuracy_sums(nsp_logits, batch["is_random_next"], is_pair),
            "tokens_per_row": (
                row_lengths.sum().astype(jnp.float32),
                (row_lengths > 0).sum() * 1.0,
            ),
        }
        for number, outcome in enumerate(MASK_OUTCOMES):
            outcome_weights = weights * (batch["kind"] == number)
            metrics[f"mlm_accuracy_{outcome}"] = accuracy_sums(mlm_logits, labels, outcome_weights)
        return total, metrics

    return Objective(prepare, counts, loss)


def mean_metrics(sums: dict[str, tuple[Any, Any]]) -> dict[str, float]:
    """Return the means of summed metrics; "loss" is the sum of the MLM and NSP losses."""
    means = {name: float(total / count) for name, (total, count) in sums.items() if count}
    return {"loss": means["mlm_loss"] + means["nsp_loss"], **means}


@dataclasses.dataclass(frozen=True)
class Baselines:
    """Trivial baselines, to compare losses and accuracies with."""

    unigram_loss: float
    """Loss on held-out text, in nats, of a unigram model of the training text."""
    nsp_majority: Mapping[int, float]
    """Share of the more frequent NSP label, by row length: short rows have fewer B
    segments that actually follow A."""

    @property
    def losses(self) -> dict[str, float]:
        """Baselines of the MLM loss by name, for plots."""
        return {"unigram model": self.unigram_loss}

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.3f} (T={t})" for t, share in self.nsp_majority.items())
        return (
            f"baselines: MLM loss {self.unigram_loss:.3f} (unigram model), "
            f"NSP accuracy {shares} (majority class)"
        )

    def plateau_warning(self, values: dict[str, float], progress: float) -> str | None:
        """Return a warning if an evaluation shows that the model has learned only unigrams.

        Args:
            values: the evaluation's metrics.
            progress: share of the run's steps that are complete, from 0 to 1.
        """
        if progress < 0.1 or values["mlm_loss"] < 0.97 * self.unigram_loss:
            return None
        return (
            f"warning: after {progress:.0%} of the run the held-out MLM loss "
            f"{values['mlm_loss']:.3f} is still on the unigram plateau "
            f"({self.unigram_loss:.3f}): the model has learned word frequencies, but no context. "
            "Try another learning rate or a longer warm-up, and check prepare.py's report for "
            "duplicated lines."
        )
