"""ModernBERT's layers (Warner et al. 2024): attention, feed-forward, the layer, and the stack."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from bert_jax.config import ModernBertConfig
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.execution import Execution, cast_params
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.layout import SequenceIds, gather_positions
from bert_jax.nn.linear import LayerNorm, Linear, activate
from bert_jax.nn.rotary import rotate
from bert_jax.nn.transformer import (
    Mask,
    attention_weights,
    dot_product_attention,
    gather_queries,
)
from bert_jax.nn.windowed import blockwise_attention, computes_blocks, window_mask


class RotaryAttention(nnx.Module):
    """Self-attention with rotary positions, over the whole sequence or within a window."""

    def __init__(self, config: ModernBertConfig, rngs: nnx.Rngs):
        width = config.hidden_size
        heads = (config.num_attention_heads, width // config.num_attention_heads)
        into, end = (truncated_normal(config.kernel_stddev(ends)) for ends in (False, True))
        self.qkv = Linear((width,), (3, *heads), into, rngs, config.attention_bias)
        self.out = Linear(heads, (width,), end, rngs, config.attention_bias)
        self.dropout_rate = config.attention_dropout

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Mask,
        angles: Float[Array, "B T half"],
        window: int | None,
        *,
        positions: Int[Array, "B P"] | None,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B P D"]:
        """Attend from every token, or only from those at `positions` (P = T if None)."""
        weights_key, out_key = split_key(key, 2)
        q, k, v = self.project(x, angles)
        options: dict[str, Any] = {"key": weights_key, "dropout_rate": self.dropout_rate}
        num_queries = x.shape[1] if positions is None else positions.shape[1]
        if (
            window is not None
            and isinstance(mask, SequenceIds)
            and computes_blocks(window, num_queries)
        ):
            context = blockwise_attention(
                q, k, v, mask, window, implementation=execution.attention, **options
            )
            context = context if positions is None else gather_positions(context, positions)
        else:
            if positions is not None:  # few queries, perhaps an odd number, which cuDNN rejects
                q, mask = gather_positions(q, positions), gather_queries(mask, positions)
                execution = dataclasses.replace(execution, attention="xla")
            if window is not None:
                mask = window_mask(mask, window, positions)
            context = dot_product_attention(
                q, k, v, mask, implementation=execution.attention, **options
            )
        return dropout(self.out(context), out_key, self.dropout_rate)

    def project(
        self, x: Float[Array, "B T D"], angles: Float[Array, "B T half"]
    ) -> tuple[Float[Array, "B T H K"], Float[Array, "B T H K"], Float[Array, "B T H K"]]:
        """Return queries and keys, rotated, and values."""
        qkv_BT3HK = self.qkv(x)
        qk_BT2HK = rotate(qkv_BT3HK[:, :, :2], angles)
        return qk_BT2HK[:, :, 0], qk_BT2HK[:, :, 1], qkv_BT3HK[:, :, 2]


class GatedFeedForward(nnx.Module):
    """(act(x W) ∘ x V) W₂, with both first kernels in one, [D, 2, F] (Shazeer 2020, equation 6)."""

    def __init__(self, config: ModernBertConfig, rngs: nnx.Rngs):
        width, hidden, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        into, end = (truncated_normal(config.kernel_stddev(ends)) for ends in (False, True))
        self.gated = Linear((width,), (2, hidden), into, rngs, bias)
        self.down = Linear((hidden,), (width,), end, rngs, bias)
        self.activation = config.hidden_activation
        self.dropout_rate = config.mlp_dropout

    def __call__(
        self, x: Float[Array, "*batch D"], key: PRNGKeyArray | None
    ) -> Float[Array, "*batch D"]:
        """Apply the layer to every token."""
        factors = self.gated(x)
        hidden = activate(self.activation, factors[..., 0, :]) * factors[..., 1, :]
        return self.down(dropout(hidden, key, self.dropout_rate))


class PreNormLayer(nnx.Module):
    """x ← x + attention(LN(x)), x ← x + feed-forward(LN(x)); the first layer has no first LN."""

    def __init__(self, config: ModernBertConfig, rngs: nnx.Rngs, is_first: bool = False):
        norm = (config.hidden_size, config.norm_eps, config.norm_bias)
        self.attention_norm = None if is_first else LayerNorm(*norm)
        self.attention = RotaryAttention(config, rngs)
        self.feed_forward_norm = LayerNorm(*norm)
        self.feed_forward = GatedFeedForward(config, rngs)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Mask,
        angles: Float[Array, "B T half"],
        window: int | None,
        *,
        positions: Int[Array, "B P"] | None = None,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B P D"]:
        """Apply the layer to every token, or compute its output only at `positions`."""
        attention_key, feed_forward_key = split_key(key, 2)
        attended = self.attention(
            self.normalize(x),
            mask,
            angles,
            window,
            positions=positions,
            key=attention_key,
            execution=execution,
        )
        x = (x if positions is None else gather_positions(x, positions)) + attended
        return x + self.feed_forward(self.feed_forward_norm(x), feed_forward_key)

    def normalize(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Return what attention reads."""
        return x if self.attention_norm is None else self.attention_norm(x)

    def attention_weights(
        self,
        x: Float[Array, "B T D"],
        mask: Mask,
        angles: Float[Array, "B T half"],
        window: int | None,
    ) -> Float[Array, "B H T T"]:
        """Return how much each token attends to each other one."""
        q, k, _ = self.attention.project(self.normalize(x), angles)
        allowed = mask.mask if isinstance(mask, SequenceIds) else mask
        if window is not None:
            allowed = window_mask(allowed, window, None)
        return attention_weights(q, k, allowed)


# --- The stack -----------------------------------------------------------------------------------

ApplyLayer = Callable[..., Array]
"""`(layer, x, is_local, positions, key) -> x`: apply a layer of either kind."""


def apply_alternating(
    first: nnx.Module,
    layers: nnx.Module | None,
    x: Float[Array, "B T D"],
    apply: ApplyLayer,
    *,
    period: int,
    positions: Int[Array, "B P"] | None,
    key: PRNGKeyArray | None,
    execution: Execution,
) -> Float[Array, "B P D"]:
    """Apply the first layer, then groups of n layers: n - 1 with a window and one without.

    A group is one step of a scan, so that the compiled program does not grow with L. With
    `positions` [B, P], the last layer computes its output only there, [B, P, D].

    Args:
        first: layer 0, without a window.
        layers: layers 1, 2, …, stacked, with a leading axis L - 1; None if there are none.
        x: the embeddings.
        apply: applies a layer.
        period: n; layers 0, n, 2n, … have no window.
        positions: positions at which the output is needed; None: all.
        key: PRNG key of dropout; None disables it.
        execution: dtypes and kernels.
    """

    def split(module: nnx.Module) -> tuple[Any, Any]:
        graphdef, params = nnx.split(module)
        return graphdef, cast_params(params, execution.dtype)

    def step(graphdef: Any, is_local: bool, at: Array | None = None) -> Callable:
        def apply_one(x: Array, layer: Any) -> tuple[Array, None]:
            return apply(nnx.merge(graphdef, layer[0]), x, is_local, at, layer[1]), None

        # As in `nn.transformer.apply_layers`.
        remat, unroll = execution.remat, execution.unroll
        return jax.checkpoint(apply_one, prevent_cse=unroll) if remat else apply_one

    def scan(apply_one: Callable, x: Array, layers: Any) -> Array:
        length = len(jax.tree.leaves(layers)[0])
        return jax.lax.scan(apply_one, x, layers, unroll=length if execution.unroll else 1)[0]

    first_key, layers_key = split_key(key, 2)
    graphdef, params = split(first)
    x, _ = step(graphdef, False, positions if layers is None else None)(x, (params, first_key))
    if layers is None:
        return x
    graphdef, params = split(layers)
    num_layers = len(jax.tree.leaves(params)[0])
    keys = None if layers_key is None else jax.random.split(layers_key, num_layers)
    whole = num_layers - (positions is not None)  # layers that are computed at all positions
    grouped = whole // period * period

    def apply_group(x: Array, group: Any) -> tuple[Array, None]:
        if period > 1:
            x = scan(step(graphdef, True), x, jax.tree.map(lambda leaf: leaf[:-1], group))
        return step(graphdef, False)(x, jax.tree.map(lambda leaf: leaf[-1], group))

    if grouped:
        groups = jax.tree.map(
            lambda leaf: leaf[:grouped].reshape(-1, period, *leaf.shape[1:]), (params, keys)
        )
        x = scan(apply_group, x, groups)
    if grouped < whole:  # fewer than a group, so none without a window
        rest = jax.tree.map(lambda leaf: leaf[grouped:whole], (params, keys))
        x = scan(step(graphdef, True), x, rest)
    if positions is None:
        return x
    last = jax.tree.map(lambda leaf: leaf[-1], (params, keys))
    return step(graphdef, num_layers % period != 0, positions)(x, last)[0]
