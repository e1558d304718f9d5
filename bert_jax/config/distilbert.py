"""Configuration of DistilBERT's architecture."""

import dataclasses
from typing import ClassVar, Literal

from bert_jax.config.check import require_rate
from bert_jax.config.model import BertConfig
from bert_jax.config.resume import MayDiffer


@dataclasses.dataclass(frozen=True)
class DistilBertConfig(BertConfig):
    """Architecture of a DistilBERT encoder (Sanh et al. 2019): BERT's without segments."""

    model_type: Literal["distilbert"] = "distilbert"  # pyrefly: ignore[bad-override]
    """Family of the model."""
    num_hidden_layers: int = 6
    """Encoder layers L."""
    seq_classif_dropout: MayDiffer[float] = 0.2
    """Dropout before the last layer of a classifier of texts."""
    qa_dropout: MayDiffer[float] = 0.1
    """Dropout before the logits of answers."""

    type_vocab_size: ClassVar[int] = 0  # pyrefly: ignore[bad-override]
    layer_norm_eps: ClassVar[float] = 1e-12  # pyrefly: ignore[bad-override]
    classifier_dropout: ClassVar[None] = None  # pyrefly: ignore[bad-override]
    family: ClassVar[str] = "DistilBert"
    title: ClassVar[str] = "DistilBERT"
    has_segments: ClassVar[bool] = False
    has_nsp: ClassVar[bool] = False
    fields_of_training: ClassVar[frozenset[str]] = BertConfig.fields_of_training | {
        "seq_classif_dropout", "qa_dropout",
    }  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        require_rate(self, "seq_classif_dropout")
        require_rate(self, "qa_dropout")

    @property
    def takes_pairs(self) -> bool:
        """True: without segments, a pair is told by [SEP] alone."""
        return True

    def with_dropout(
        self, rate: float | None, attention: float | None = None
    ) -> "DistilBertConfig":
        """Return the encoder with another dropout, before all heads too; None changes nothing."""
        rates = {"attention_probs_dropout_prob": attention} | dict.fromkeys(
            ("hidden_dropout_prob", "seq_classif_dropout", "qa_dropout"), rate
        )
        given = {name: value for name, value in rates.items() if value is not None}
        return dataclasses.replace(self, **given)
