"""DistilBERT (Sanh et al. 2019): BERT without segments and pooler, and its heads."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bert_jax.config import DistilBertConfig
from bert_jax.models.bert import Bert
from bert_jax.models.task_heads import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
    DenseSequenceClassifier,
)
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution
from bert_jax.nn.layout import RowLayout


class DistilBert(Bert):
    """BERT's encoder with a configuration that has no segments, and without a pooler."""

    def __init__(self, config: DistilBertConfig, rngs: nnx.Rngs, pooling: bool = False):
        super().__init__(config, rngs, pooling)


class DistilBertForMaskedLM(BertForMaskedLM):
    """DistilBERT with BERT's masked-language-modelling head."""

    encoder = DistilBert


class DistilBertForSequenceClassification(DenseSequenceClassifier):
    """[CLS] → linear → ReLU → dropout → linear: one vector of logits per sequence."""

    encoder = DistilBert
    activation = "relu"

    def __init__(self, config: DistilBertConfig, num_labels: int, rngs: nnx.Rngs):
        super().__init__(config, num_labels, rngs)
        self.classifier.dropout_rates = (0.0, config.seq_classif_dropout)


class DistilBertForTokenClassification(BertForTokenClassification):
    """Dropout → linear on every token."""

    encoder = DistilBert


class DistilBertForQuestionAnswering(BertForQuestionAnswering):
    """Dropout → linear on every token: logits of the answer's start and end."""

    encoder = DistilBert

    def __init__(self, config: DistilBertConfig, rngs: nnx.Rngs, pooling: bool = False):
        super().__init__(config, rngs, pooling)
        self.dropout_rate = config.qa_dropout

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
        bert_key, head_key = split_key(key, 2)
        hidden = self.bert(tokens, layout, mask=mask, key=bert_key, execution=execution)
        return self.qa_outputs(dropout(hidden, head_key, self.dropout_rate)).astype(jnp.float32)


DISTILBERT_MODELS = {
    "DistilBertModel": DistilBert,
    "DistilBertForMaskedLM": DistilBertForMaskedLM,
    "DistilBertForSequenceClassification": DistilBertForSequenceClassification,
    "DistilBertForTokenClassification": DistilBertForTokenClassification,
    "DistilBertForQuestionAnswering": DistilBertForQuestionAnswering,
}
"""DistilBERT's models by their Hugging Face names."""
