"""BERT (Devlin et al. 2019): encoder, pooler, and the pretraining model."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from bert_jax.config import BertConfig
from bert_jax.models.heads import MaskedLanguageHead, NextSentenceHead
from bert_jax.nn.compute import PLAIN, Compute
from bert_jax.nn.dropout import split_key
from bert_jax.nn.embeddings import Embeddings
from bert_jax.nn.layout import RowLayout, block_diagonal_mask
from bert_jax.nn.linear import Linear, truncated_normal
from bert_jax.nn.stack import apply_layers, stack_layers
from bert_jax.nn.transformer import EncoderLayer


class Bert(nnx.Module):
    """The encoder over packed rows, and the pooler."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs, pooling: bool = True):
        width = config.hidden_size
        self.embeddings = Embeddings(config, rngs)
        self.layers = stack_layers(
            lambda rngs: EncoderLayer(config, rngs), config.num_hidden_layers, rngs
        )
        if pooling:  # heads on single tokens have no use for it
            init = truncated_normal(config.initializer_range)
            self.pooler = Linear((width,), (width,), init, rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        at: Int[Array, "B P"] | None = None,
        key: PRNGKeyArray | None = None,
        compute: Compute = PLAIN,
    ) -> Float[Array, "B P D"]:
        """Encodes tokens; sequences of one row do not see each other.

        Args:
            tokens: token ids.
            layout: `row_layout(lengths, T)`.
            at: positions whose vectors are wanted, the only ones for which the last layer is
                computed in full; None is all T.
            key: randomness of dropout; None switches it off.
            compute: types and kernels.
        """
        embed_key, layers_key = split_key(key, 2)
        x = self.embeddings(tokens, layout, key=embed_key, compute=compute)
        mask = block_diagonal_mask(layout.sequence_ids)
        return apply_layers(self.layers, x, mask, at=at, key=layers_key, compute=compute)

    def pool(self, first: Float[Array, "B J D"]) -> Float[Array, "B J D"]:
        """tanh(h W + b) of the vectors of [CLS], which stand at `layout.starts`."""
        return jnp.tanh(self.pooler(first))


class BertForPreTraining(nnx.Module):
    """BERT with both pretraining heads (section 3.1)."""

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
        key: PRNGKeyArray | None = None,
        compute: Compute = PLAIN,
    ) -> tuple[Float[Array, "B P V"], Float[Array, "B J 2"]]:
        """Scores masked words and next sentences, both float32.

        Only the predicted positions are projected onto the vocabulary, and the last layer is
        computed for them and each [CLS] alone.

        Args:
            tokens: token ids, with masks in place.
            layout: `row_layout(lengths, T)`.
            mlm_positions: positions to predict; fillers may point anywhere.
            key: randomness of dropout; None switches it off.
            compute: types and kernels.
        """
        num_sequences = layout.starts.shape[1]
        at = jnp.concatenate([layout.starts, mlm_positions], axis=1)
        hidden = self.bert(tokens, layout, at=at, key=key, compute=compute)
        mlm_logits = self.mlm(hidden[:, num_sequences:], self.bert.embeddings.word[...])
        return mlm_logits, self.nsp(self.bert.pool(hidden[:, :num_sequences]))
