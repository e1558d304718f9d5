"""ELECTRA (Clark et al. 2020): BERT with narrower embeddings and without pooler, and its heads.

The published encoders were trained to tell replaced tokens; that head is not among these. The
masked-LM head is the generator's.
"""

from typing import ClassVar

from flax import nnx

from bert_jax.config import ElectraConfig
from bert_jax.models.bert import Bert
from bert_jax.models.task_heads import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
    DenseSequenceClassifier,
)
from bert_jax.nn.embeddings import Embeddings, ProjectedEmbeddings


class ElectraEmbeddings(ProjectedEmbeddings):
    """BERT's, projected onto the model width where theirs is another one."""

    always_projects: ClassVar[bool] = False


class Electra(Bert):
    """BERT's encoder with projected embeddings, unless they are as wide, and without a pooler."""

    embeddings_type: ClassVar[type[Embeddings]] = ElectraEmbeddings

    def __init__(self, config: ElectraConfig, rngs: nnx.Rngs, pooling: bool = False):
        super().__init__(config, rngs, pooling)


class ElectraForMaskedLM(BertForMaskedLM):
    """A generator: BERT's masked-language-modelling head, whose activation is always GELU."""

    encoder = Electra

    def __init__(self, config: ElectraConfig, rngs: nnx.Rngs, pooling: bool = False):
        super().__init__(config, rngs, pooling)
        self.mlm.activation = "gelu"


class ElectraForSequenceClassification(DenseSequenceClassifier):
    """[CLS] → dropout → linear → GELU → dropout → linear: one vector of logits per sequence."""

    encoder = Electra
    activation = "gelu"


class ElectraForTokenClassification(BertForTokenClassification):
    """Dropout → linear on every token."""

    encoder = Electra


class ElectraForQuestionAnswering(BertForQuestionAnswering):
    """Linear on every token: logits of the answer's start and end."""

    encoder = Electra


ELECTRA_MODELS = {
    "ElectraModel": Electra,
    "ElectraForMaskedLM": ElectraForMaskedLM,
    "ElectraForSequenceClassification": ElectraForSequenceClassification,
    "ElectraForTokenClassification": ElectraForTokenClassification,
    "ElectraForQuestionAnswering": ElectraForQuestionAnswering,
}
"""ELECTRA's models by their Hugging Face names."""
