"""Transformer blocks: attention, feed-forward, encoder and decoder layers."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bert_jax.nn.attention import attention_weights, dot_product_attention
from bert_jax.nn.compute import PLAIN, Compute
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.layout import gather_positions
from bert_jax.nn.linear import Initializer, LayerNorm, Linear, activate, truncated_normal, uniform


class BlockConfig(Protocol):
    """What a layer needs to know; `BertConfig` and `TransformerConfig` say it."""

    @property
    def hidden_size(self) -> int:
        """Model width D."""
        ...

    @property
    def num_attention_heads(self) -> int:
        """Heads H."""
        ...

    @property
    def intermediate_size(self) -> int:
        """Feed-forward width F."""
        ...

    @property
    def hidden_act(self) -> str:
        """Activation between the two feed-forward maps."""
        ...

    @property
    def hidden_dropout_prob(self) -> float:
        """Dropout on what a sublayer adds."""
        ...

    @property
    def attention_probs_dropout_prob(self) -> float:
        """Dropout on attention probabilities."""
        ...

    @property
    def initializer_range(self) -> float | None:
        """Standard deviation of kernels; None is Xavier's uniform."""
        ...

    @property
    def layer_norm_eps(self) -> float:
        """Added to the variance."""
        ...

    @property
    def norm_first(self) -> bool:
        """x + f(LN(x)) instead of LN(x + f(x))."""
        ...


def kernel_init(config: BlockConfig, fan_in: int, fan_out: int) -> Initializer:
    """BERT's truncated normal, or Xavier's uniform (Glorot and Bengio 2010, equation 16)."""
    if config.initializer_range is None:
        return uniform(math.sqrt(6 / (fan_in + fan_out)))
    return truncated_normal(config.initializer_range)


class KeyValues(NamedTuple):
    """Keys and values of one layer."""

    k: Float[Array, "B S H K"]
    v: Float[Array, "B S H K"]


class Attention(nnx.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2): what both kinds share.

    For Xavier, queries, keys and values are one matrix of D by 3 D, as in PyTorch and fairseq: the
    scores start at half the size that three matrices would give them, and training is faster.
    """

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs):
        width = config.hidden_size
        self.heads = (config.num_attention_heads, width // config.num_attention_heads)
        self.out = Linear(self.heads, (width,), kernel_init(config, width, width), rngs)
        self.dropout_rate = config.attention_probs_dropout_prob

    def mix(
        self,
        q: Float[Array, "B T H K"],
        k: Float[Array, "B S H K"],
        v: Float[Array, "B S H K"],
        mask: Bool[Array, "#B 1 #T S"],
        *,
        key: PRNGKeyArray | None,
        compute: Compute,
    ) -> Float[Array, "B T D"]:
        """Lets every query look at the keys that the mask allows, and maps the heads to D."""
        implementation, rate = compute.attention, self.dropout_rate
        mixed_BTHK = dot_product_attention(
            q, k, v, mask, implementation=implementation, key=key, dropout_rate=rate
        )
        return self.out(mixed_BTHK)


class SelfAttention(Attention):
    """Queries, keys and values come from one product with a kernel [D, 3, H, K]."""

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs):
        width = config.hidden_size
        init = kernel_init(config, width, 3 * width)
        heads = (config.num_attention_heads, width // config.num_attention_heads)
        self.qkv = Linear((width,), (3, *heads), init, rngs)
        super().__init__(config, rngs)

    def project(
        self, x: Float[Array, "B T D"]
    ) -> tuple[Float[Array, "B T H K"], Float[Array, "B T H K"], Float[Array, "B T H K"]]:
        """Queries, keys and values."""
        qkv_BT3HK = self.qkv(x)
        return qkv_BT3HK[:, :, 0], qkv_BT3HK[:, :, 1], qkv_BT3HK[:, :, 2]

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "#B 1 T T"],
        *,
        at: Int[Array, "B P"] | None,
        key: PRNGKeyArray | None,
        compute: Compute,
    ) -> Float[Array, "B P D"]:
        """Lets every token, or those at some positions, look at those that the mask allows."""
        q, k, v = self.project(x)
        if at is not None:  # few queries, and perhaps an odd number, which cuDNN does not take
            q, mask = gather_positions(q, at), gather_positions(mask[:, 0], at)[:, None]
            compute = dataclasses.replace(compute, attention="xla")
        return self.mix(q, k, v, mask, key=key, compute=compute)


class CrossAttention(Attention):
    """Queries come from the decoder, keys and values from the encoder's output, the memory."""

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        width = config.hidden_size
        init = kernel_init(config, width, 3 * width)
        self.q = Linear((width,), self.heads, init, rngs)
        self.kv = Linear((width,), (2, *self.heads), init, rngs)

    def read(self, memory: Float[Array, "B S D"]) -> KeyValues:
        """Keys and values of a memory: the same for every step of decoding."""
        kv_BS2HK = self.kv(memory)
        return KeyValues(kv_BS2HK[:, :, 0], kv_BS2HK[:, :, 1])


class FeedForward(nnx.Module):
    """act(x W₁ + b₁) W₂ + b₂ (Vaswani et al. 2017, equation 2)."""

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs):
        width, hidden = config.hidden_size, config.intermediate_size
        init = kernel_init(config, width, hidden)
        self.up = Linear((width,), (hidden,), init, rngs)
        self.down = Linear((hidden,), (width,), init, rngs)
        self.activation = config.hidden_act

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Applies the two layers to every token."""
        return self.down(activate(self.activation, self.up(x)))


class Connection(NamedTuple):
    """The way around a sublayer f: LN(x + dropout(f(x))), or x + dropout(f(LN(x)))."""

    norm: LayerNorm
    norm_first: bool
    dropout_rate: float

    def enter(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """What the sublayer sees."""
        return self.norm(x) if self.norm_first else x

    def leave(
        self, x: Float[Array, "B T D"], added: Float[Array, "B T D"], key: PRNGKeyArray | None
    ) -> Float[Array, "B T D"]:
        """What comes out, from the input and what the sublayer says."""
        y = x + dropout(added, key, self.dropout_rate)
        return y if self.norm_first else self.norm(y)


class Block(nnx.Module):
    """What both kinds of layer have: self-attention and feed-forward, with connections."""

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs):
        width, eps = config.hidden_size, config.layer_norm_eps
        self.attention = SelfAttention(config, rngs)
        self.attention_norm = LayerNorm(width, eps)
        self.feed_forward = FeedForward(config, rngs)
        self.feed_forward_norm = LayerNorm(width, eps)
        self.norm_first, self.dropout_rate = config.norm_first, config.hidden_dropout_prob

    def around(self, norm: LayerNorm) -> Connection:
        """The connection around a sublayer."""
        return Connection(norm, self.norm_first, self.dropout_rate)

    def attend(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "#B 1 T T"],
        keys: Sequence[PRNGKeyArray | None],
        compute: Compute,
        at: Int[Array, "B P"] | None = None,
    ) -> Float[Array, "B P D"]:
        """The sublayer of self-attention; two keys."""
        around = self.around(self.attention_norm)
        attended = self.attention(around.enter(x), mask, at=at, key=keys[0], compute=compute)
        x = x if at is None else gather_positions(x, at)
        return around.leave(x, attended, keys[1])

    def forward(self, x: Float[Array, "B T D"], key: PRNGKeyArray | None) -> Float[Array, "B T D"]:
        """The feed-forward sublayer."""
        around = self.around(self.feed_forward_norm)
        return around.leave(x, self.feed_forward(around.enter(x)), key)


class EncoderLayer(Block):
    """Self-attention and feed-forward."""

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "#B 1 T T"],
        *,
        at: Int[Array, "B P"] | None = None,
        key: PRNGKeyArray | None,
        compute: Compute,
    ) -> Float[Array, "B P D"]:
        """Applies the layer, or gives its output `at` some positions; no key means no dropout."""
        keys = split_key(key, 3)
        return self.forward(self.attend(x, mask, keys[:2], compute, at), keys[2])


class DecoderLayer(Block):
    """Self-attention, attention to the memory, and feed-forward."""

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.cross = CrossAttention(config, rngs)
        self.cross_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "#B 1 T T"],
        memory: Float[Array, "B S D"],
        memory_mask: Bool[Array, "B 1 1 S"],
        *,
        key: PRNGKeyArray | None,
        compute: Compute,
    ) -> Float[Array, "B T D"]:
        """Applies the layer to whole sequences; `key=None` means no dropout."""
        keys = split_key(key, 5)
        x = self.attend(x, mask, keys[:2], compute)
        x = self.look(x, self.cross.read(memory), memory_mask, keys[2:4], compute)
        return self.forward(x, keys[4])

    def step(
        self,
        x: Float[Array, "B 1 D"],
        cache: KeyValues,
        t: Array,
        read: KeyValues,
        memory_mask: Bool[Array, "B 1 1 S"],
    ) -> tuple[Float[Array, "B 1 D"], KeyValues, Float[Array, "B S"]]:
        """Applies the layer to token `t`, with the keys and values of those before in the cache.

        Returns:
            The token's output, the cache with it, and how much of each place of the memory it
            read, the mean over the heads.
        """
        around = self.around(self.attention_norm)
        q, k, v = self.attention.project(around.enter(x))
        cache = KeyValues(
            jax.lax.dynamic_update_slice_in_dim(cache.k, k, t, axis=1),
            jax.lax.dynamic_update_slice_in_dim(cache.v, v, t, axis=1),
        )
        seen = (jnp.arange(cache.k.shape[1]) <= t)[None, None, None]
        attended = self.attention.mix(q, *cache, seen, key=None, compute=PLAIN)
        x = around.leave(x, attended, None)
        query = self.cross.q(self.around(self.cross_norm).enter(x))
        weights = attention_weights(query, read.k, memory_mask).mean(axis=1)[:, 0]
        x = self.look(x, read, memory_mask, [None] * 2, PLAIN)
        return self.forward(x, None), cache, weights

    def look(
        self,
        x: Float[Array, "B T D"],
        read: KeyValues,
        memory_mask: Bool[Array, "B 1 1 S"],
        keys: Sequence[PRNGKeyArray | None],
        compute: Compute,
    ) -> Float[Array, "B T D"]:
        """The sublayer of attention to the memory; two keys."""
        around = self.around(self.cross_norm)
        q = self.cross.q(around.enter(x))
        attended = self.cross.mix(q, *read, memory_mask, key=keys[0], compute=compute)
        return around.leave(x, attended, keys[1])
