"""Configuration of ELECTRA's architecture."""

import dataclasses
from typing import ClassVar, Literal

from bert_jax.config.model import BertConfig


@dataclasses.dataclass(frozen=True)
class ElectraConfig(BertConfig):
    """Architecture of an ELECTRA encoder (Clark et al. 2020): BERT's with narrower embeddings."""

    model_type: Literal["electra"] = "electra"  # pyrefly: ignore[bad-override]
    """Family of the model."""
    embedding_size: int = 128  # pyrefly: ignore[bad-override]
    """Width of the embeddings; another one than hidden_size is projected onto it."""
    hidden_size: int = 256
    """Model width D."""
    num_attention_heads: int = 4
    """Attention heads H; each is D / H wide."""
    intermediate_size: int = 1024
    """Feed-forward width F."""

    family: ClassVar[str] = "Electra"
    title: ClassVar[str] = "ELECTRA"
    has_nsp: ClassVar[bool] = False
