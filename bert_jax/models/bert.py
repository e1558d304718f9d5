"""BERT (Devlin et al. 2019): encoder, pooler, and the pretraining model."""

from typing import ClassVar, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bert_jax.config import BertConfig
from bert_jax.models.heads import MaskedLanguageHead, NextSentenceHead
from bert_jax.nn.dropout import split_key
from bert_jax.nn.embeddings import Embeddings
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.layout import RowLayout, SequenceIds
from bert_jax.nn.linear import Linear
from bert_jax.nn.trace import Trace, visit_layers
from bert_jax.nn.transformer import (
    EncoderLayer,
    apply_layers,
    attention_weights,
    packed_mask,
    stack_layers,
)

PoolerUse = Literal["needed", "optional"]
"""Use of the encoder's pooler: read by the model, or kept if it is asked for. A model without this
has none."""


class Bert(nnx.Module):
    """The encoder over packed rows, and the pooler."""

    pooler_use: ClassVar[PoolerUse] = "optional"
    embeddings_type: ClassVar[type[Embeddings]] = Embeddings

    def __init__(self, config: BertConfig, rngs: nnx.Rngs, pooling: bool = True):
        width = config.hidden_size
        self.embeddings = self.embeddings_type(config, rngs)
        self.layers = stack_layers(
            lambda rngs: EncoderLayer(config, rngs), config.num_hidden_layers, rngs
        )
        if pooling:  # token-level heads do not use the pooler
            init = truncated_normal(config.initializer_range)
            self.pooler = Linear((width,), (width,), init, rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        positions: Int[Array, "B P"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B P D"]:
        """Encode tokens; they attend only to tokens of their own sequence.

        Args:
            tokens: token ids.
            layout: `row_layout(lengths, T)`.
            mask: True where a token, of the third axis, attends to one of the fourth; None follows
                the layout.
            positions: positions to return vectors for, the only ones at which the last layer is
                computed in full; None returns all T.
            key: PRNG key of dropout; None disables it.
            execution: dtypes and kernels.
        """
        embed_key, layers_key = split_key(key, 2)
        x = self.embeddings(tokens, layout, key=embed_key, execution=execution)
        attended = packed_mask(layout.sequence_ids, execution.attention) if mask is None else mask
        return apply_layers(
            self.stack, x, attended, positions=positions, key=layers_key, execution=execution
        )

    @property
    def stack(self) -> EncoderLayer:
        """The layers in the order in which they are applied, stacked."""
        return self.layers

    def trace(self, tokens: Int[Array, "B T"], layout: RowLayout) -> Trace:
        """Return what each layer computes."""
        mask = SequenceIds(layout.sequence_ids, layout.sequence_ids).mask
        x = self.embeddings(tokens, layout, key=None, execution=DEFAULT_EXECUTION)

        def visit(layer: EncoderLayer, x: Array) -> tuple[Array, tuple[Array, Array]]:
            q, k, _ = layer.attention.project(x)
            y = layer(x, mask, key=None, execution=DEFAULT_EXECUTION)
            return y, (y, attention_weights(q, k, mask))

        _, (states, weights) = visit_layers(self.stack, x, visit)
        return Trace(jnp.concatenate([x[None], states]), weights)

    def pool(self, cls: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Return tanh(h W + b) of the vectors of [CLS], the tokens at `layout.starts`."""
        return jnp.tanh(self.pooler(cls))


class BertForPreTraining(nnx.Module):
    """BERT with both pretraining heads (section 3.1)."""

    pooler_use: ClassVar[PoolerUse] = "needed"

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        self.bert = Bert(config, rngs)
        self.mlm = MaskedLanguageHead(config, rngs)
        self.nsp = NextSentenceHead(config, rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        mlm_positions: Int[Array, "B P"],
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> tuple[Float[Array, "B P V"], Float[Array, "B J 2"]]:
        """Return the logits of masked tokens and of next sentences, both float32.

        Only the predicted positions are projected onto the vocabulary, and the last layer is
        computed only for them and each [CLS].

        Args:
            tokens: token ids, after masking.
            layout: `row_layout(lengths, T)`.
            mlm_positions: positions to predict; padding may be any position.
            mask: as the encoder's.
            key: PRNG key of dropout; None disables it.
            execution: dtypes and kernels.
        """
        num_sequences = layout.starts.shape[1]
        positions = jnp.concatenate([layout.starts, mlm_positions], axis=1)
        hidden = self.bert(
            tokens, layout, mask=mask, positions=positions, key=key, execution=execution
        )
        mlm_logits = self.mlm(hidden[:, num_sequences:], self.bert.embeddings.word[...])
        return mlm_logits, self.nsp(self.bert.pool(hidden[:, :num_sequences]))
