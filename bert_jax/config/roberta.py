"""Configurations of RoBERTa's and XLM-R's architecture."""

import dataclasses
from typing import ClassVar, Literal

from bert_jax.config.model import BertConfig


@dataclasses.dataclass(frozen=True)
class RobertaConfig(BertConfig):
    """Architecture of a RoBERTa encoder (Liu et al. 2019): BERT's with other positions and heads.

    All tokens are of the first segment.
    """

    model_type: Literal["roberta"] = "roberta"  # pyrefly: ignore[bad-override]
    """Family of the model."""
    max_position_embeddings: int = 512
    """Maximum sequence length; there are more position embeddings, see `num_positions`."""
    type_vocab_size: int = 1
    """Segment embeddings, of which the first is used."""
    layer_norm_eps: float = 1e-5
    """Added to the variance in layer normalization."""
    first_position: int = 2
    """Number of the first token's position embedding, which follows on the id of padding."""

    family: ClassVar[str] = "Roberta"
    title: ClassVar[str] = "RoBERTa"
    has_segments: ClassVar[bool] = False
    has_nsp: ClassVar[bool] = False

    @property
    def takes_pairs(self) -> bool:
        """True: a pair is told by special tokens alone."""
        return True

    @property
    def num_positions(self) -> int:
        """Position embeddings, those before the first token's included."""
        return self.max_position_embeddings + self.first_position


@dataclasses.dataclass(frozen=True)
class XLMRobertaConfig(RobertaConfig):
    """Architecture of an XLM-R encoder (Conneau et al. 2020), which is RoBERTa's."""

    model_type: Literal["xlm-roberta"] = "xlm-roberta"  # pyrefly: ignore[bad-override]
    """Family of the model."""

    family: ClassVar[str] = "XLMRoberta"
    title: ClassVar[str] = "XLM-R"
