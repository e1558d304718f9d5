"""BERT's input embeddings."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from bert_jax.config import BertConfig
from bert_jax.nn.dropout import dropout
from bert_jax.nn.execution import Execution
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.layout import RowLayout
from bert_jax.nn.linear import LayerNorm, Linear


class Embeddings(nnx.Module):
    """dropout(LN(word + segment + position)) (Devlin et al. 2019, figure 2).

    A configuration with 0 segments leaves their part out.
    """

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        if config.vocab_size is None:
            raise ValueError("vocab_size = None, expected the tokenizer's size: set it first")
        width, init = config.embedding_size, truncated_normal(config.initializer_range)
        self.word = nnx.Param(init(rngs.params(), (config.vocab_size, width)))
        segments = config.type_vocab_size
        self.segment = nnx.Param(init(rngs.params(), (segments, width))) if segments else None
        self.position = nnx.Param(init(rngs.params(), (config.max_position_embeddings, width)))
        self.norm = LayerNorm(width, config.layer_norm_eps)
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self,
        tokens: Array,
        layout: RowLayout,
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B T E"]:
        """Embed tokens [B, T]; the sum and its norm are float32."""
        x = self.word[...][tokens] + self.position[...][layout.positions]
        if self.segment is not None:
            segment = self.segment[...]
            # As a product: a gather from two rows would scatter every token's gradient to those.
            one_hot = jax.nn.one_hot(layout.segment_ids, segment.shape[0])
            x = x + jnp.einsum("BTN,ND->BTD", one_hot, segment, precision="highest")
        return dropout(self.norm(x).astype(execution.dtype), key, self.dropout_rate)


class ProjectedEmbeddings(Embeddings):
    """BERT's embeddings of another width, projected onto the model width."""

    always_projects: ClassVar[bool] = True
    """False: not where the widths are equal."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        narrow, wide = config.embedding_size, config.hidden_size
        init = truncated_normal(config.initializer_range)
        projects = self.always_projects or narrow != wide
        self.project = Linear((narrow,), (wide,), init, rngs) if projects else None

    def __call__(
        self,
        tokens: Array,
        layout: RowLayout,
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B T D"]:
        """Embed tokens [B, T]."""
        x = super().__call__(tokens, layout, key=key, execution=execution)
        return x if self.project is None else self.project(x)
