"""The decoders of LSTM encoder-decoders, one step each: with a fixed vector, attention, or GNMT's.

The symbols are s for the decoder's states, h for the encoder's, a for the context vector that
attention makes of them, and s̃ for the attentional vector, which the output layer sees.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from bert_jax.config import GNMTConfig, Seq2SeqConfig
from bert_jax.nn.attention import LARGE_NEGATIVE
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.linear import Initializer, Linear, fan_in_normal, normal, uniform
from bert_jax.nn.recurrent import LSTMCell, LSTMState

ModelConfig = Seq2SeqConfig | GNMTConfig


class Attention(nnx.Module):
    """Scores the encoder's states h against a decoder state s, and takes their weighted mean.

    Args:
        score: "dot": sᵀ h; "general": sᵀ W h (Luong et al. 2015, equation 8); "additive":
            vᵀ tanh(W s + U h) (Bahdanau et al. 2015, appendix A.1.2).
        query_width: width of s.
        memory_width: width of h.
        init: draws the kernels.
        rngs: their randomness.
    """

    def __init__(
        self, score: str, query_width: int, memory_width: int, init: Initializer, rngs: nnx.Rngs
    ):
        self.score = score
        if score == "general":
            self.w = nnx.Param(init(rngs.params(), (memory_width, query_width)))
        if score == "additive":
            self.w = nnx.Param(init(rngs.params(), (query_width, query_width)))
            self.u = nnx.Param(init(rngs.params(), (memory_width, query_width)))
            self.v = nnx.Param(init(rngs.params(), (query_width, 1)))

    def keys(self, h: Float[Array, "B S M"]) -> Float[Array, "B S H"]:
        """The part of the score that is the same for every step: h, W h or U h."""
        if self.score == "dot":
            return h
        return h @ (self.w if self.score == "general" else self.u)[...]

    def __call__(
        self,
        s: Float[Array, "B H"],
        keys: Float[Array, "B S H"],
        h: Float[Array, "B S M"],
        mask: Bool[Array, "B S"],
    ) -> tuple[Float[Array, "B M"], Float[Array, "B S"]]:
        """The context vector a, and the weights α = softmax(score), 0 on padding."""
        if self.score == "additive":
            query = (s @ self.w[...])[:, None]
            scores_BS = (jnp.tanh(jnp.broadcast_to(query, keys.shape) + keys) @ self.v[...])[..., 0]
        else:
            scores_BS = jnp.einsum("BH,BSH->BS", s, keys)
        weights = jax.nn.softmax(jnp.where(mask, scores_BS, LARGE_NEGATIVE), axis=-1)
        return jnp.einsum("BS,BSM->BM", weights, h), weights


class Memory(NamedTuple):
    """What the encoder leaves to the decoder."""

    h: Float[Array, "B S M"]
    """States of the last layer, 0 on padding."""
    keys: Float[Array, "B S H"]
    """What attention scores; of width 0 without attention."""
    mask: Bool[Array, "B S"]
    """True on tokens."""
    last: list[LSTMState]
    """Each layer's last state; of the layer that reads both ways, the backward one's."""


class DecoderState(NamedTuple):
    """What a decoder carries from step to step."""

    layers: list[LSTMState]
    feed: Float[Array, "B F"]
    """What else enters the next step: the attentional vector, or nothing (width 0)."""


class Decoder(nnx.Module):
    """A stack of LSTMs that sees the source through its last state, or through attention.

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
                self.combine = Linear((memory_width + width,), (width,), init, rngs)
            else:
                out_width = memory_width + width
            if config.input_feeding:
                self.feed_width = width if config.attentional_layer else memory_width
        if config.peeky:
            out_width, self.feed_width = 2 * width, width
        self.embedding = embedding(config, rngs)
        in_widths = [config.embedding_size + self.feed_width, *[width] * config.num_layers]
        self.cells = nnx.List(
            LSTMCell(in_width, width, init, rngs, config.forget_bias)
            for in_width in in_widths[: config.num_layers]
        )
        self.output = Linear((out_width,), (vocab_size(config),), init, rngs)
        self.config = config

    def keys(self, h: Float[Array, "B S M"]) -> Float[Array, "B S H"]:
        """What attention scores."""
        return h[:, :, :0] if self.config.attention == "none" else self.attention.keys(h)

    def start(self, memory: Memory) -> DecoderState:
        """The encoder's last states; nothing has been attended to yet."""
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
        """One step: the next state, what the output layer sees, and the weights α."""
        config = self.config
        x = jnp.concatenate([x, state.feed], axis=-1)
        layers, keys = [], split_key(key, len(self.cells))
        for i, (cell, old) in enumerate(zip(self.cells, state.layers, strict=True)):
            new, y = cell(old, dropout(x, keys[i], config.dropout))
            layers.append(new)
            x = y + x if i > 0 and config.residual else y
        if config.peeky:
            context = memory.last[-1].h
            return DecoderState(layers, context), concatenate(context, x), no_weights(memory)
        if config.attention == "none":
            return DecoderState(layers, state.feed), x, no_weights(memory)
        context, weights = self.attention(x, memory.keys, memory.h, memory.mask)
        seen, feed = concatenate(context, x), context
        if config.attentional_layer:
            seen = feed = jnp.tanh(self.combine(seen))
        feed = feed if config.input_feeding else state.feed
        return DecoderState(layers, feed), seen, weights


class GNMTDecoder(nnx.Module):
    """GNMT's decoder (Wu et al. 2016, section 3): attention from below, for all layers.

    The context a_i = Attention(y_{i-1}, h) (equation 4) is asked for by the bottom layer's output
    of the step before, and enters every layer of this one; the output layer sees the top layer
    alone. Residual connections start at the third layer, around the LSTM's own input, without the
    context.
    """

    def __init__(self, config: GNMTConfig, rngs: nnx.Rngs):
        width, init = config.hidden_size, kernel_init(config)
        self.attention = Attention("additive", width, width, init, rngs)
        self.embedding = embedding(config, rngs)
        in_widths = [config.embedding_size + width, *[2 * width] * (config.num_layers - 1)]
        self.cells = nnx.List(
            LSTMCell(in_width, width, init, rngs, config.forget_bias) for in_width in in_widths
        )
        self.output = Linear((width,), (vocab_size(config),), init, rngs)
        self.config = config

    def keys(self, h: Float[Array, "B S M"]) -> Float[Array, "B S H"]:
        """What attention scores."""
        return self.attention.keys(h)

    def start(self, memory: Memory) -> DecoderState:
        """The encoder's last states."""
        return DecoderState(memory.last, jnp.zeros((memory.h.shape[0], 0)))

    def step(
        self,
        memory: Memory,
        state: DecoderState,
        x: Float[Array, "B E"],
        *,
        key: PRNGKeyArray | None,
    ) -> tuple[DecoderState, Float[Array, "B O"], Float[Array, "B S"]]:
        """One step: the next state, what the output layer sees, and the weights α."""
        context, weights = self.attention(state.layers[0].h, memory.keys, memory.h, memory.mask)
        layers, keys = [], split_key(key, len(self.cells))
        for i, (cell, old) in enumerate(zip(self.cells, state.layers, strict=True)):
            seen = dropout(concatenate(x, context), keys[i], self.config.dropout)
            new, y = cell(old, seen)
            layers.append(new)
            x = y + x if i >= 2 else y
        return DecoderState(layers, state.feed), x, weights


# --- Parts ---------------------------------------------------------------------------------------


def kernel_init(config: ModelConfig) -> Initializer:
    """How kernels start."""
    return fan_in_normal if config.init_range is None else uniform(config.init_range)


def embedding(config: ModelConfig, rngs: nnx.Rngs) -> nnx.Param:
    """An embedding of the vocabulary."""
    init = normal(0.01) if config.init_range is None else uniform(config.init_range)
    return nnx.Param(init(rngs.params(), (vocab_size(config), config.embedding_size)))


def vocab_size(config: ModelConfig) -> int:
    """V, which must be known by now."""
    if config.vocab_size is None:
        raise ValueError("vocab_size = None, expected the vocabulary's size: set it first")
    return config.vocab_size


def concatenate(*parts: Float[Array, "B _"]) -> Float[Array, "B _"]:
    """Puts vectors one after the other."""
    return jnp.concatenate(parts, axis=-1)


def no_weights(memory: Memory) -> Float[Array, "B S"]:
    """Without attention nothing in the source is looked at."""
    return jnp.zeros(memory.mask.shape)
