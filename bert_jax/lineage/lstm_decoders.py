"""LSTM decoders, one step each: with a fixed vector, with attention, and GNMT's.

The symbols are s for the decoder's states, h for the encoder's, a for the context vector that
attention returns, and s̃ for the attentional vector, the input of the output layer.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from bert_jax.lineage.attention import Attention
from bert_jax.lineage.config import GNMTConfig, Seq2SeqConfig
from bert_jax.lineage.lstm import LSTMCell, LSTMState
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.initializers import Initializer, fan_in_normal, normal, uniform
from bert_jax.nn.linear import Linear

ModelConfig = Seq2SeqConfig | GNMTConfig


class Memory(NamedTuple):
    """Encoder output that every decoding step reads."""

    h: Float[Array, "B S M"]
    """States of the last layer, 0 on padding."""
    keys: Float[Array, "B S H"]
    """Keys of the attention; of width 0 without attention."""
    mask: Bool[Array, "B S"]
    """True on tokens."""
    last: list[LSTMState]
    """Last state of each layer; of a bidirectional layer, the backward one's."""


class DecoderState(NamedTuple):
    """State that a decoder carries from step to step."""

    layers: list[LSTMState]
    feed: Float[Array, "B F"]
    """Further input of the next step: the attentional or context vector, or nothing (width 0)."""


class Decoder(nnx.Module):
    """A stack of LSTMs that reads the source through its last state, or through attention.

    With attention (Luong et al. 2015): α = softmax(score(s, h)), a = Σ α h (equations 7, 8);
    s̃ = tanh(W_c [a; s] + b_c) (equation 5), or without the attentional layer s̃ = [a; s];
    ŷ = softmax(W_y s̃ + b_y) (equation 6). With input feeding (section 3.3), s̃ (without the
    attentional layer: a) is also part of the next step's input.
    """

    def __init__(self, config: Seq2SeqConfig, rngs: nnx.Rngs):
        width, init = config.hidden_size, kernel_init(config)
        is_wide = config.bidirectional and config.num_layers == 1
        memory_width = 2 * width if is_wide else width
        out_width, self.feed_width = width, 0
        if config.attention != "none":
            self.attention = Attention(config.attention, width, memory_width, init, rngs)
            if config.attentional_layer:
                if config.tie_embeddings:
                    out_width = config.embedding_size
                self.combine = Linear((memory_width + width,), (out_width,), init, rngs)
            else:
                out_width = memory_width + width
            if config.input_feeding:
                self.feed_width = out_width if config.attentional_layer else memory_width
        if config.peeky:  # the context, the encoder's last h, at every step
            out_width, self.feed_width = 2 * width, width
        if not config.tie_embeddings:
            self.embedding = make_embedding(config, rngs)
        in_widths = [config.embedding_size + self.feed_width, *[width] * config.num_layers]
        self.cells = nnx.List(
            LSTMCell(in_width, width, init, rngs, config.forget_bias)
            for in_width in in_widths[: config.num_layers]
        )
        if not config.tie_embeddings:
            self.output = Linear((out_width,), (require_vocab_size(config),), init, rngs)
        self.config = config

    def project_keys(self, h: Float[Array, "B S M"]) -> Float[Array, "B S H"]:
        """Return the keys of the attention, of width 0 without attention."""
        if self.config.attention == "none":
            return h[:, :, :0]
        return self.attention.project_keys(h)

    def init_state(self, memory: Memory) -> DecoderState:
        """Return the encoder's last states, and a feed of zeros (with `peeky`, the last h)."""
        if self.config.peeky:
            return DecoderState(memory.last, memory.last[-1].h)
        return DecoderState(memory.last, jnp.zeros((memory.h.shape[0], self.feed_width)))

    def step(
        self,
        memory: Memory,
        state: DecoderState,
        x: Float[Array, "B E"],
        *,
        key: PRNGKeyArray | None,
    ) -> tuple[DecoderState, Float[Array, "B O"], Float[Array, "B S"]]:
        """Return the next state, the output layer's input s̃, and the alignment weights α."""
        config = self.config
        x = jnp.concatenate([x, state.feed], axis=-1)
        layers, keys = [], split_key(key, len(self.cells))
        for i, (cell, old) in enumerate(zip(self.cells, state.layers, strict=True)):
            new, y = cell(old, dropout(x, keys[i], config.dropout))
            layers.append(new)
            x = y + x if i > 0 and config.residual else y
        if config.peeky:
            context = memory.last[-1].h
            return DecoderState(layers, context), concatenate(context, x), zero_alignment(memory)
        if config.attention == "none":
            return DecoderState(layers, state.feed), x, zero_alignment(memory)
        context, alignment = self.attention(x, memory.keys, memory.h, memory.mask)
        s_tilde, feed = concatenate(context, x), context
        if config.attentional_layer:
            s_tilde = feed = jnp.tanh(self.combine(s_tilde))
        feed = feed if config.input_feeding else state.feed
        return DecoderState(layers, feed), s_tilde, alignment


class GNMTDecoder(nnx.Module):
    """GNMT's decoder (Wu et al. 2016, section 3): the bottom layer attends, for all layers.

    The query of the context a_i = Attention(y_{i-1}, h) (equation 4) is the bottom layer's output
    at the step before; the context is part of every layer's input at this step, and the output
    layer sees the top layer alone. Residual connections start at the third layer, around the LSTM's
    own input, without the context.
    """

    def __init__(self, config: GNMTConfig, rngs: nnx.Rngs):
        width, init = config.hidden_size, kernel_init(config)
        self.attention = Attention("additive", width, width, init, rngs)
        if not config.tie_embeddings:
            self.embedding = make_embedding(config, rngs)
        in_widths = [config.embedding_size + width, *[2 * width] * (config.num_layers - 1)]
        self.cells = nnx.List(
            LSTMCell(in_width, width, init, rngs, config.forget_bias) for in_width in in_widths
        )
        if not config.tie_embeddings:
            self.output = Linear((width,), (require_vocab_size(config),), init, rngs)
        self.config = config

    def project_keys(self, h: Float[Array, "B S M"]) -> Float[Array, "B S H"]:
        """Return the keys of the attention."""
        return self.attention.project_keys(h)

    def init_state(self, memory: Memory) -> DecoderState:
        """Return the encoder's last states."""
        return DecoderState(memory.last, jnp.zeros((memory.h.shape[0], 0)))

    def step(
        self,
        memory: Memory,
        state: DecoderState,
        x: Float[Array, "B E"],
        *,
        key: PRNGKeyArray | None,
    ) -> tuple[DecoderState, Float[Array, "B O"], Float[Array, "B S"]]:
        """Return the next state, the output layer's input, and the alignment weights α."""
        query = state.layers[0].h
        context, alignment = self.attention(query, memory.keys, memory.h, memory.mask)
        layers, keys = [], split_key(key, len(self.cells))
        for i, (cell, old) in enumerate(zip(self.cells, state.layers, strict=True)):
            cell_input = dropout(concatenate(x, context), keys[i], self.config.dropout)
            new, y = cell(old, cell_input)
            layers.append(new)
            x = y + x if i >= 2 else y
        return DecoderState(layers, state.feed), x, alignment


# --- Parts ---------------------------------------------------------------------------------------


def kernel_init(config: ModelConfig) -> Initializer:
    """Return the initializer of kernels: N(0, 1 / fan-in), or uniform in ± `init_range`."""
    return fan_in_normal if config.init_range is None else uniform(config.init_range)


def make_embedding(config: ModelConfig, rngs: nnx.Rngs) -> nnx.Param:
    """Return an embedding [V, E]: N(0, 0.01²), or uniform in ± `init_range`; tied: N(0, 1 / E)."""
    init = normal(0.01) if config.init_range is None else uniform(config.init_range)
    if config.tie_embeddings:
        init = normal(config.embedding_size**-0.5)
    return nnx.Param(init(rngs.params(), (require_vocab_size(config), config.embedding_size)))


def require_vocab_size(config: ModelConfig) -> int:
    """Return V.

    Raises:
        ValueError: it is not set yet.
    """
    if config.vocab_size is None:
        raise ValueError("vocab_size = None, expected the vocabulary's size: set it first")
    return config.vocab_size


def concatenate(*parts: Float[Array, "B _"]) -> Float[Array, "B _"]:
    """Concatenate vectors along their last axis."""
    return jnp.concatenate(parts, axis=-1)


def zero_alignment(memory: Memory) -> Float[Array, "B S"]:
    """Return zeros: without attention no source token is attended to."""
    return jnp.zeros(memory.mask.shape)
