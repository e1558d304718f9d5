"""Configuration of BERT's architecture."""

import dataclasses
import typing
from typing import Literal

from bert_jax.config.check import require, require_rate, require_sizes
from bert_jax.config.resume import MayDiffer


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Architecture of a BERT encoder; field names are those of Hugging Face's `config.json`."""

    hidden_size: int = 768
    """Model width D."""
    num_hidden_layers: int = 12
    """Encoder layers L."""
    num_attention_heads: int = 12
    """Attention heads H; each is D / H wide."""
    intermediate_size: int = 3072
    """Feed-forward width F."""
    max_position_embeddings: int = 512
    """Learned position embeddings; the maximum sequence length."""
    type_vocab_size: int = 2
    """Segment embeddings."""
    vocab_size: int | None = None
    """Vocabulary V. None: the tokenizer's size, set when the run starts."""
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    """Activation: "gelu" is the exact erf form, "gelu_tanh" its tanh approximation."""
    hidden_dropout_prob: float = 0.1
    """Dropout after embeddings, attention and feed-forward."""
    attention_probs_dropout_prob: float = 0.1
    """Dropout on attention probabilities; 0 allows fused attention."""
    classifier_dropout: MayDiffer[float | None] = None
    """Dropout before a fine-tuned classifier. None: hidden_dropout_prob."""
    initializer_range: float = 0.02
    """Standard deviation of the truncated normal that initializes kernels and embeddings."""
    layer_norm_eps: float = 1e-12
    """Added to the variance in layer normalization."""

    def __post_init__(self):
        require_sizes(self)
        layers = self.num_hidden_layers
        require(layers <= 1024, "num_hidden_layers", layers, "an integer from 1 to 1024")
        acts = typing.get_args(typing.get_type_hints(BertConfig)["hidden_act"])
        require(self.hidden_act in acts, "hidden_act", self.hidden_act, f"one of {acts}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            require_rate(self, name)
        if self.classifier_dropout is not None:
            require_rate(self, "classifier_dropout")
        std, eps = self.initializer_range, self.layer_norm_eps
        require(0 <= std <= 10, "initializer_range", std, "a number from 0 to 10")
        require(1e-30 <= eps <= 1, "layer_norm_eps", eps, "a number from 1e-30 to 1")
        require(
            self.hidden_size % self.num_attention_heads == 0,
            "num_attention_heads",
            self.num_attention_heads,
            f"a divisor of hidden_size {self.hidden_size}",
        )

    @property
    def head_dropout_prob(self) -> float:
        """Dropout before a fine-tuned classifier."""
        own = self.classifier_dropout
        return self.hidden_dropout_prob if own is None else own

    def with_dropout(self, rate: float | None, attention: float | None = None) -> "BertConfig":
        """Return the encoder with another dropout; None changes nothing.

        Args:
            rate: dropout after embeddings, attention and feed-forward, and before a classifier.
            attention: dropout on attention probabilities, of which 0 allows fused attention.
        """
        config = self
        if rate is not None:
            config = dataclasses.replace(config, hidden_dropout_prob=rate, classifier_dropout=None)
        if attention is not None:
            config = dataclasses.replace(config, attention_probs_dropout_prob=attention)
        return config
