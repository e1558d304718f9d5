"""BERT's encoder: attention, feed-forward, the layer, and the stack of layers."""

import dataclasses
import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bert_jax.config import BertConfig
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.execution import AttentionKernel, Execution, cast_params
from bert_jax.nn.fused_attention import LANES, SEQUENCE_KERNELS, cudnn_attention
from bert_jax.nn.initializers import Initializer, truncated_normal
from bert_jax.nn.layout import SequenceIds, gather_positions
from bert_jax.nn.linear import LayerNorm, Linear, activate
from bert_jax.nn.matmul import matmul_transposed

LARGE_NEGATIVE = -1e30  # finite, so that the softmax of a fully masked row is finite

Mask = Bool[Array, "#B 1 #T S"] | SequenceIds
"""True where a query attends to a key; or the ids of the sequences, where packed rows alone
decide."""

# --- Attention -----------------------------------------------------------------------------------


def dot_product_attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B S H K"],
    v: Float[Array, "B S H K"],
    mask: Mask,
    *,
    implementation: AttentionKernel = "xla",
    key: PRNGKeyArray | None = None,
    dropout_rate: float = 0.0,
) -> Float[Array, "B T H K"]:
    """Return softmax(q kᵀ / √K) v, attending only where `mask` is true.

    Equation 1 of Vaswani et al. 2017.

    Scores and softmax are float32. "xla" is used instead where the kernel asked for does not apply:
    all others have no dropout on attention probabilities (a key and a rate above 0); "splash"
    needs sequence ids, as many queries as keys, and a multiple of 128 of them.

    Args:
        q: queries.
        k: keys.
        v: values.
        mask: true where a query attends to a key, or `SequenceIds`.
        implementation: "xla", "cudnn" or "splash", from `choose_execution`.
        key: PRNG key of dropout; None in evaluation.
        dropout_rate: share of attention probabilities that is dropped.
    """
    can_fuse = key is None or dropout_rate == 0
    if isinstance(mask, SequenceIds):
        is_square = q.shape[1] == k.shape[1] and q.shape[1] % LANES == 0
        if can_fuse and is_square and implementation in SEQUENCE_KERNELS:
            return SEQUENCE_KERNELS[implementation](q, k, v, mask)
        mask = mask.mask
    if can_fuse and implementation == "cudnn":
        return cudnn_attention(q, k, v, mask)
    probs_BHTS = attention_weights(q, k, mask).astype(v.dtype)
    v_BHSK = v.transpose(0, 2, 1, 3)
    context_BHTK = jnp.einsum("BHTS,BHSK->BHTK", dropout(probs_BHTS, key, dropout_rate), v_BHSK)
    return context_BHTK.transpose(0, 2, 1, 3)


def attention_weights(
    q: Float[Array, "B T H K"], k: Float[Array, "B S H K"], mask: Bool[Array, "#B 1 #T S"]
) -> Float[Array, "B H T S"]:
    """Return softmax(q kᵀ / √K): how much each query attends to each key.

    Heads are transposed to the front before the product: on CPUs that is faster.
    """
    q_BHTK, k_BHSK = q.transpose(0, 2, 1, 3), k.transpose(0, 2, 1, 3)
    scores_BHTS = matmul_transposed(q_BHTK, k_BHSK) / math.sqrt(q.shape[-1])
    return jax.nn.softmax(jnp.where(mask, scores_BHTS, LARGE_NEGATIVE), axis=-1)


class SelfAttention(nnx.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2.2).

    Queries, keys and values come from one product with a kernel [D, 3, H, K].

    Args:
        width: model width D.
        num_heads: heads H, a divisor of D.
        qkv_init: initial values of the kernel of queries, keys and values.
        out_init: initial values of the kernel that maps the heads back to D.
        dropout_rate: share of attention probabilities that is dropped.
        rngs: RNG streams of the initial values.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        qkv_init: Initializer,
        out_init: Initializer,
        dropout_rate: float,
        rngs: nnx.Rngs,
    ):
        heads = (num_heads, width // num_heads)
        self.qkv = Linear((width,), (3, *heads), qkv_init, rngs)
        self.out = Linear(heads, (width,), out_init, rngs)
        self.dropout_rate = dropout_rate

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Mask,
        *,
        positions: Int[Array, "B P"] | None = None,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B P D"]:
        """Attend from every token, or only from those at `positions` (P = T if None)."""
        q, k, v = self.project(x)
        if positions is not None:  # few queries, perhaps an odd number, which cuDNN rejects
            q, mask = gather_positions(q, positions), gather_queries(mask, positions)
            execution = dataclasses.replace(execution, attention="xla")
        context_BPHK = dot_product_attention(
            q,
            k,
            v,
            mask,
            implementation=execution.attention,
            key=key,
            dropout_rate=self.dropout_rate,
        )
        return self.out(context_BPHK)

    def project(
        self, x: Float[Array, "B T D"]
    ) -> tuple[Float[Array, "B T H K"], Float[Array, "B T H K"], Float[Array, "B T H K"]]:
        """Return queries, keys and values."""
        qkv_BT3HK = self.qkv(x)
        return qkv_BT3HK[:, :, 0], qkv_BT3HK[:, :, 1], qkv_BT3HK[:, :, 2]


def packed_mask(sequence_ids: Int[Array, "B T"], implementation: AttentionKernel) -> Mask:
    """Return what keeps tokens of packed rows to their own sequence, as the kernel takes it."""
    ids = SequenceIds(sequence_ids, sequence_ids)
    return ids if implementation in SEQUENCE_KERNELS else ids.mask


def gather_queries(
    mask: Bool[Array, "B 1 #T S"] | SequenceIds, positions: Int[Array, "B P"]
) -> Bool[Array, "B 1 #P S"] | SequenceIds:
    """Return the mask's rows of the queries at some positions, [B, 1, P, S], or their ids.

    A mask that is the same for all queries, [B, 1, 1, S], stays as it is.
    """
    if isinstance(mask, SequenceIds):
        return SequenceIds(gather_positions(mask.queries, positions), mask.keys)
    if mask.shape[2] == 1:
        return mask
    return gather_positions(mask[:, 0], positions)[:, None]


# --- Feed-forward --------------------------------------------------------------------------------


class FeedForward(nnx.Module):
    """act(x W₁ + b₁) W₂ + b₂ (Vaswani et al. 2017, equation 2).

    Args:
        width: model width D.
        hidden: width F between the two linear layers.
        activation: activation name; see `activate`.
        init: initial values of both kernels.
        rngs: RNG streams of the initial values.
    """

    def __init__(self, width: int, hidden: int, activation: str, init: Initializer, rngs: nnx.Rngs):
        self.up = Linear((width,), (hidden,), init, rngs)
        self.down = Linear((hidden,), (width,), init, rngs)
        self.activation = activation

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Apply both linear layers to every token."""
        return self.down(activate(self.activation, self.up(x)))


# --- The layer -----------------------------------------------------------------------------------


class EncoderLayer(nnx.Module):
    """x ← LN(x + attention(x)), x ← LN(x + feed-forward(x)) (Devlin et al. 2019, section 3)."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        width, eps = config.hidden_size, config.layer_norm_eps
        init = truncated_normal(config.initializer_range)
        self.attention = SelfAttention(
            width,
            config.num_attention_heads,
            qkv_init=init,
            out_init=init,
            dropout_rate=config.attention_probs_dropout_prob,
            rngs=rngs,
        )
        self.attention_norm = LayerNorm(width, eps)
        self.feed_forward = FeedForward(
            width, config.intermediate_size, config.hidden_act, init, rngs
        )
        self.feed_forward_norm = LayerNorm(width, eps)
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self,
        x: Float[Array, "B T D"],
        mask: Mask,
        *,
        positions: Int[Array, "B P"] | None = None,
        key: PRNGKeyArray | None,
        execution: Execution,
    ) -> Float[Array, "B P D"]:
        """Apply the layer to every token, or compute its output only at `positions`."""
        weights_key, attended_key, feed_forward_key = split_key(key, 3)
        attended = self.attention(
            x, mask, positions=positions, key=weights_key, execution=execution
        )
        x = x if positions is None else gather_positions(x, positions)
        x = self.attention_norm(x + dropout(attended, attended_key, self.dropout_rate))
        return self.feed_forward_norm(
            x + dropout(self.feed_forward(x), feed_forward_key, self.dropout_rate)
        )


# --- The stack -----------------------------------------------------------------------------------

Layer = TypeVar("Layer", bound=nnx.Module)


def stack_layers(build: Callable[[nnx.Rngs], Layer], num_layers: int, rngs: nnx.Rngs) -> Layer:
    """Build identical layers as one stacked module, whose parameters have a leading axis L."""
    stack = nnx.vmap(build, in_axes=0, out_axes=0, transform_metadata={nnx.PARTITION_NAME: None})
    return nnx.split_rngs(splits=num_layers)(stack)(rngs)


def unstack_layers(layers: Layer) -> list[Layer]:
    """Return the individual layers of a stack."""
    graphdef, params = nnx.split(layers)
    num_layers = jax.tree.leaves(params)[0].shape[0]
    parts = (jax.tree.map(lambda x, i=i: x[i], params) for i in range(num_layers))
    return [nnx.merge(graphdef, part) for part in parts]


def apply_layers(
    layers: nnx.Module,
    x: Float[Array, "B T D"],
    *layer_args: Array | SequenceIds,
    positions: Int[Array, "B P"] | None = None,
    key: PRNGKeyArray | None,
    execution: Execution,
) -> Float[Array, "B P D"]:
    """Apply stacked layers one after the other, in a scan; `layer_args` are passed to each.

    With `positions` [B, P], the last layer computes its output only there, [B, P, D].
    """
    graphdef, params = nnx.split(layers)
    params = cast_params(params, execution.dtype)
    num_layers = jax.tree.leaves(params)[0].shape[0]
    keys = None if key is None else jax.random.split(key, num_layers)

    def body(x, layer, **last):
        params, key = layer
        layer = nnx.merge(graphdef, params)
        return layer(x, *layer_args, key=key, execution=execution, **last), None

    if execution.remat:
        # In a rolled scan CSE cannot undo the recomputation; unrolled, it has to be prevented.
        body = jax.checkpoint(body, prevent_cse=execution.unroll)
    stacked = (params, keys)
    unroll = num_layers if execution.unroll else 1
    if positions is None:
        return jax.lax.scan(body, x, stacked, unroll=unroll)[0]
    all_but_last = jax.tree.map(lambda x: x[:-1], stacked)
    x, _ = jax.lax.scan(body, x, all_but_last, unroll=unroll)
    return body(x, jax.tree.map(lambda x: x[-1], stacked), positions=positions)[0]
