"""Encoder and decoder layers of the translation Transformer (Vaswani et al. 2017, section 3).

They use the self-attention and feed-forward of BERT's layer, and add what the first Transformer has
and BERT has not: attention to the encoder's output, a cache for decoding token by token, Xavier
initialization, and layer norms that may come first.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from bert_jax.lineage.config import TransformerConfig
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution
from bert_jax.nn.initializers import Initializer, truncated_normal, uniform
from bert_jax.nn.linear import LayerNorm, Linear
from bert_jax.nn.transformer import (
    FeedForward,
    SelfAttention,
    attention_weights,
    dot_product_attention,
)


def kernel_init(config: TransformerConfig, fan_in: int, fan_out: int) -> Initializer:
    """Return a truncated normal, or Xavier uniform (Glorot and Bengio 2010, equation 16)."""
    if config.initializer_range is None:
        return uniform(math.sqrt(6 / (fan_in + fan_out)))
    return truncated_normal(config.initializer_range)


class KeyValues(NamedTuple):
    """Keys and values of one layer."""

    k: Float[Array, "B S H K"]
    v: Float[Array, "B S H K"]


class CrossAttention(nnx.Module):
    """Attention whose queries come from the decoder, keys and values from the encoder's output.

    For Xavier initialization, queries, keys and values count as one matrix of D by 3 D, as in
    PyTorch and fairseq: initial scores are half as large as with three matrices, and training is
    faster.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs):
        width = config.hidden_size
        heads = (config.num_attention_heads, width // config.num_attention_heads)
        init = kernel_init(config, width, 3 * width)
        self.out = Linear(heads, (width,), kernel_init(config, width, width), rngs)
        self.q = Linear((width,), heads, init, rngs)
        self.kv = Linear((width,), (2, *heads), init, rngs)
        self.dropout_rate = config.attention_probs_dropout_prob

    def project(self, memory: Float[Array, "B S D"]) -> KeyValues:
        """Return keys and values of the encoder's output, which are the same at every step."""
        kv_BS2HK = self.kv(memory)
        return KeyValues(kv_BS2HK[:, :, 0], kv_BS2HK[:, :, 1])

    def __call__(
        self,
        x: Float[Array, "B T D"],
        memory: KeyValues,
        memory_mask: Bool[Array, "B 1 1 S"],
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B T D"]:
        """Attend from every token of the target to the source."""
        context_BTHK = dot_product_attention(
            self.q(x),
            *memory,
            memory_mask,
            implementation=execution.attention,
            key=key,
            dropout_rate=self.dropout_rate,
        )
        return self.out(context_BTHK)


class TransformerLayer(nnx.Module):
    """Sublayers that encoder and decoder share: self-attention and feed-forward."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs):
        width, eps = config.hidden_size, config.layer_norm_eps
        self.attention = SelfAttention(
            width,
            config.num_attention_heads,
            qkv_init=kernel_init(config, width, 3 * width),
            out_init=kernel_init(config, width, width),
            dropout_rate=config.attention_probs_dropout_prob,
            rngs=rngs,
        )
        self.attention_norm = LayerNorm(width, eps)
        self.feed_forward = FeedForward(
            width,
            config.intermediate_size,
            config.hidden_act,
            kernel_init(config, width, config.intermediate_size),
            rngs,
        )
        self.feed_forward_norm = LayerNorm(width, eps)
        self.norm_first, self.dropout_rate = config.norm_first, config.hidden_dropout_prob

    def add_attention(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "#B 1 #T T"],
        keys: Sequence[PRNGKeyArray | None],
        execution: Execution,
    ) -> Float[Array, "B T D"]:
        """Apply the self-attention sublayer; takes two keys."""

        def attend(x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
            return self.attention(x, mask, key=keys[0], execution=execution)

        return self.residual(x, attend, self.attention_norm, keys[1])

    def residual(
        self,
        x: Float[Array, "B T D"],
        sublayer: Callable[[Float[Array, "B T D"]], Float[Array, "B T D"]],
        norm: LayerNorm,
        key: PRNGKeyArray | None,
    ) -> Float[Array, "B T D"]:
        """Return LN(x + f(x)), or x + f(LN(x)) with `norm_first`, with dropout on f."""
        if self.norm_first:
            return x + dropout(sublayer(norm(x)), key, self.dropout_rate)
        return norm(x + dropout(sublayer(x), key, self.dropout_rate))


class TransformerEncoderLayer(TransformerLayer):
    """Self-attention and feed-forward, each in a residual connection with a layer norm."""

    def __call__(
        self,
        x: Float[Array, "B S D"],
        mask: Bool[Array, "#B 1 #S S"],
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B S D"]:
        """Apply the layer; `key=None` switches dropout off."""
        keys = split_key(key, 3)
        x = self.add_attention(x, mask, keys[:2], execution)
        return self.residual(x, self.feed_forward, self.feed_forward_norm, keys[2])


class TransformerDecoderLayer(TransformerLayer):
    """Self-attention, attention to the encoder's output, and feed-forward."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.cross = CrossAttention(config, rngs)
        self.cross_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "#B 1 #T T"],
        memory: Float[Array, "B S D"],
        memory_mask: Bool[Array, "B 1 1 S"],
        *,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B T D"]:
        """Apply the layer to whole sequences; `key=None` switches dropout off."""
        keys = split_key(key, 5)
        x = self.add_attention(x, mask, keys[:2], execution)
        x = self.cross_attend(x, self.cross.project(memory), memory_mask, keys[2:4], execution)
        return self.residual(x, self.feed_forward, self.feed_forward_norm, keys[4])

    def cross_attend(
        self,
        x: Float[Array, "B T D"],
        memory: KeyValues,
        memory_mask: Bool[Array, "B 1 1 S"],
        keys: Sequence[PRNGKeyArray | None],
        execution: Execution,
    ) -> Float[Array, "B T D"]:
        """Apply the sublayer that attends to the encoder's output; takes two keys."""

        def attend(x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
            return self.cross(x, memory, memory_mask, key=keys[0], execution=execution)

        return self.residual(x, attend, self.cross_norm, keys[1])

    def step(
        self,
        x: Float[Array, "B 1 D"],
        cache: KeyValues,
        t: Array,
        memory: KeyValues,
        memory_mask: Bool[Array, "B 1 1 S"],
    ) -> tuple[Float[Array, "B 1 D"], KeyValues, Float[Array, "B S"]]:
        """Apply the layer to token `t`, with the keys and values of earlier tokens in the cache.

        Returns:
            The token's output, the cache with it, and its alignment weights over the source, the
            mean over the heads.
        """
        q, k, v = self.attention.project(self.attention_norm(x) if self.norm_first else x)
        cache = KeyValues(
            jax.lax.dynamic_update_slice_in_dim(cache.k, k, t, axis=1),
            jax.lax.dynamic_update_slice_in_dim(cache.v, v, t, axis=1),
        )
        is_past = (jnp.arange(cache.k.shape[1]) <= t)[None, None, None]
        attended = self.attention.out(dot_product_attention(q, *cache, is_past))
        x = x + attended if self.norm_first else self.attention_norm(x + attended)
        query = self.cross.q(self.cross_norm(x) if self.norm_first else x)
        alignment = attention_weights(query, memory.k, memory_mask).mean(axis=1)[:, 0]
        x = self.cross_attend(x, memory, memory_mask, [None] * 2, DEFAULT_EXECUTION)
        x = self.residual(x, self.feed_forward, self.feed_forward_norm, None)
        return x, cache, alignment
