"""The Transformer for translation (Vaswani et al. 2017): encoder, decoder, one shared embedding."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bert_jax.lineage.config import TransformerConfig
from bert_jax.lineage.transformer_layers import (
    KeyValues,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.linear import LayerNorm
from bert_jax.nn.matmul import unembed
from bert_jax.nn.transformer import apply_layers, stack_layers, unstack_layers


def sinusoids(length: int, width: int) -> Float[Array, "T D"]:
    """Return PE(t, 2i) = sin(t / 10000^(2i/D)), PE(t, 2i+1) = cos(the same) (section 3.5)."""
    t_T = jnp.arange(length, dtype=jnp.float32)
    rates_I = jnp.exp(jnp.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles_TI = t_T[:, None] * rates_I[None, :]
    return jnp.stack([jnp.sin(angles_TI), jnp.cos(angles_TI)], axis=-1).reshape(length, width)


def causal_mask(length: int) -> Bool[Array, "1 1 T T"]:
    """Return a mask in which a position attends to itself and those before it (section 3.2.3)."""
    return jnp.tril(jnp.ones((length, length), bool))[None, None]


class TransformerMemory(NamedTuple):
    """Encoder output that every decoding step reads."""

    keys_values: list[KeyValues]
    """Keys and values of the encoder's output, for each decoder layer."""
    mask: Bool[Array, "B S"]
    """True on tokens of the source."""


class Transformer(nnx.Module):
    """Encoder and decoder; source, target and output share one embedding (section 3.4)."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs):
        if config.vocab_size is None:
            raise ValueError("vocab_size = None, expected the vocabulary's size: set it first")
        width = config.hidden_size
        init = truncated_normal(width**-0.5)
        self.embedding = nnx.Param(init(rngs.params(), (config.vocab_size, width)))
        self.encoder_layers = stack_layers(
            lambda rngs: TransformerEncoderLayer(config, rngs), config.num_encoder_layers, rngs
        )
        self.decoder_layers = stack_layers(
            lambda rngs: TransformerDecoderLayer(config, rngs), config.num_decoder_layers, rngs
        )
        if config.norm_first:  # without it, the sum over the layers has no bound
            self.encoder_norm = LayerNorm(width, config.layer_norm_eps)
            self.decoder_norm = LayerNorm(width, config.layer_norm_eps)
        self.config = config

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
            execution: dtypes and kernels.
        """
        source_key, embed_key, layers_key = split_key(key, 3)
        memory = self.encode_source(source, source_mask, key=source_key, execution=execution)
        x = self.embed(target, key=embed_key, execution=execution)
        masks = causal_mask(target.shape[1]), source_mask[:, None, None, :]
        x = apply_layers(
            self.decoder_layers, x, masks[0], memory, masks[1], key=layers_key, execution=execution
        )
        return self.logits(x)

    def embed(
        self, tokens: Int[Array, "B T"], *, key: PRNGKeyArray | None, execution: Execution
    ) -> Float[Array, "B T D"]:
        """Return √D · embedding + sinusoids, with dropout (sections 3.4, 3.5, 5.4)."""
        width = self.config.hidden_size
        x = self.embedding[...][tokens] * math.sqrt(width)
        x = x + jnp.broadcast_to(sinusoids(tokens.shape[1], width), x.shape)
        return dropout(x.astype(execution.dtype), key, self.config.hidden_dropout_prob)

    def encode_source(
        self,
        source: Int[Array, "B S"],
        source_mask: Bool[Array, "B S"],
        *,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B S D"]:
        """Return the encoder's output; meaningless on padding."""
        embed_key, layers_key = split_key(key, 2)
        x = self.embed(source, key=embed_key, execution=execution)
        mask = source_mask[:, None, None, :]
        x = apply_layers(self.encoder_layers, x, mask, key=layers_key, execution=execution)
        return self.encoder_norm(x) if self.config.norm_first else x

    def logits(self, x: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """Return x Eᵀ, where E is the embedding of source and target (section 3.4)."""
        x = self.decoder_norm(x) if self.config.norm_first else x
        return unembed(x, self.embedding[...].astype(x.dtype))

    # --- Decoding, token by token ------------------------------------------------------------

    def encode(
        self, source: Int[Array, "B S"], source_mask: Bool[Array, "B S"]
    ) -> TransformerMemory:
        """Encode the source: return what every decoding step reads."""
        encoded = self.encode_source(source, source_mask)
        layers = unstack_layers(self.decoder_layers)
        return TransformerMemory([layer.cross.project(encoded) for layer in layers], source_mask)

    def init_state(self, memory: TransformerMemory, max_length: int) -> list[KeyValues]:
        """Return the state before the first step: an empty cache for each layer."""
        batch_size, heads = memory.mask.shape[0], self.config.num_attention_heads
        empty = jnp.zeros((batch_size, max_length, heads, self.config.hidden_size // heads))
        return [KeyValues(empty, empty) for _ in memory.keys_values]

    def step(
        self,
        memory: TransformerMemory,
        state: list[KeyValues],
        tokens: Int[Array, "B"],
        t: Int[Array, ""],
    ) -> tuple[list[KeyValues], Float[Array, "B V"], Float[Array, "B S"]]:
        """Take token `t` of the target; token 0 is START.

        Returns:
            The next state, logits of the next token, and the last layer's alignment weights over
            the source.
        """
        width, max_length = self.config.hidden_size, state[0].k.shape[1]
        x = self.embedding[...][tokens] * math.sqrt(width)
        position = jax.lax.dynamic_index_in_dim(sinusoids(max_length, width), t, keepdims=False)
        x = (x + jnp.broadcast_to(position, x.shape))[:, None]
        mask, caches, alignment = memory.mask[:, None, None, :], [], jnp.zeros(memory.mask.shape)
        layers = unstack_layers(self.decoder_layers)
        for layer, cache, source in zip(layers, state, memory.keys_values, strict=True):
            x, cache, alignment = layer.step(x, cache, t, source, mask)
            caches.append(cache)
        return caches, self.logits(x)[:, 0], alignment
