"""Configuration of ModernBERT's architecture."""

import dataclasses
import math
from typing import ClassVar, Literal

from bert_jax.config.check import require, require_rate, require_sizes
from bert_jax.config.model import require_activation, require_shape
from bert_jax.config.resume import MayDiffer


@dataclasses.dataclass(frozen=True)
class ModernBertConfig:
    """Architecture of a ModernBERT encoder (Warner et al. 2024).

    Field names are those of the `config.json` of transformers 4.48.
    """

    model_type: Literal["modernbert"] = "modernbert"
    """Family of the model."""
    hidden_size: int = 768
    """Model width D."""
    num_hidden_layers: int = 22
    """Encoder layers L."""
    num_attention_heads: int = 12
    """Attention heads H; each is D / H wide, an even number."""
    intermediate_size: int = 1152
    """Feed-forward width F, of each of the two factors of GeGLU."""
    max_position_embeddings: int = 8192
    """Maximum sequence length; positions are angles, and have no parameters."""
    vocab_size: int | None = None
    """Vocabulary V. None: the tokenizer's size, set when the run starts."""
    hidden_activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    """Activation of one factor of the feed-forward layers."""
    global_attn_every_n_layers: int = 3
    """Layers 0, n, 2n, … attend to the whole sequence, the others to a window."""
    local_attention: int = 128
    """Width of the window: tokens attend to those at a distance of at most half of it."""
    global_rope_theta: float = 160_000.0
    """Base of the wavelengths of rotary positions in layers that attend to the whole sequence."""
    local_rope_theta: float = 10_000.0
    """The same in layers with a window."""
    attention_bias: bool = False
    """Add biases to queries, keys, values and the output of attention."""
    mlp_bias: bool = False
    """Add biases in the feed-forward layers."""
    norm_bias: bool = False
    """Add biases in layer normalization."""
    norm_eps: float = 1e-5
    """Added to the variance in layer normalization."""
    decoder_bias: bool = True
    """Add a bias to the logits of masked tokens."""
    classifier_bias: bool = False
    """Add a bias to the dense layer of every head."""
    classifier_activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    """Activation of the dense layer of every head."""
    classifier_pooling: Literal["cls", "mean"] = "cls"
    """Vector of a sequence that is classified: that of [CLS], or the mean over its tokens."""
    embedding_dropout: float = 0.0
    """Dropout after the embeddings."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities, and after attention; 0 allows fused attention."""
    mlp_dropout: float = 0.0
    """Dropout between the two linear layers of feed-forward."""
    classifier_dropout: MayDiffer[float] = 0.0
    """Dropout before a fine-tuned classifier."""
    initializer_range: float = 0.02
    """Standard deviation of the truncated normal that initializes kernels and embeddings; those
    that end attention and feed-forward have it divided by √(2L)."""

    # What is asked of every family: see `config.families`.
    family: ClassVar[str] = "ModernBert"
    title: ClassVar[str] = "ModernBERT"
    has_segments: ClassVar[bool] = False
    has_nsp: ClassVar[bool] = False
    takes_pairs: ClassVar[bool] = True
    fields_of_training: ClassVar[frozenset[str]] = frozenset(
        {"embedding_dropout", "attention_dropout", "mlp_dropout", "initializer_range"}
    )

    def __post_init__(self):
        require_sizes(self)
        require_shape(self)
        names = ("embedding_dropout", "attention_dropout", "mlp_dropout", "classifier_dropout")
        for name in names:
            require_rate(self, name)
        for name in ("hidden_activation", "classifier_activation"):
            require_activation(self, name)
        pooling, eps = self.classifier_pooling, self.norm_eps
        require(pooling in ("cls", "mean"), "classifier_pooling", pooling, "'cls' or 'mean'")
        require(1e-30 <= eps <= 1, "norm_eps", eps, "a number from 1e-30 to 1")
        for name in ("global_rope_theta", "local_rope_theta"):
            theta = getattr(self, name)
            require(1 <= theta <= 1e12, name, theta, "a number from 1 to 1e12")
        heads = self.num_attention_heads
        expected = f"heads of an even width: {self.hidden_size} / num_attention_heads"
        require(self.hidden_size // heads % 2 == 0, "num_attention_heads", heads, expected)

    @property
    def window(self) -> int:
        """Largest distance of two tokens that attend to each other in a layer with a window."""
        return self.local_attention // 2

    @property
    def attention_dropout_rate(self) -> float:
        """Dropout on attention probabilities."""
        return self.attention_dropout

    @property
    def hidden_dropout_rate(self) -> float:
        """Dropout of hidden layers."""
        return self.mlp_dropout

    def with_dropout(
        self, rate: float | None, attention: float | None = None
    ) -> "ModernBertConfig":
        """Return the encoder with another dropout; None changes nothing.

        Args:
            rate: dropout after the embeddings, in feed-forward layers, and before a classifier.
            attention: dropout on attention probabilities and after attention.
        """
        config = self
        if rate is not None:
            config = dataclasses.replace(
                config, embedding_dropout=rate, mlp_dropout=rate, classifier_dropout=rate
            )
        if attention is not None:
            config = dataclasses.replace(config, attention_dropout=attention)
        return config

    def kernel_stddev(self, ends_block: bool) -> float:
        """Return the standard deviation of the truncated normal that initializes a kernel.

        Args:
            ends_block: True for the kernels that end attention and feed-forward.
        """
        return self.initializer_range / (math.sqrt(2 * self.num_hidden_layers) if ends_block else 1)

    def forward_flops(self, attended: float, predicted: float) -> float:
        """Return the floating-point operations of one forward pass per token.

        2(L - 1 + p)(4D² + 3DF) + 4(1 - p)D² + 4 Σ D min(S, w) + p(2D² + 2DV), summed over layers,
        with the width w of the window in the layers that have one; see `training.flops`.

        Args:
            attended: S, mean number of tokens in a token's sequence.
            predicted: p, share of the tokens that are projected onto the vocabulary.
        """
        width, layers = self.hidden_size, self.num_hidden_layers
        assert self.vocab_size is not None
        in_full = layers - 1 + predicted
        kernels = 4 * width**2 + 3 * width * self.intermediate_size
        linear = 2 * in_full * kernels + 4 * (1 - predicted) * width**2
        seen = [min(attended, 2 * self.window + 1) if self.is_local(i) else attended
                for i in range(layers)]  # fmt: skip
        attention = 4 * width * (sum(seen[:-1]) + predicted * seen[-1])
        head = predicted * (2 * width**2 + 2 * width * self.vocab_size)
        return linear + attention + head

    def is_local(self, layer: int) -> bool:
        """Return True if a layer, counted from 0, attends to a window."""
        return layer % self.global_attn_every_n_layers != 0
