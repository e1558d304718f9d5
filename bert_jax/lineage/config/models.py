"""Configurations of the translation models."""

import dataclasses
from typing import Literal

from bert_jax.config.check import require, require_at_least, require_rate, require_sizes


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """Architecture of an encoder-decoder Transformer; the defaults are the paper's base model."""

    kind: Literal["transformer"] = "transformer"
    """Type of the model, as saved in files."""
    hidden_size: int = 512
    """Model width D."""
    num_encoder_layers: int = 6
    """Encoder layers."""
    num_decoder_layers: int = 6
    """Decoder layers."""
    num_attention_heads: int = 8
    """Attention heads H; each is D / H wide."""
    intermediate_size: int = 2048
    """Feed-forward width F."""
    vocab_size: int | None = None
    """Vocabulary V, shared by source and target; the run sets it to the vocabulary's size."""
    max_positions: int = 512
    """Maximum length of source and target in tokens, in training and use (the sinusoids
    themselves are unbounded)."""
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = "relu"
    """Activation of the feed-forward layers."""
    hidden_dropout_prob: float = 0.1
    """Dropout after embeddings, attention and feed-forward."""
    attention_probs_dropout_prob: float = 0.0
    """Dropout on attention probabilities; 0, as in the paper, allows fused attention."""
    initializer_range: float | None = None
    """Standard deviation of the kernels' initial values. None: Xavier uniform."""
    layer_norm_eps: float = 1e-5
    """Added to the variance in layer normalization."""
    norm_first: bool = False
    """Pre-LN, x + f(LN(x)) with a norm after both stacks, instead of the paper's LN(x + f(x))."""

    def __post_init__(self):
        require_sizes(self)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            require_rate(self, name)
        require(
            self.hidden_size % (2 * self.num_attention_heads) == 0,
            "hidden_size",
            self.hidden_size,
            f"an even multiple of num_attention_heads {self.num_attention_heads}",
        )


@dataclasses.dataclass(frozen=True)
class Seq2SeqConfig:
    """An LSTM encoder and decoder, with one fixed context vector or with attention."""

    kind: Literal["seq2seq"] = "seq2seq"
    """Type of the model, as saved in files."""
    embedding_size: int = 256
    """Width of the source and target embeddings."""
    hidden_size: int = 512
    """Width H of an LSTM, per direction."""
    num_layers: int = 1
    """Layers of the encoder, and of the decoder."""
    bidirectional: bool = False
    """Make the first encoder layer bidirectional; its output is 2 H wide."""
    residual: bool = False
    """Residual connections around layers whose input and output are equally wide."""
    reverse_source: bool = False
    """Reverse the source (Sutskever et al. 2014)."""
    pass_cells: bool = True
    """Initialize the decoder's cell states from the encoder's too, not only its outputs."""
    attention: Literal["none", "dot", "general", "scaled", "additive"] = "dot"
    """Score: sᵀh, sᵀ W h (Luong et al. 2015), sᵀ W h / √H, or vᵀ tanh(W s + U h) (Bahdanau et al.
    2015)."""
    attentional_layer: bool = True
    """Compute s̃ = tanh(W_c [a; s] + b_c) for the output layer, which otherwise takes [a; s]."""
    input_feeding: bool = False
    """Feed the output layer's input (s̃, or the context a) to the next step's LSTM too."""
    peeky: bool = False
    """Feed the encoder's last state to every LSTM step and every output (without attention)."""
    vocab_size: int | None = None
    """Vocabulary V, shared by source and target; the run sets it to the vocabulary's size."""
    max_positions: int = 512
    """Maximum length of source and target in tokens."""
    dropout: float = 0.0
    """Dropout on the input of every LSTM and of the output layer."""
    init_range: float | None = 0.1
    """Kernels are initialized uniformly in ± this. None: N(0, 1 / fan-in), and N(0, 0.01²) for
    embeddings."""
    forget_bias: float = 1.0
    """Initial bias of the forget gates."""
    tie_embeddings: bool = False
    """Share one embedding among source, target and output (Press and Wolf 2017): N(0, 1 / width) at
    first, and times √width where it is read, as in the Transformer."""
    residual_words: bool = False
    """Add the embedding of each source token to the encoder's state (to both directions') there,
    so that attention to a position brings its own word."""

    def __post_init__(self):
        require_sizes(self)
        require_rate(self, "dropout")
        is_wide = self.bidirectional and self.num_layers == 1
        require(
            not (self.attention == "dot" and is_wide),
            "attention",
            self.attention,
            "'general' or 'additive', as one bidirectional layer's states are 2 H wide",
        )
        require(
            not (self.peeky and self.attention != "none"),
            "peeky",
            self.peeky,
            "False with attention",
        )
        require(
            not (self.input_feeding and self.attention == "none"),
            "input_feeding",
            self.input_feeding,
            "False without attention",
        )
        require(
            not (self.tie_embeddings and (self.attention == "none" or not self.attentional_layer)),
            "tie_embeddings",
            self.tie_embeddings,
            "False without an attentional layer, which makes a vector as wide as the embedding",
        )
        require_equal_widths(self)


@dataclasses.dataclass(frozen=True)
class GNMTConfig:
    """Google's neural machine translation system (Wu et al. 2016), of any size."""

    kind: Literal["gnmt"] = "gnmt"
    """Type of the model, as saved in files."""
    embedding_size: int = 1024
    """Width of the source and target embeddings."""
    hidden_size: int = 1024
    """Width H of an LSTM, per direction."""
    num_layers: int = 8
    """Layers of the encoder (the first is bidirectional), and of the decoder."""
    vocab_size: int | None = None
    """Vocabulary V, shared by source and target; the run sets it to the vocabulary's size."""
    max_positions: int = 512
    """Maximum length of source and target in tokens."""
    dropout: float = 0.2
    """Dropout on the input of every LSTM and of the output layer."""
    init_range: float | None = 0.04
    """Kernels are initialized uniformly in ± this. None: N(0, 1 / fan-in), and N(0, 0.01²) for
    embeddings."""
    forget_bias: float = 1.0
    """Initial bias of the forget gates."""
    tie_embeddings: bool = False
    """Share one embedding among source, target and output (Press and Wolf 2017): N(0, 1 / width) at
    first, and times √width where it is read, as in the Transformer."""
    residual_words: bool = False
    """Add the embedding of each source token to the encoder's state (to both directions') there,
    so that attention to a position brings its own word."""

    def __post_init__(self):
        require_sizes(self)
        require_rate(self, "dropout")
        require_at_least(self, 2, "num_layers")
        require(
            not self.tie_embeddings or self.embedding_size == self.hidden_size,
            "tie_embeddings",
            self.tie_embeddings,
            f"False, or an embedding_size of hidden_size {self.hidden_size}",
        )
        require_equal_widths(self)


def require_equal_widths(config: Seq2SeqConfig | GNMTConfig) -> None:
    """Require that embeddings are as wide as the states that `residual_words` adds them to."""
    require(
        not config.residual_words or config.embedding_size == config.hidden_size,
        "residual_words",
        config.residual_words,
        f"False, or an embedding_size of hidden_size {config.hidden_size}",
    )


TranslationModelConfig = Seq2SeqConfig | GNMTConfig | TransformerConfig
