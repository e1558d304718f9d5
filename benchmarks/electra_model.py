"""ELECTRA (Clark et al. 2020): generator, discriminator, and replaced-token detection."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, Int, PRNGKeyArray

from bert_jax.config import BertConfig, PretrainConfig
from bert_jax.models.bert import Bert
from bert_jax.models.functional import Params
from bert_jax.models.heads import MaskedLanguageHead
from bert_jax.nn.dropout import split_key
from bert_jax.nn.execution import Execution
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.layout import RowLayout, block_diagonal_mask, row_layout
from bert_jax.nn.linear import Linear, activate
from bert_jax.nn.transformer import EncoderLayer, apply_layers, stack_layers
from bert_jax.tasks import pretraining_programs
from bert_jax.tasks.losses import MLM_EPSILON, binary_cross_entropy, masked_language_model_sums
from bert_jax.tasks.pretraining import make_pretraining_objectives
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.step import Batch, Metrics, Objective

NARROWER = 4  # width of the model over that of the generator
DETECTION_WEIGHT = 50.0  # λ


def replaced_objective() -> ExitStack:
    """Replace MLM by replaced-token detection in pretrain.py, while the context lasts."""
    stack = ExitStack()
    for name, value in (
        ("architecture", lambda name: Electra),
        ("make_pretraining_objectives", make_objectives),
    ):
        stack.enter_context(patch.object(pretraining_programs, name, value))
    return stack


class Generator(nnx.Module):
    """A narrow encoder from embeddings to vectors of their width, for BERT's MLM head."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        width, init = config.hidden_size, truncated_normal(config.initializer_range)
        narrow = replace(
            config,
            hidden_size=width // NARROWER,
            num_attention_heads=max(1, config.num_attention_heads // NARROWER),
            intermediate_size=config.intermediate_size // NARROWER,
        )
        self.narrow = Linear((width,), (narrow.hidden_size,), init, rngs)
        self.layers = stack_layers(
            lambda rngs: EncoderLayer(narrow, rngs), config.num_hidden_layers, rngs
        )
        self.wide = Linear((narrow.hidden_size,), (width,), init, rngs)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        layout: RowLayout,
        positions: Int[Array, "B P"],
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B P D"]:
        """Encode embedded tokens; return vectors at the masked positions."""
        mask = block_diagonal_mask(layout.sequence_ids)
        x = apply_layers(
            self.layers, self.narrow(x), mask, positions=positions, key=key, execution=execution
        )
        return self.wide(x)


class Electra(nnx.Module):
    """Generator and discriminator, which share their embeddings (section 3.2).

    Fine-tuning reads `bert`, the discriminator's encoder.
    """

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        width, init = config.hidden_size, truncated_normal(config.initializer_range)
        self.bert = Bert(config, rngs, pooling=False)
        self.generator = Generator(config, rngs)
        self.mlm = MaskedLanguageHead(config, rngs)
        self.dense = Linear((width,), (width,), init, rngs)
        self.classifier = Linear((width,), (1,), init, rngs)
        self.activation = config.hidden_act

    def generate(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        positions: Int[Array, "B P"],
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B P V"]:
        """Return the generator's logits of masked tokens."""
        embed_key, layers_key = split_key(key, 2)
        x = self.bert.embeddings(tokens, layout, key=embed_key, execution=execution)
        x = self.generator(x, layout, positions, key=layers_key, execution=execution)
        return self.mlm(x, self.bert.embeddings.word[...])

    def detect(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B T"]:
        """Return the logit of every token that it was replaced, float32."""
        x = self.bert(tokens, layout, key=key, execution=execution)
        x = activate(self.activation, self.dense(x))
        return self.classifier(x)[..., 0].astype(jnp.float32)


def make_objectives(
    config: PretrainConfig,
    tokenizer: Tokenizer,
    merge: Callable[[Params], Any],
    mask_key: Array,
    execution: Execution,
) -> tuple[Objective, Objective]:
    """Build the objectives of training and evaluation, in place of pretrain.py's own."""

    def counts(batch: Batch) -> dict[str, Array]:
        real = (batch["lengths"].sum(axis=(1, 2))).astype(jnp.float32)
        return {"mlm": batch["weights"].sum(), "tokens": real.sum()}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        model, layout = merge(params), row_layout(batch["lengths"], batch["tokens"].shape[1])
        generator_key, model_key = split_key(key, 2)
        labels, weights, positions = batch["labels"], batch["weights"], batch["positions"]
        logits = model.generate(
            batch["tokens"], layout, positions, key=generator_key, execution=execution
        )
        mlm_loss, num_masked = masked_language_model_sums(logits, labels, weights)
        sample_key = jax.random.key(0) if key is None else jax.random.fold_in(key, 2)
        sampled = jax.random.categorical(sample_key, logits)
        original = fill(batch["tokens"], positions, labels, weights)
        replaced = fill(batch["tokens"], positions, sampled, weights)
        detected = model.detect(replaced, layout, key=model_key, execution=execution)
        real = (layout.sequence_ids > 0).astype(jnp.float32)
        wrong = (replaced != original).astype(jnp.float32)
        errors = (real * binary_cross_entropy(detected, wrong)).sum()
        total = mlm_loss / (counts["mlm"] + MLM_EPSILON)
        total += DETECTION_WEIGHT * errors / jnp.maximum(counts["tokens"], 1.0)
        num_rows = (real.sum(axis=1) > 0).sum() * 1.0
        return total, {
            "mlm_loss": (mlm_loss, num_masked),
            "detection_loss": (errors, real.sum()),
            "replaced": ((real * wrong).sum(), real.sum()),
            "tokens_per_row": (real.sum(), num_rows),
        }

    training, evaluation = make_pretraining_objectives(
        config, tokenizer, merge, mask_key, execution
    )
    return (
        training._replace(counts=counts, loss=loss),
        evaluation._replace(counts=counts, loss=loss),
    )


def fill(
    tokens: Int[Array, "B T"],
    positions: Int[Array, "B P"],
    values: Int[Array, "B P"],
    weights: Float[Array, "B P"],
) -> Int[Array, "B T"]:
    """Put values at the masked positions of rows; padding, at position 0, changes nothing."""
    kept = jnp.take_along_axis(tokens, positions, axis=1)
    rows = jnp.arange(tokens.shape[0])[:, None]
    return tokens.at[rows, positions].set(jnp.where(weights > 0, values, kept))
