"""RoBERTa (Liu et al. 2019) and XLM-R: BERT with other positions, and its heads."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from bert_jax.config import RobertaConfig
from bert_jax.models.bert import Bert
from bert_jax.models.task_heads import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
    DenseSequenceClassifier,
)
from bert_jax.nn.embeddings import Embeddings
from bert_jax.nn.execution import Execution
from bert_jax.nn.layout import RowLayout


class RobertaEmbeddings(Embeddings):
    """BERT's, with positions that begin after padding's, and every token in the first segment."""

    def __init__(self, config: RobertaConfig, rngs: nnx.Rngs):
        super().__init__(
            dataclasses.replace(config, max_position_embeddings=config.num_positions), rngs
        )
        self.first_position = config.first_position

    def __call__(
        self,
        tokens: Array,
        layout: RowLayout,
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B T D"]:
        """Embed tokens [B, T]; the sum and its norm are float32."""
        shifted = layout._replace(
            positions=layout.positions + self.first_position,
            segment_ids=jnp.zeros_like(layout.segment_ids),
        )
        return super().__call__(tokens, shifted, key=key, execution=execution)


class Roberta(Bert):
    """BERT's encoder with RoBERTa's embeddings, and the pooler."""

    embeddings_type: ClassVar[type[Embeddings]] = RobertaEmbeddings


class RobertaForMaskedLM(BertForMaskedLM):
    """RoBERTa with BERT's masked-language-modelling head, whose activation is always GELU."""

    encoder = Roberta

    def __init__(self, config: RobertaConfig, rngs: nnx.Rngs, pooling: bool = False):
        super().__init__(config, rngs, pooling)
        self.mlm.activation = "gelu"


class RobertaForSequenceClassification(DenseSequenceClassifier):
    """[CLS] → dropout → linear → tanh → dropout → linear: one vector of logits per sequence."""

    encoder = Roberta
    activation = "tanh"


class RobertaForTokenClassification(BertForTokenClassification):
    """Dropout → linear on every token."""

    encoder = Roberta


class RobertaForQuestionAnswering(BertForQuestionAnswering):
    """Linear on every token: logits of the answer's start and end."""

    encoder = Roberta


ROBERTA_MODELS = {
    "RobertaModel": Roberta,
    "RobertaForMaskedLM": RobertaForMaskedLM,
    "RobertaForSequenceClassification": RobertaForSequenceClassification,
    "RobertaForTokenClassification": RobertaForTokenClassification,
    "RobertaForQuestionAnswering": RobertaForQuestionAnswering,
}
"""RoBERTa's models by their Hugging Face names."""

XLM_ROBERTA_MODELS = {f"XLM{name}": model for name, model in ROBERTA_MODELS.items()}
"""XLM-R's models by their Hugging Face names; they are RoBERTa's."""
