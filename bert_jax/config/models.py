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

    @property
    def norm_first(self) -> bool:
        """BERT normalises after adding, as the first Transformer."""
        return False

    def __post_init__(self):
        require_sizes(self)
        layers = self.num_hidden_layers
        require(layers <= 1024, "num_hidden_layers", layers, "an integer from 1 to 1024")
        acts = typing.get_args(typing.get_type_hints(BertConfig)["hidden_act"])
        require(self.hidden_act in acts, "hidden_act", self.hidden_act, f"one of {acts}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            require_rate(self, name)
        require(
            self.hidden_size % self.num_attention_heads == 0,
            "num_attention_heads",
            self.num_attention_heads,
            f"a divisor of hidden_size {self.hidden_size}",
        )


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """The shape of an encoder-decoder Transformer; the defaults are the paper's base model."""

    kind: Literal["transformer"] = "transformer"
    """Says in files which model this is."""
    hidden_size: int = 512
    """Model width D."""
    num_encoder_layers: int = 6
    """Layers that read the source."""
    num_decoder_layers: int = 6
    """Layers that write the target."""
    num_attention_heads: int = 8
    """Attention heads H; each is D / H wide."""
    intermediate_size: int = 2048
    """Feed-forward width F."""
    vocab_size: int | None = None
    """Vocabulary V, of source and target; None takes the vocabulary's size when the run starts."""
    max_positions: int = 512
    """Longest source and target in tokens: what training saw, as sinusoids have no end."""
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = "relu"
    """Activation of the feed-forward layers."""
    hidden_dropout_prob: float = 0.1
    """Dropout after embeddings, attention and feed-forward."""
    attention_probs_dropout_prob: float = 0.0
    """Dropout on attention probabilities; 0 as in the paper allows fused attention."""
    initializer_range: float | None = None
    """Standard deviation of kernels; None is Xavier's uniform."""
    layer_norm_eps: float = 1e-5
    """Added to the variance in layer normalisation."""
    norm_first: bool = False
    """x + f(LN(x)) and a norm at the end of both stacks, instead of the paper's LN(x + f(x))."""

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
    """Says in files which model this is."""
    embedding_size: int = 256
    """Width of the source's and of the target's embeddings."""
    hidden_size: int = 512
    """Width H of an LSTM, one direction."""
    num_layers: int = 1
    """Layers of the encoder, and of the decoder."""
    bidirectional: bool = False
    """The first encoder layer also reads from the end; its output is 2 H wide."""
    residual: bool = False
    """Add a layer's input to its output, where both are equally wide."""
    reverse_source: bool = False
    """The encoder reads the source from its end (Sutskever et al. 2014)."""
    pass_cells: bool = True
    """The decoder starts from the encoder's memory cells too; else from its outputs alone."""
    attention: Literal["none", "dot", "general", "additive"] = "dot"
    """Score: sᵀh, sᵀ W h (Luong et al. 2015), or vᵀ tanh(W s + U h) (Bahdanau et al. 2015)."""
    attentional_layer: bool = True
    """s̃ = tanh(W_c [a; s] + b_c) before the output layer; else that sees [a; s] itself."""
    input_feeding: bool = False
    """What the output layer saw (s̃, or the context a) also enters the next step's LSTM."""
    peeky: bool = False
    """The encoder's last state enters every LSTM step and every output (without attention)."""
    vocab_size: int | None = None
    """Vocabulary V, of source and target; None takes the vocabulary's size when the run starts."""
    max_positions: int = 512
    """Longest source and target in tokens."""
    dropout: float = 0.0
    """Dropout on the input of every LSTM and of the output layer."""
    init_range: float | None = 0.1
    """Kernels start uniform in ± this; None is N(0, 1 / fan-in), and N(0, 0.01²) for embeddings."""
    forget_bias: float = 1.0
    """What the forget gates' bias starts from."""

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
            "False where there is attention",
        )
        require(
            not (self.input_feeding and self.attention == "none"),
            "input_feeding",
            self.input_feeding,
            "False where there is no attention",
        )


@dataclasses.dataclass(frozen=True)
class GNMTConfig:
    """Google's neural machine translation system (Wu et al. 2016), of any size."""

    kind: Literal["gnmt"] = "gnmt"
    """Says in files which model this is."""
    embedding_size: int = 1024
    """Width of the source's and of the target's embeddings."""
    hidden_size: int = 1024
    """Width H of an LSTM, one direction."""
    num_layers: int = 8
    """Layers of the encoder (the first is bidirectional), and of the decoder."""
    vocab_size: int | None = None
    """Vocabulary V, of source and target; None takes the vocabulary's size when the run starts."""
    max_positions: int = 512
    """Longest source and target in tokens."""
    dropout: float = 0.2
    """Dropout on the input of every LSTM and of the output layer."""
    init_range: float | None = 0.04
    """Kernels start uniform in ± this."""
    forget_bias: float = 1.0
    """What the forget gates' bias starts from."""

    def __post_init__(self):
        require_sizes(self)
        require_rate(self, "dropout")
        require(self.num_layers >= 2, "num_layers", self.num_layers, "at least 2")


TranslationModelConfig = Seq2SeqConfig | GNMTConfig | TransformerConfig


def require_sizes(config: object) -> None:
    """Refuses integers that no model can have."""
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if field.type in (int, int | None) and value is not None:
            require(1 <= value <= 2**24, field.name, value, "an integer from 1 to 16777216")


def require_rate(config: object, name: str) -> None:
    """Refuses a dropout rate outside 0 … 1."""
    value = getattr(config, name)
    require(0 <= value < 1, name, value, "a number from 0 up to, not including, 1")
