"""ELECTRA (Clark et al. 2020): BERT with narrower embeddings and without pooler, and its heads.

The published encoders were trained to tell replaced tokens; that head is not among these. The
masked-LM head is the generator's.
"""

from typing import ClassVar

from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from bert_jax.config import ElectraConfig
from bert_jax.models.bert import Bert
from bert_jax.models.task_heads import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
    DenseSequenceClassifier,
)
from bert_jax.nn.embeddings import Embeddings
from bert_jax.nn.execution import Execution
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.layout import RowLayout
from bert_jax.nn.linear import Linear


class ElectraEmbeddings(Embeddings):
    """BERT's, projected onto the model width where theirs is another one."""

    def __init__(self, config: ElectraConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        narrow, wide = config.embedding_size, config.hidden_size
        init = truncated_normal(config.initializer_range)
        self.project = Linear((narrow,), (wide,), init, rngs) if narrow != wide else None

    def __call__(
        self,
        tokens: Array,
        layout: RowLayout,
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B T D"]:
        """Embed tokens [B, T]; the sum and its norm are float32."""
        x = super().__call__(tokens, layout, key=key, execution=execution)
        return x if self.project is None else self.project(x)


class Electra(Bert):
    """BERT's encoder with ELECTRA's embeddings, and without a pooler."""

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
