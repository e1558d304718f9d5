"""The shapes of models."""

import dataclasses
import typing
from typing import Literal

from bert_jax.config.check import require


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The shape of a BERT encoder; fields are spelled as in Hugging Face's `config.json`."""

    hidden_size: int = 768
    """Model width D."""
    num_hidden_layers: int = 12
    """Encoder layers L."""
    num_attention_heads: int = 12
    """Attention heads H; each is D / H wide."""
    intermediate_size: int = 3072
    """Feed-forward width F."""
    max_position_embeddings: int = 512
    """Learned positions; the longest sequence."""
    type_vocab_size: int = 2
    """Segment embeddings."""
    vocab_size: int | None = None
    """Vocabulary V; None takes the tokenizer's size when the run starts."""
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    """Activation: "gelu" is the exact erf form, "gelu_tanh" its approximation."""
    hidden_dropout_prob: float = 0.1
    """Dropout after embeddings, attention and feed-forward."""
    attention_probs_dropout_prob: float = 0.1
    """Dropout on attention probabilities; 0 allows fused attention."""
    initializer_range: float = 0.02
    """Standard deviation of the truncated normal that kernels start from."""
    layer_norm_eps: float = 1e-12
    """Added to the variance in layer normalisation."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in (int, int | None) and value is not None:
                require(1 <= value <= 2**24, field.name, value, "an integer from 1 to 16777216")
        layers = self.num_hidden_layers
        require(layers <= 1024, "num_hidden_layers", layers, "an integer from 1 to 1024")
        acts = typing.get_args(typing.get_type_hints(BertConfig)["hidden_act"])
        require(self.hidden_act in acts, "hidden_act", self.hidden_act, f"one of {acts}")
        for field_name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, field_name)
            require(0 <= value < 1, field_name, value, "a number from 0 up to, not including, 1")
        require(
            self.hidden_size % self.num_attention_heads == 0,
            "num_attention_heads",
            self.num_attention_heads,
            f"a divisor of hidden_size {self.hidden_size}",
        )
