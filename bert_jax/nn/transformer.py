"""Transformer blocks: self-attention, feed-forward, the post-norm encoder layer and its stack."""

import jax
from flax import nnx
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

from bert_jax.config import BertConfig
from bert_jax.nn.attention import dot_product_attention
from bert_jax.nn.compute import Compute, cast_kernels
from bert_jax.nn.dropout import dropout
from bert_jax.nn.linear import LayerNorm, Linear, activate


def split_key(key: PRNGKeyArray | None, num: int) -> Key[Array, "N"] | list[None]:
    """Splits a key; None, for evaluation, stays None."""
    return [None] * num if key is None else jax.random.split(key, num)


class SelfAttention(nnx.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2.2).

    Queries, keys and values come from one product with a kernel [D, 3, H, K].
    """

    def __init__(
        self, width: int, num_heads: int, dropout_rate: float, stddev: float, rngs: nnx.Rngs
    ):
        heads = (num_heads, width // num_heads)
        self.qkv = Linear((width,), (3, *heads), stddev, rngs)
        self.out = Linear(heads, (width,), stddev, rngs)
        self.dropout_rate = dropout_rate

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "B 1 T T"],
        *,
        key: PRNGKeyArray | None,
        compute: Compute,
    ) -> Float[Array, "B T D"]:
        """Lets every token look at those that the mask allows."""
        qkv_BT3HK = self.qkv(x)
        q, k, v = (qkv_BT3HK[:, :, i] for i in range(3))
        mixed_BTHK = dot_product_attention(
            q,
            k,
            v,
            mask,
            implementation=compute.attention,
            key=key,
            dropout_rate=self.dropout_rate,
        )
        return self.out(mixed_BTHK)


class FeedForward(nnx.Module):
    """act(x W₁ + b₁) W₂ + b₂ (Vaswani et al. 2017, equation 2)."""

    def __init__(
        self, width: int, hidden_width: int, activation: str, stddev: float, rngs: nnx.Rngs
    ):
        self.up = Linear((width,), (hidden_width,), stddev, rngs)
        self.down = Linear((hidden_width,), (width,), stddev, rngs)
        self.activation = activation

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Applies the two layers to every token."""
        return self.down(activate(self.activation, self.up(x)))


class EncoderLayer(nnx.Module):
    """Post-norm layer: LN(x + dropout(sublayer(x))), for attention and feed-forward in turn."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        width, eps, stddev = config.hidden_size, config.layer_norm_eps, config.initializer_range
        self.attention = SelfAttention(
            width, config.num_attention_heads, config.attention_probs_dropout_prob, stddev, rngs
        )
        self.attention_norm = LayerNorm(width, eps)
        self.feed_forward = FeedForward(
            width, config.intermediate_size, config.hidden_act, stddev, rngs
        )
        self.feed_forward_norm = LayerNorm(width, eps)
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Bool[Array, "B 1 T T"],
        *,
        key: PRNGKeyArray | None,
        compute: Compute,
    ) -> Float[Array, "B T D"]:
        """Applies the layer; `key=None` means no dropout."""
        probs_key, attention_key, forward_key = split_key(key, 3)
        attended = self.attention(x, mask, key=probs_key, compute=compute)
        x = self.attention_norm(x + dropout(attended, attention_key, self.dropout_rate))
        forwarded = self.feed_forward(x)
        return self.feed_forward_norm(x + dropout(forwarded, forward_key, self.dropout_rate))


def stack_layers(config: BertConfig, rngs: nnx.Rngs) -> EncoderLayer:
    """Builds all layers as one, every parameter with a leading axis L."""

    @nnx.split_rngs(splits=config.num_hidden_layers)
    @nnx.vmap(in_axes=0, out_axes=0, transform_metadata={nnx.PARTITION_NAME: None})
    def build(rngs: nnx.Rngs) -> EncoderLayer:
        return EncoderLayer(config, rngs)

    return build(rngs)


def apply_layers(
    layers: EncoderLayer,
    x: Float[Array, "B T D"],
    mask: Bool[Array, "B 1 T T"],
    *,
    key: PRNGKeyArray | None,
    compute: Compute,
) -> Float[Array, "B T D"]:
    """Applies stacked layers one after the other, in a scan."""
    graphdef, params = nnx.split(layers)
    params = cast_kernels(params, compute.dtype)
    num_layers = jax.tree.leaves(params)[0].shape[0]
    keys = None if key is None else jax.random.split(key, num_layers)

    def body(x, layer):
        params, key = layer
        return nnx.merge(graphdef, params)(x, mask, key=key, compute=compute), None

    if compute.remat:
        # Inside a loop nothing can undo the recomputation; unrolled, the barriers are needed.
        body = jax.checkpoint(body, prevent_cse=compute.unroll)
    unroll = num_layers if compute.unroll else 1
    return jax.lax.scan(body, x, (params, keys), unroll=unroll)[0]
