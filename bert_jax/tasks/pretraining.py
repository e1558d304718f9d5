"""Pretraining: masked language modelling and next-sentence prediction on packed rows.

A batch is what `data.loader` yields (docs/design.md lists it):

    tokens [B, T] · lengths [B, J, 2] · is_random_next [B, J] · row [B] · epoch [B]

Masked on the device, it becomes what the loss takes:

    tokens [B, T] · positions, labels, weights, kind [B, P]
    lengths [B, J, 2] · is_random_next [B, J]
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from bert_jax.nn.compute import Compute
from bert_jax.nn.layout import row_layout
from bert_jax.training.losses import (
    MLM_EPSILON,
    accuracy_sums,
    masked_language_model_sums,
    next_sentence_sums,
)
from bert_jax.training.masking import MaskingRules, mask_rows
from bert_jax.training.step import Batch, Metrics, Objective, Params

KINDS = ("mask", "random", "kept")  # what stands at a predicted position, as numbered by masking


def make_objective(
    bind: Callable[[Params], Any],
    mask_key: Array,
    rules: MaskingRules,
    is_continuation: np.ndarray,
    compute: Compute,
) -> Objective:
    """MLM + NSP (Devlin et al. 2019, section 3.1): the sum of both mean losses.

    Args:
        bind: `build(config)[1]` of `BertForPreTraining`.
        mask_key: masks are a function of it and of each row's epoch and number, of nothing else.
        rules: how tokens are masked.
        is_continuation: bool [V]: "##" pieces, for whole-word masking.
        compute: types and kernels.
    """

    def prepare(batch: Batch) -> Batch:
        layout = row_layout(batch["lengths"], batch["tokens"].shape[1])
        place = (batch["epoch"], batch["row"])
        continues = jnp.asarray(is_continuation)
        masked = mask_rows(mask_key, batch["tokens"], layout, place, rules, continues)
        pairs = {name: batch[name] for name in ("lengths", "is_random_next")}
        return masked._asdict() | pairs

    def counts(batch: Batch) -> dict[str, Array]:
        num_pairs = (batch["lengths"][..., 0] > 0).sum().astype(jnp.float32)
        return {"mlm": batch["weights"].sum(), "nsp": num_pairs}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        layout = row_layout(batch["lengths"], batch["tokens"].shape[1])
        mlm_logits, nsp_logits = bind(params)(
            batch["tokens"], layout, batch["positions"], key=key, compute=compute
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
        for number, kind in enumerate(KINDS):
            of_kind = weights * (batch["kind"] == number)
            metrics[f"mlm_accuracy_{kind}"] = accuracy_sums(mlm_logits, labels, of_kind)
        return total, metrics

    return Objective(prepare, counts, loss)


def finish_metrics(sums: dict[str, tuple[Any, Any]]) -> dict[str, float]:
    """Means from summed metrics; "loss" is MLM's plus NSP's."""
    means = {name: float(total / count) for name, (total, count) in sums.items() if count}
    return {"loss": means["mlm_loss"] + means["nsp_loss"], **means}


@dataclasses.dataclass(frozen=True)
class Baselines:
    """What knows nothing of the text reaches: numbers that make the losses readable."""

    unigram_loss: float
    """Of held-out text, in nats, by the frequencies of words in training text alone."""
    nsp_majority: Mapping[int, float]
    """Share of the more frequent NSP label, by the length of rows: short ones have fewer B's."""

    @property
    def losses(self) -> dict[str, float]:
        """Baselines of the MLM loss by name, for plots."""
        return {"word frequencies alone": self.unigram_loss}

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.3f} (T={t})" for t, share in self.nsp_majority.items())
        return (
            f"baselines: MLM loss {self.unigram_loss:.3f} by word frequencies alone, "
            f"NSP accuracy {shares} by always guessing the majority"
        )

    def advice(self, values: dict[str, float], progress: float) -> str | None:
        """A sentence of warning where an evaluation shows that the run learns nothing.

        Args:
            values: the evaluation's metrics.
            progress: share of the run's steps that are done, from 0 to 1.
        """
        if progress < 0.1 or values["mlm_loss"] < 0.97 * self.unigram_loss:
            return None
        return (
            f"warning: after {progress:.0%} of the run the held-out MLM loss "
            f"{values['mlm_loss']:.3f} still sits on the unigram plateau "
            f"({self.unigram_loss:.3f}): the model knows word frequencies and nothing else. "
            "Try another learning rate or a longer warm-up, and look for duplicated lines in "
            "prepare.py's report."
        )
