"""BERT with one output layer for a task (Devlin et al. 2019, section 4 and figure 4)."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from bert_jax.config import BertConfig
from bert_jax.models.bert import Bert
from bert_jax.models.heads import MaskedLanguageHead
from bert_jax.nn.compute import PLAIN, Compute
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.layout import RowLayout
from bert_jax.nn.linear import Linear, truncated_normal


class BertForMaskedLM(nnx.Module):
    """BERT that scores the vocabulary at every token."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        self.bert = Bert(config, rngs, pooling=False)
        self.mlm = MaskedLanguageHead(config, rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        key: PRNGKeyArray | None = None,
        compute: Compute = PLAIN,
    ) -> Float[Array, "B T V"]:
        """Scores every word of the vocabulary at every token, in float32."""
        hidden = self.bert(tokens, layout, key=key, compute=compute)
        return self.mlm(hidden, self.bert.embeddings.word[...])


class BertForSequenceClassification(nnx.Module):
    """Pooled [CLS] → dropout → dense: one vector of scores for each sequence.

    Args:
        config: the encoder's shape.
        num_labels: scores C; 1 for regression.
        rngs: of the new weights.
    """

    def __init__(self, config: BertConfig, num_labels: int, rngs: nnx.Rngs):
        self.bert = Bert(config, rngs)
        width, init = config.hidden_size, truncated_normal(config.initializer_range)
        self.classifier = Linear((width,), (num_labels,), init, rngs)
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        key: PRNGKeyArray | None = None,
        compute: Compute = PLAIN,
    ) -> Float[Array, "B J C"]:
        """Scores each sequence of each row, in float32."""
        bert_key, head_key = split_key(key, 2)
        first = self.bert(tokens, layout, at=layout.starts, key=bert_key, compute=compute)
        pooled = dropout(self.bert.pool(first), head_key, self.dropout_rate)
        return self.classifier(pooled).astype(jnp.float32)


class BertForTokenClassification(nnx.Module):
    """Dropout → dense on every token.

    Args:
        config: the encoder's shape.
        num_labels: scores C of each token.
        rngs: of the new weights.
    """

    def __init__(self, config: BertConfig, num_labels: int, rngs: nnx.Rngs):
        self.bert = Bert(config, rngs, pooling=False)
        width, init = config.hidden_size, truncated_normal(config.initializer_range)
        self.classifier = Linear((width,), (num_labels,), init, rngs)
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        key: PRNGKeyArray | None = None,
        compute: Compute = PLAIN,
    ) -> Float[Array, "B T C"]:
        """Scores each token, in float32."""
        bert_key, head_key = split_key(key, 2)
        hidden = self.bert(tokens, layout, key=bert_key, compute=compute)
        hidden = dropout(hidden, head_key, self.dropout_rate)
        return self.classifier(hidden).astype(jnp.float32)


class BertForQuestionAnswering(nnx.Module):
    """Dense on every token: scores of the answer's start and end (section 4.2); no dropout."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        self.bert = Bert(config, rngs, pooling=False)
        init = truncated_normal(config.initializer_range)
        self.qa_outputs = Linear((config.hidden_size,), (2,), init, rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        key: PRNGKeyArray | None = None,
        compute: Compute = PLAIN,
    ) -> Float[Array, "B T 2"]:
        """Scores each token as start and as end, in float32."""
        hidden = self.bert(tokens, layout, key=key, compute=compute)
        return self.qa_outputs(hidden).astype(jnp.float32)
