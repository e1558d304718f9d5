"""ALBERT (Lan et al. 2020): BERT with narrower embeddings, and layers that share their weights."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax.config import AlbertConfig
from bert_jax.models.bert import Bert
from bert_jax.models.task_heads import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from bert_jax.nn.embeddings import Embeddings, ProjectedEmbeddings
from bert_jax.nn.transformer import EncoderLayer


class Albert(Bert):
    """BERT's encoder with projected embeddings and shared layers, and the pooler.

    `layers` has G of them; layer i of L is number ⌊i G / L⌋.
    """

    embeddings_type: ClassVar[type[Embeddings]] = ProjectedEmbeddings

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs, pooling: bool = True):
        num_layers, num_groups = config.num_hidden_layers, config.num_hidden_groups
        super().__init__(dataclasses.replace(config, num_hidden_layers=num_groups), rngs, pooling)
        # As transformers divides, to the last bit of the quotient.
        self.groups = tuple(int(i / (num_layers / num_groups)) for i in range(num_layers))

    @property
    def stack(self) -> EncoderLayer:
        """All L layers, stacked."""
        graphdef, params = nnx.split(self.layers)
        return nnx.merge(graphdef, jax.tree.map(lambda x: x[jnp.array(self.groups)], params))


class AlbertForMaskedLM(BertForMaskedLM):
    """ALBERT with its masked-language-modelling head on every token."""

    encoder = Albert


class AlbertForSequenceClassification(BertForSequenceClassification):
    """Pooled [CLS] → dropout → linear: one vector of logits per sequence."""

    encoder = Albert


class AlbertForTokenClassification(BertForTokenClassification):
    """Dropout → linear on every token."""

    encoder = Albert


class AlbertForQuestionAnswering(BertForQuestionAnswering):
    """Linear on every token: logits of the answer's start and end."""

    encoder = Albert


ALBERT_MODELS = {
    "AlbertModel": Albert,
    "AlbertForMaskedLM": AlbertForMaskedLM,
    "AlbertForSequenceClassification": AlbertForSequenceClassification,
    "AlbertForTokenClassification": AlbertForTokenClassification,
    "AlbertForQuestionAnswering": AlbertForQuestionAnswering,
}
"""ALBERT's models by their Hugging Face names."""
