"""Pretraining: masked language modelling, and next-sentence prediction, on packed rows.

Batches come from `corpus.loader` (see docs/design.md):

    tokens [B, T] · lengths [B, J, 2] · is_random_next [B, J] · row [B] · epoch [B]

Where the mask rate changes during the run, training batches also have mask_counts [B, J], the
number of predictions in each sequence. Masking, on the device, turns them into the inputs of the
loss:

    tokens [B, T] · positions, labels, weights, kind [B, P]
    lengths [B, J, 2] · is_random_next [B, J]

Rows that were prepared without NSP have no `is_random_next`, and `--nsp False` drops it: then the
loss is that of MLM alone.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bert_jax.config import EncoderConfig, PretrainConfig
from bert_jax.corpus.prepared import PreparedData
from bert_jax.drawing.curves import Panel
from bert_jax.errors import ConfigError
from bert_jax.models.architectures import architecture_of
from bert_jax.nn.execution import Execution
from bert_jax.nn.layout import RowLayout, row_layout
from bert_jax.nn.transformer import LARGE_NEGATIVE
from bert_jax.tasks.losses import (
    MLM_EPSILON,
    accuracy_sums,
    masked_language_model_sums,
    next_sentence_sums,
)
from bert_jax.tasks.masking import MaskingRules, mask_rows
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch, Metrics, Objective, Params

NSP_LABEL, MASK_COUNTS = "is_random_next", "mask_counts"
CONSTANT_SHARE = 0.95  # of the NSP labels
# Input at a predicted position, indexed by `MaskedRow.kind`.
MASK_OUTCOMES = ("mask", "random", "kept")


def pretraining_architecture(config: EncoderConfig, nsp: bool) -> str:
    """Return Hugging Face's name of the model that learns from rows with or without NSP labels."""
    return architecture_of(config, "ForPreTraining" if nsp else "ForMaskedLM")


def data_identity(data: PreparedData, nsp: bool, model: EncoderConfig) -> dict[str, str | None]:
    """Return what a run, its checkpoints and a run that extends it agree on of their data.

    "architecture" is None for runs with NSP: those of earlier versions have none.
    """
    return {
        "tokenizer": data.tokenizer.sha256,
        "data": data.fingerprint,
        "architecture": None if nsp else pretraining_architecture(model, nsp),
    }


def make_pretraining_objectives(
    config: PretrainConfig,
    tokenizer: Tokenizer,
    merge: Callable[[Params], Any],
    mask_key: Array,
    execution: Execution,
) -> tuple[Objective, Objective]:
    """Build the objectives of training and of evaluation, which differ in their masks.

    Args:
        config: the run, with the size of its vocabulary.
        tokenizer: tokenizer of the rows.
        merge: from `init, merge = build(config, …)`, of the `pretraining_architecture`.
        mask_key: PRNG key of the run's masks.
        execution: dtypes and kernels.

    Raises:
        ConfigError: whole words are to be masked, but the tokens do not tell where words start.
    """
    masking = config.masking
    if masking.whole_word and not tokenizer.marks_words:
        raise ConfigError(
            f"masking.whole_word with a tokenizer of {tokenizer.description}",
            "one whose tokens tell where words start, by ##, Ġ or ▁",
            "leave out --masking.whole-word",
        )
    # Rows past the tokens are padding if the run added them; else they may be tokens to come.
    size = tokenizer.vocab_size if config.vocab_multiple > 1 else config.model.vocab_size
    eval_key = mask_key if masking.eval_rate is None else jax.random.key(0)
    training, evaluation = (
        make_pretraining_objective(
            merge,
            key,
            MaskingRules.of(rates, tokenizer, size),
            tokenizer.is_continuation,
            settings,
        )
        for key, rates, settings in (
            (mask_key, masking, execution),
            (eval_key, masking.in_evaluation, execution.in_evaluation),
        )
    )
    return training, evaluation


def make_pretraining_objective(
    merge: Callable[[Params], Any],
    mask_key: Array,
    rules: MaskingRules,
    is_continuation: np.ndarray,
    execution: Execution,
) -> Objective:
    """Build the sum of the mean MLM and NSP losses (Devlin et al. 2019, section 3.1).

    Args:
        merge: from `init, merge = build(config, …)`, of the `pretraining_architecture`.
        mask_key: PRNG key; a row's mask depends only on this key, its epoch and its row number.
        rules: rates and special tokens.
        is_continuation: bool [V], True for "##" pieces, for whole-word masking.
        execution: dtypes and kernels.
    """

    def prepare(batch: Batch) -> Batch:
        layout = row_layout(batch["lengths"], batch["tokens"].shape[1])
        epoch_and_row = (batch["epoch"], batch["row"])
        continues = jnp.asarray(is_continuation)
        masked = mask_rows(
            mask_key, batch["tokens"], layout, epoch_and_row, rules, continues,
            batch.get(MASK_COUNTS),
        )  # fmt: skip
        pairs = {name: batch[name] for name in ("lengths", NSP_LABEL) if name in batch}
        return masked._asdict() | pairs

    def counts(batch: Batch) -> dict[str, Array]:
        num_pairs = (batch["lengths"][..., 0] > 0).sum().astype(jnp.float32)
        nsp = {"nsp": num_pairs} if NSP_LABEL in batch else {}
        return {"mlm": batch["weights"].sum(), **nsp}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        layout = row_layout(batch["lengths"], batch["tokens"].shape[1])
        mlm_logits, nsp_logits = compute_logits(merge(params), batch, layout, key, execution)
        mlm_logits = hide_padding(mlm_logits, rules.vocab_size)
        labels, weights = batch["labels"], batch["weights"]
        mlm_loss, num_masked = masked_language_model_sums(mlm_logits, labels, weights)
        total = mlm_loss / (counts["mlm"] + MLM_EPSILON)
        row_lengths = layout.lengths.sum(axis=-1).astype(jnp.float32)
        metrics = {
            "mlm_loss": (mlm_loss, num_masked),
            "mlm_accuracy": accuracy_sums(mlm_logits, labels, weights),
            "tokens_per_row": (
                row_lengths.sum().astype(jnp.float32),
                (row_lengths > 0).sum() * 1.0,
            ),
        }
        for number, outcome in enumerate(MASK_OUTCOMES):
            outcome_weights = weights * (batch["kind"] == number)
            metrics[f"mlm_accuracy_{outcome}"] = accuracy_sums(mlm_logits, labels, outcome_weights)
        if nsp_logits is not None:
            is_random, is_pair = batch[NSP_LABEL], (layout.lengths > 0).astype(jnp.float32)
            nsp_loss, num_pairs = next_sentence_sums(nsp_logits, is_random, layout.lengths)
            total += nsp_loss / jnp.maximum(counts["nsp"], 1)
            metrics["nsp_loss"] = nsp_loss, num_pairs
            metrics["nsp_accuracy"] = accuracy_sums(nsp_logits, is_random, is_pair)
        return total, metrics

    return Objective(prepare, counts, loss)


def compute_logits(
    model: Any, batch: Batch, layout: RowLayout, key: Array | None, execution: Execution
) -> tuple[Array, Array | None]:
    """Return the logits of masked tokens and, if the batch has NSP labels, of next sentences."""
    tokens, positions = batch["tokens"], batch["positions"]
    if NSP_LABEL in batch:
        return model(tokens, layout, positions, key=key, execution=execution)
    return model(tokens, layout, positions=positions, key=key, execution=execution), None


def hide_padding(logits: Float[Array, "B P V"], size: int) -> Float[Array, "B P V"]:
    """Return logits of which those past the first `size` have no probability and no gradient."""
    if logits.shape[-1] == size:
        return logits
    return jnp.where(jnp.arange(logits.shape[-1])[None, None] < size, logits, LARGE_NEGATIVE)


def mean_metrics(sums: dict[str, tuple[Any, Any]]) -> dict[str, float]:
    """Return the means of summed metrics; "loss" is the sum of the MLM and NSP losses.

    "mlm_perplexity" is exp(MLM loss).
    """
    means = {name: float(total / count) for name, (total, count) in sums.items() if count}
    loss = means["mlm_loss"] + means.get("nsp_loss", 0.0)
    perplexity = math.exp(min(means["mlm_loss"], 700.0))  # of the largest float, 709
    return {"loss": loss, **means, "mlm_perplexity": perplexity}


@dataclasses.dataclass(frozen=True)
class Baselines:
    """Trivial baselines, to compare losses and accuracies with."""

    unigram_loss: float
    """Loss on held-out text, in nats, of a unigram model of the training text."""
    nsp_majority: Mapping[int, float]
    """Share of the more frequent NSP label, by row length: short rows have fewer B
    segments that actually follow A. Empty without NSP."""

    @classmethod
    def of(cls, data: PreparedData, nsp_lengths: Iterable[int]) -> "Baselines":
        """Take them from prepared data, those of NSP for rows of these lengths."""
        return cls(data.unigram_loss, {t: data.nsp_majority(t) for t in nsp_lengths})

    @property
    def panels(self) -> tuple[Panel, ...]:
        """The MLM loss and, with NSP, its loss, each with its baseline, for `plot_loss`.

        The baseline of the NSP loss is the entropy of the labels in the longest rows.
        """
        mlm = Panel("mlm_loss", "MLM loss", {"unigram model": self.unigram_loss})
        if not self.nsp_majority:
            return (mlm,)
        length, p = max(self.nsp_majority.items())
        entropy = -sum(x * math.log(x) for x in (p, 1 - p) if x > 0)
        return mlm, Panel("nsp_loss", "NSP loss", {f"label frequencies (T={length})": entropy})

    def __str__(self) -> str:
        mlm = f"baselines: MLM loss {self.unigram_loss:.3f} (unigram model)"
        shares = ", ".join(f"{share:.3f} (T={t})" for t, share in self.nsp_majority.items())
        return f"{mlm}, NSP accuracy {shares} (majority class)" if shares else f"{mlm}; no NSP"

    def label_warnings(self) -> list[str]:
        """Return a warning for each row length at which nearly all NSP labels are the same."""
        return [
            f"warning: {share:.0%} of the NSP labels at T={length} are the same, so NSP teaches "
            "nothing: see the warnings of prepare.py, or train with --nsp False"
            for length, share in self.nsp_majority.items()
            if share > CONSTANT_SHARE
        ]

    def plateau_warning(
        self, values: dict[str, float], progress: float, warming_up: bool = False
    ) -> str | None:
        """Return a warning if an evaluation is no better than a unigram model.

        Args:
            values: the evaluation's metrics.
            progress: share of the run's steps that are complete, from 0 to 1.
            warming_up: True while the learning rate still rises.
        """
        loss, baseline = values["mlm_loss"], self.unigram_loss
        if progress < 0.1 or not loss >= 0.97 * baseline:
            return None
        if loss <= 1.03 * baseline:
            verdict = (
                f"is still on the unigram plateau ({baseline:.3f}): the model has learned word "
                "frequencies, but no context."
            )
            advice = (
                "Try another learning rate or warm-up, and check prepare.py's report for "
                "duplicated lines."
            )
        else:
            verdict = (
                f"is above that of a unigram model ({baseline:.3f}): the model predicts worse "
                "than word frequencies alone."
            )
            advice = (
                "If the training loss falls slowly, try more steps or a higher learning rate; if "
                "it jumps or rises, a lower one."
            )
        if warming_up:
            advice = "The warm-up is not over: the learning rate is still below its peak."
        return (
            f"warning: after {progress:.0%} of the run the held-out MLM loss {loss:.3f} {verdict} "
            f"{advice}"
        )
