"""LSTM encoder-decoders: one fixed context vector, attention, and Google's translation system.

The symbols are those of `lstm_decoders`: h for the encoder's states, s for the decoder's.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bert_jax.config import GNMTConfig
from bert_jax.models.lstm_decoders import (
    Decoder,
    DecoderState,
    GNMTDecoder,
    Memory,
    ModelConfig,
    embedding,
    kernel_init,
)
from bert_jax.nn.compute import PLAIN, Compute
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.recurrent import LSTMCell, LSTMState, run_lstm

# --- Encoder -------------------------------------------------------------------------------------


class Encoder(nnx.Module):
    """A stack of LSTMs over the embedded source.

    Args:
        config: widths and depth.
        bidirectional: the first layer also reads from the end.
        residual: add a layer's input to its output (from the second layer on; from the third if
            the first one, being bidirectional, is twice as wide).
        rngs: randomness of the parameters.
    """

    def __init__(self, config: ModelConfig, bidirectional: bool, residual: bool, rngs: nnx.Rngs):
        width, init = config.hidden_size, kernel_init(config)
        self.embedding = embedding(config, rngs)
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
        self.dropout_rate = config.dropout

    def __call__(
        self,
        source: Int[Array, "B S"],
        mask: Bool[Array, "B S"],
        *,
        key: PRNGKeyArray | None,
    ) -> tuple[Float[Array, "B S M"], list[LSTMState]]:
        """The last layer's states, and every layer's last state."""
        keys, states = split_key(key, len(self.cells)), []
        x = self.embedding[...][source]
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
        return x, states


# --- The whole model -----------------------------------------------------------------------------


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
        compute: Compute = PLAIN,
    ) -> Float[Array, "B T V"]:
        """Scores the token after each of the target's, float32.

        Args:
            source: token ids.
            source_mask: true on tokens, false on padding.
            target: START and the tokens so far; what follows the last token does not matter.
            key: randomness of dropout; None switches it off.
            compute: taken as the Transformer takes it; LSTMs always compute in float32.
        """
        encoder_key, decoder_key, output_key = split_key(key, 3)
        memory = self.remember(source, source_mask, key=encoder_key)
        x_TBE = self.decoder.embedding[...][target].swapaxes(0, 1)
        num_steps = target.shape[1]
        keys = None if decoder_key is None else jax.random.split(decoder_key, num_steps)

        def step(state: DecoderState, inputs: tuple) -> tuple[DecoderState, Array]:
            x, step_key = inputs
            state, seen, _ = self.decoder.step(memory, state, x, key=step_key)
            return state, seen

        _, seen_TBO = jax.lax.scan(step, self.decoder.start(memory), (x_TBE, keys))
        return self.logits(seen_TBO.swapaxes(0, 1), key=output_key)

    def logits(
        self, seen: Float[Array, "*batch O"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch V"]:
        """W_y s̃ + b_y."""
        return self.decoder.output(dropout(seen, key, self.dropout_rate))

    # --- Decoding, token by token ------------------------------------------------------------

    def remember(
        self,
        source: Int[Array, "B S"],
        source_mask: Bool[Array, "B S"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Memory:
        """What every step of decoding reads."""
        if self.reverse_source:
            source = reverse_tokens(source, source_mask)
        h, last = self.encoder(source, source_mask, key=key)
        if self.reverse_source:  # attention is told of places in the source as it was
            h = reverse_tokens(h, source_mask)
        if not self.pass_cells:
            last = [LSTMState(jnp.zeros_like(state.c), state.h) for state in last]
        return Memory(h, self.decoder.keys(h), source_mask, last)

    def start(self, memory: Memory, max_length: int) -> DecoderState:
        """The state before the first step; it does not grow with the length."""
        del max_length
        return self.decoder.start(memory)

    def step(
        self,
        memory: Memory,
        state: DecoderState,
        tokens: Int[Array, "B"],
        t: Int[Array, ""],
    ) -> tuple[DecoderState, Float[Array, "B V"], Float[Array, "B S"]]:
        """Takes token `t` of the target; token 0 is START.

        Returns:
            The next state, scores of the next token, and how much of each source token was read
            (0 without attention).
        """
        del t
        x = self.decoder.embedding[...][tokens]
        state, seen, weights = self.decoder.step(memory, state, x, key=None)
        return state, self.logits(seen), weights


def reverse_tokens(x: Array, mask: Bool[Array, "B S"]) -> Array:
    """Each row's tokens [B, S, ...] from last to first; padding stays where it is."""
    places, lengths = jnp.arange(mask.shape[1])[None], mask.sum(axis=1, keepdims=True)
    index = jnp.where(mask, lengths - 1 - places, places)
    return jnp.take_along_axis(x, index.reshape(*index.shape, *[1] * (x.ndim - 2)), axis=1)
