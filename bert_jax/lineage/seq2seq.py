"""LSTM encoder-decoders: seq2seq with a fixed vector, seq2seq with attention, and GNMT.

The symbols are those of `lstm_decoders`: h for the encoder's states, s for the decoder's, s̃ for
the attentional vector.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bert_jax.lineage.config import GNMTConfig
from bert_jax.lineage.lstm import LSTMCell, LSTMState, run_lstm
from bert_jax.lineage.lstm_decoders import (
    Decoder,
    DecoderState,
    GNMTDecoder,
    Memory,
    ModelConfig,
    kernel_init,
    make_embedding,
)
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution

# --- Encoder -------------------------------------------------------------------------------------


class Encoder(nnx.Module):
    """A stack of LSTMs over the embedded source.

    Args:
        config: widths and depth.
        bidirectional: the first layer also runs from the end.
        residual: add a layer's input to its output (from the second layer on; from the third if
            the first one, being bidirectional, is twice as wide).
        rngs: RNG streams of the initial values.
    """

    def __init__(self, config: ModelConfig, bidirectional: bool, residual: bool, rngs: nnx.Rngs):
        width, init = config.hidden_size, kernel_init(config)
        self.embedding = make_embedding(config, rngs)
        first = 2 * width if bidirectional else width
        in_widths = [config.embedding_size, first, *[width] * config.num_layers]
        self.cells = nnx.List(
            LSTMCell(in_width, width, init, rngs, config.forget_bias)
            for in_width in in_widths[: config.num_layers]
        )
        if bidirectional:
            self.backward_cell = LSTMCell(
                config.embedding_size, width, init, rngs, config.forget_bias
            )
        self.bidirectional, self.residual = bidirectional, residual
        self.is_tied, self.residual_words = config.tie_embeddings, config.residual_words
        self.dropout_rate = config.dropout

    def __call__(
        self,
        source: Int[Array, "B S"],
        mask: Bool[Array, "B S"],
        *,
        key: PRNGKeyArray | None,
    ) -> tuple[Float[Array, "B S M"], list[LSTMState]]:
        """Return the last layer's states, and every layer's last state."""
        keys, states = split_key(key, len(self.cells)), []
        x = words = self.embed(source)
        for i, cell in enumerate(self.cells):
            dropped = dropout(x, keys[i], self.dropout_rate)
            state, y = run_lstm(cell, dropped, mask)
            if i == 0 and self.bidirectional:
                state, backward = run_lstm(self.backward_cell, dropped, mask, reverse=True)
                y = jnp.concatenate([y, backward], axis=-1)
            elif i > 0 and self.residual and x.shape == y.shape:
                y = y + x
            states.append(state)
            x = y
        if self.residual_words:
            words = jnp.where(mask[..., None], words, 0)
            x = x + jnp.tile(words, x.shape[-1] // words.shape[-1])
        return x, states

    def embed(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch E"]:
        """Return the embedding of tokens, times √E if it is shared with the output."""
        x = self.embedding[...][tokens]
        return x * math.sqrt(x.shape[-1]) if self.is_tied else x


# --- Encoder and decoder -------------------------------------------------------------------------


class Seq2Seq(nnx.Module):
    """Encoder and decoder (Sutskever et al. 2014; Luong et al. 2015; Wu et al. 2016)."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        if isinstance(config, GNMTConfig):
            self.encoder = Encoder(config, bidirectional=True, residual=True, rngs=rngs)
            self.decoder = GNMTDecoder(config, rngs)
            self.reverse_source, self.pass_cells = False, True
        else:
            self.encoder = Encoder(config, config.bidirectional, config.residual, rngs)
            self.decoder = Decoder(config, rngs)
            self.reverse_source, self.pass_cells = config.reverse_source, config.pass_cells
        self.dropout_rate = config.dropout

    def __call__(
        self,
        source: Int[Array, "B S"],
        source_mask: Bool[Array, "B S"],
        target: Int[Array, "B T"],
        *,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B T V"]:
        """Return logits of the token after each of the target's, float32.

        Args:
            source: token ids.
            source_mask: true on tokens, false on padding.
            target: START, then the target's tokens; after its last token, anything.
            key: PRNG key of dropout; None switches it off.
            execution: unused, for the Transformer's signature; LSTMs always compute in float32.
        """
        encoder_key, decoder_key, output_key = split_key(key, 3)
        memory = self.encode(source, source_mask, key=encoder_key)
        x_TBE = self.embed_target(target).swapaxes(0, 1)
        num_steps = target.shape[1]
        keys = None if decoder_key is None else jax.random.split(decoder_key, num_steps)

        def step(state: DecoderState, inputs: tuple) -> tuple[DecoderState, Array]:
            x, step_key = inputs
            state, s_tilde, _ = self.decoder.step(memory, state, x, key=step_key)
            return state, s_tilde

        _, s_tilde_TBO = jax.lax.scan(step, self.decoder.init_state(memory), (x_TBE, keys))
        return self.logits(s_tilde_TBO.swapaxes(0, 1), key=output_key)

    def logits(
        self, s_tilde: Float[Array, "*batch O"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch V"]:
        """Return W_y s̃ + b_y; E s̃ with one embedding E for all."""
        s_tilde = dropout(s_tilde, key, self.dropout_rate)
        if self.encoder.is_tied:
            return s_tilde @ self.encoder.embedding[...].T
        return self.decoder.output(s_tilde)

    def embed_target(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch E"]:
        """Return the embedding of target tokens, which is the source's if there is one for all."""
        if self.encoder.is_tied:
            return self.encoder.embed(tokens)
        return self.decoder.embedding[...][tokens]

    # --- Decoding, token by token ------------------------------------------------------------

    def encode(
        self,
        source: Int[Array, "B S"],
        source_mask: Bool[Array, "B S"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Memory:
        """Encode the source: return what every decoding step reads."""
        if self.reverse_source:
            source = reverse_tokens(source, source_mask)
        h, last = self.encoder(source, source_mask, key=key)
        if self.reverse_source:  # so that alignments are over the source in its own order
            h = reverse_tokens(h, source_mask)
        if not self.pass_cells:
            last = [LSTMState(jnp.zeros_like(state.c), state.h) for state in last]
        return Memory(h, self.decoder.project_keys(h), source_mask, last)

    def init_state(self, memory: Memory, max_length: int) -> DecoderState:
        """Return the state before the first step; its size does not depend on `max_length`."""
        del max_length
        return self.decoder.init_state(memory)

    def step(
        self,
        memory: Memory,
        state: DecoderState,
        tokens: Int[Array, "B"],
        t: Int[Array, ""],
    ) -> tuple[DecoderState, Float[Array, "B V"], Float[Array, "B S"]]:
        """Take token `t` of the target; token 0 is START.

        Returns:
            The next state, logits of the next token, and the alignment weights over the source (0
            without attention).
        """
        del t
        x = self.embed_target(tokens)
        state, s_tilde, alignment = self.decoder.step(memory, state, x, key=None)
        return state, self.logits(s_tilde), alignment


def reverse_tokens(x: Array, mask: Bool[Array, "B S"]) -> Array:
    """Reverse each row's tokens [B, S, ...]; padding stays where it is."""
    positions, lengths = jnp.arange(mask.shape[1])[None], mask.sum(axis=1, keepdims=True)
    index = jnp.where(mask, lengths - 1 - positions, positions)
    return jnp.take_along_axis(x, index.reshape(*index.shape, *[1] * (x.ndim - 2)), axis=1)
