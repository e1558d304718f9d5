"""Configuration of BERT's architecture."""

import dataclasses
from typing import Any, ClassVar, Literal

from bert_jax.config.check import require, require_rate, require_sizes
from bert_jax.config.resume import MayDiffer

ACTIVATIONS = ("gelu", "gelu_tanh", "relu")


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

    # What is asked of every family: see `config.families`.
    model_type: ClassVar[str] = "bert"
    family: ClassVar[str] = "Bert"
    title: ClassVar[str] = "BERT"
    has_segments: ClassVar[bool] = True
    has_nsp: ClassVar[bool] = True
    fields_of_training: ClassVar[frozenset[str]] = frozenset(
        {"hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"}
    )

    def __post_init__(self):
        require_sizes(self)
        require_activation(self, "hidden_act")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            require_rate(self, name)
        if self.classifier_dropout is not None:
            require_rate(self, "classifier_dropout")
        eps = self.layer_norm_eps
        require(1e-30 <= eps <= 1, "layer_norm_eps", eps, "a number from 1e-30 to 1")
        require_shape(self)

    @property
    def embedding_size(self) -> int:
        """Width of the embeddings."""
        return self.hidden_size

    @property
    def takes_pairs(self) -> bool:
        """True if a text may be a pair."""
        return self.type_vocab_size > 1

    @property
    def attention_dropout_rate(self) -> float:
        """Dropout on attention probabilities."""
        return self.attention_probs_dropout_prob

    @property
    def hidden_dropout_rate(self) -> float:
        """Dropout of hidden layers."""
        return self.hidden_dropout_prob

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

    def kernel_stddev(self, ends_block: bool) -> float:
        """Return the standard deviation of the truncated normal that initializes a kernel.

        Args:
            ends_block: True for the kernels that end attention and feed-forward.
        """
        del ends_block
        return self.initializer_range

    def forward_flops(self, attended: float, predicted: float) -> float:
        """Return the floating-point operations of one forward pass per token.

        2(L - 1 + p)(4D² + 2DF) + 4(1 - p)D² + 4(L - 1 + p)DS + p(2DE + 2EV), and 2DE where
        embeddings of another width E than D are projected; see `training.flops`.

        Args:
            attended: S, mean number of tokens in a token's sequence.
            predicted: p, share of the tokens that are projected onto the vocabulary.
        """
        width, forward = self.hidden_size, self.intermediate_size
        layers = self.num_hidden_layers - 1 + predicted
        assert self.vocab_size is not None
        linear = 2 * layers * (4 * width**2 + 2 * width * forward) + 4 * (1 - predicted) * width**2
        attention = 4 * layers * width * attended
        embedded = self.embedding_size
        head = predicted * (2 * width * embedded + 2 * embedded * self.vocab_size)
        projection = 2 * width * embedded if embedded != width else 0
        return linear + attention + head + projection


def require_shape(config: Any) -> None:
    """Check the fields that configurations of all families have.

    Raises:
        ConfigError: too many layers, heads that do not divide the width, or an initial range out
            of range.
    """
    layers, std = config.num_hidden_layers, config.initializer_range
    require(layers <= 1024, "num_hidden_layers", layers, "an integer from 1 to 1024")
    require(0 <= std <= 10, "initializer_range", std, "a number from 0 to 10")
    require(
        config.hidden_size % config.num_attention_heads == 0,
        "num_attention_heads",
        config.num_attention_heads,
        f"a divisor of hidden_size {config.hidden_size}",
    )


def require_activation(config: Any, field: str) -> None:
    """Check the name of an activation, as `nn.linear.activate` takes it.

    Raises:
        ConfigError: there is no such activation.
    """
    value = getattr(config, field)
    require(value in ACTIVATIONS, field, value, f"one of {ACTIVATIONS}")
