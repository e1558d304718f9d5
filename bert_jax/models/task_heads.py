"""BERT with an output layer for a task (Devlin et al. 2019, section 4 and figure 4)."""

from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bert_jax.config import BertConfig
from bert_jax.models.bert import Bert, BertForPreTraining, PoolerUse
from bert_jax.models.heads import ClassificationHead, MaskedLanguageHead
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.layout import RowLayout
from bert_jax.nn.linear import Linear


class BertForMaskedLM(nnx.Module):
    """BERT with its masked-language-modelling head on every token.

    Args:
        config: the encoder's configuration.
        rngs: RNG streams of the initial values.
        pooling: True keeps a pooler, which this head does not use.
    """

    encoder: ClassVar[type[Bert]] = Bert
    pooler_use: ClassVar[PoolerUse] = "optional"

    def __init__(self, config: BertConfig, rngs: nnx.Rngs, pooling: bool = False):
        self.bert = self.encoder(config, rngs, pooling)
        self.mlm = MaskedLanguageHead(config, rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        positions: Int[Array, "B P"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B P V"]:
        """Return logits over the vocabulary in float32, at these positions or at all T."""
        hidden = self.bert(
            tokens, layout, mask=mask, positions=positions, key=key, execution=execution
        )
        return self.mlm(hidden, self.bert.embeddings.word[...])


class SequenceClassifier(nnx.Module):
    """The encoder, and one vector of logits per sequence from its [CLS], by `classify`."""

    encoder: ClassVar[type[Bert]] = Bert
    bert: Bert

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B J C"]:
        """Return the logits of each sequence of each row, in float32."""
        bert_key, head_key = split_key(key, 2)
        cls = self.bert(
            tokens, layout, mask=mask, positions=layout.starts, key=bert_key, execution=execution
        )
        return self.classify(cls, head_key).astype(jnp.float32)

    def classify(
        self, cls: Float[Array, "B J D"], key: PRNGKeyArray | None
    ) -> Float[Array, "B J C"]:
        """Return the logits of the vectors of [CLS]."""
        raise NotImplementedError


class BertForSequenceClassification(SequenceClassifier):
    """Pooled [CLS] → dropout → linear: one vector of logits per sequence.

    Args:
        config: the encoder's configuration.
        num_labels: number of logits C; 1 for regression.
        rngs: RNG streams of the initial values.
    """

    pooler_use: ClassVar[PoolerUse] = "needed"

    def __init__(self, config: BertConfig, num_labels: int, rngs: nnx.Rngs):
        self.bert = self.encoder(config, rngs)
        width, init = config.hidden_size, truncated_normal(config.initializer_range)
        self.classifier = Linear((width,), (num_labels,), init, rngs)
        self.dropout_rate = config.head_dropout_prob

    def classify(
        self, cls: Float[Array, "B J D"], key: PRNGKeyArray | None
    ) -> Float[Array, "B J C"]:
        """Return the logits of the vectors of [CLS]."""
        return self.classifier(dropout(self.bert.pool(cls), key, self.dropout_rate))


class DenseSequenceClassifier(SequenceClassifier):
    """[CLS] → `ClassificationHead`, in families whose head has a dense layer instead of a pooler.

    Args:
        config: the encoder's configuration.
        num_labels: number of logits C; 1 for regression.
        rngs: RNG streams of the initial values.
    """

    activation: ClassVar[str]

    def __init__(self, config: BertConfig, num_labels: int, rngs: nnx.Rngs):
        self.bert = self.encoder(config, rngs, pooling=False)
        self.classifier = ClassificationHead(config, num_labels, self.activation, rngs)

    def classify(
        self, cls: Float[Array, "B J D"], key: PRNGKeyArray | None
    ) -> Float[Array, "B J C"]:
        """Return the logits of the vectors of [CLS]."""
        return self.classifier(cls, key)


class BertForTokenClassification(nnx.Module):
    """Dropout → linear on every token.

    Args:
        config: the encoder's configuration.
        num_labels: number of logits C per token.
        rngs: RNG streams of the initial values.
        pooling: True keeps a pooler, which this head does not use.
    """

    encoder: ClassVar[type[Bert]] = Bert
    pooler_use: ClassVar[PoolerUse] = "optional"

    def __init__(self, config: BertConfig, num_labels: int, rngs: nnx.Rngs, pooling: bool = False):
        self.bert = self.encoder(config, rngs, pooling)
        width, init = config.hidden_size, truncated_normal(config.initializer_range)
        self.classifier = Linear((width,), (num_labels,), init, rngs)
        self.dropout_rate = config.head_dropout_prob

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B T C"]:
        """Return the logits of each token, in float32."""
        bert_key, head_key = split_key(key, 2)
        hidden = self.bert(tokens, layout, mask=mask, key=bert_key, execution=execution)
        hidden = dropout(hidden, head_key, self.dropout_rate)
        return self.classifier(hidden).astype(jnp.float32)


class BertForQuestionAnswering(nnx.Module):
    """Linear on every token, no dropout: logits of the answer's start and end (section 4.2).

    Args:
        config: the encoder's configuration.
        rngs: RNG streams of the initial values.
        pooling: True keeps a pooler, which this head does not use.
    """

    encoder: ClassVar[type[Bert]] = Bert
    pooler_use: ClassVar[PoolerUse] = "optional"

    def __init__(self, config: BertConfig, rngs: nnx.Rngs, pooling: bool = False):
        self.bert = self.encoder(config, rngs, pooling)
        init = truncated_normal(config.initializer_range)
        self.qa_outputs = Linear((config.hidden_size,), (2,), init, rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B T 2"]:
        """Return the logits of each token as start and as end, in float32."""
        hidden = self.bert(tokens, layout, mask=mask, key=key, execution=execution)
        return self.qa_outputs(hidden).astype(jnp.float32)


BERT_MODELS = {
    "BertModel": Bert,
    "BertForPreTraining": BertForPreTraining,
    "BertForMaskedLM": BertForMaskedLM,
    "BertForSequenceClassification": BertForSequenceClassification,
    "BertForTokenClassification": BertForTokenClassification,
    "BertForQuestionAnswering": BertForQuestionAnswering,
}
"""BERT's models by their Hugging Face names."""
