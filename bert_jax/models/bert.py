"""BERT (Devlin et al. 2019): encoder, pooler, and the pretraining model."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from bert_jax.config import BertConfig
from bert_jax.models.heads import MaskedLanguageHead, NextSentenceHead, gather_positions
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
        key: PRNGKeyArray | None = None,
        compute: Compute = PLAIN,
    ) -> Float[Array, "B T D"]:
        """Encodes every token; sequences of one row do not see each other.

        Args:
            tokens: token ids.
            layout: `row_layout(lengths, T)`.
            key: randomness of dropout; None switches it off.
            compute: types and kernels.
        """
        embed_key, layers_key = split_key(key, 2)
        x = self.embeddings(tokens, layout, key=embed_key, compute=compute)
        mask = block_diagonal_mask(layout.sequence_ids)
        return apply_layers(self.layers, x, mask, key=layers_key, compute=compute)

    def pool(self, hidden: Float[Array, "B T D"], layout: RowLayout) -> Float[Array, "B J D"]:
        """tanh(h W + b) of each sequence's [CLS]; meaningless where there is no sequence."""
        starts = jnp.minimum(layout.starts, hidden.shape[1] - 1)
        return jnp.tanh(self.pooler(gather_positions(hidden, starts)))


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

        Only the predicted positions are projected onto the vocabulary.

        Args:
            tokens: token ids, with masks in place.
            layout: `row_layout(lengths, T)`.
            mlm_positions: positions to predict; fillers may point anywhere.
            key: randomness of dropout; None switches it off.
            compute: types and kernels.
        """
        hidden = self.bert(tokens, layout, key=key, compute=compute)
        chosen = gather_positions(hidden, mlm_positions)
        mlm_logits = self.mlm(chosen, self.bert.embeddings.word[...])
        return mlm_logits, self.nsp(self.bert.pool(hidden, layout))
