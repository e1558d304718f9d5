"""Configuration of ALBERT's architecture."""

import dataclasses
from typing import ClassVar, Literal

from bert_jax.config.check import require
from bert_jax.config.model import BertConfig
from bert_jax.config.resume import MayDiffer


@dataclasses.dataclass(frozen=True)
class AlbertConfig(BertConfig):
    """Architecture of an ALBERT encoder (Lan et al. 2020): few layers, applied again."""

    model_type: Literal["albert"] = "albert"  # pyrefly: ignore[bad-override]
    """Family of the model."""
    embedding_size: int = 128  # pyrefly: ignore[bad-override]
    """Width of the embeddings, which are projected onto hidden_size."""
    num_hidden_groups: int = 1
    """Layers that have weights of their own; neighbors share them."""
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = "gelu_tanh"
    """Activation: "gelu" is the exact erf form, "gelu_tanh" its tanh approximation."""
    hidden_dropout_prob: float = 0.0
    """Dropout after embeddings, attention and feed-forward."""
    attention_probs_dropout_prob: float = 0.0
    """Dropout on attention probabilities; 0 allows fused attention."""
    classifier_dropout: MayDiffer[float | None] = 0.1
    """Dropout before a fine-tuned classifier. None: hidden_dropout_prob."""

    family: ClassVar[str] = "Albert"
    title: ClassVar[str] = "ALBERT"
    has_nsp: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        groups, layers = self.num_hidden_groups, self.num_hidden_layers
        expected = f"at most num_hidden_layers {layers}"
        require(groups <= layers, "num_hidden_groups", groups, expected)
