"""Attention within a window: each token sees those at a distance of at most `window`."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from bert_jax.nn.execution import AttentionKernel
from bert_jax.nn.layout import SequenceIds
from bert_jax.nn.transformer import Mask, dot_product_attention

MIN_BLOCK = 32  # queries; smaller blocks are no faster
PADDING = -1  # no sequence has this id


def block_size(window: int) -> int:
    """Return the number of queries in a block: at least the window, so that 3 blocks hold it."""
    return max(window, MIN_BLOCK)


def computes_blocks(window: int, num_queries: int) -> bool:
    """Return True if a row is long enough for blocks to be faster than a mask.

    They compute 3b scores a query; with their copies of the keys they are slower up to 4b keys, on
    CPUs.

    Args:
        window: largest distance of a query and its key.
        num_queries: number of queries: T, or fewer of a row of T tokens.
    """
    return num_queries > 4 * block_size(window)


def window_mask(
    mask: Mask, window: int, positions: Int[Array, "B P"] | None
) -> Bool[Array, "B 1 P T"]:
    """Return the mask of the pairs of queries and keys that are within the window too.

    Args:
        mask: true where a query attends to a key, [B, 1, T or 1, T]; or the ids of the sequences.
        window: largest distance of a query and its key in the row.
        positions: indices of the queries in the row; None: all T.
    """
    allowed = mask.mask if isinstance(mask, SequenceIds) else mask
    index = jnp.arange(allowed.shape[-1])
    queries = index[None, :, None] if positions is None else positions[:, :, None]
    near = jnp.abs(queries - index[None, None, :]) <= window
    return allowed & near[:, None]


def blockwise_attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H K"],
    ids: SequenceIds,
    window: int,
    *,
    implementation: AttentionKernel = "xla",
    key: PRNGKeyArray | None = None,
    dropout_rate: float = 0.0,
) -> Float[Array, "B T H K"]:
    """Return attention within a window and a sequence: each block of queries sees its neighbors.

    T · 3b scores a head are computed with blocks of b ≥ window, in place of T · T; the result is
    that of `dot_product_attention` with `window_mask`.

    Args:
        q: queries.
        k: keys.
        v: values.
        ids: ids of the sequences.
        window: largest distance of a query and its key.
        implementation: attention kernel, from `choose_execution`.
        key: PRNG key of dropout; None in evaluation.
        dropout_rate: share of attention probabilities that is dropped.
    """
    batch, length = q.shape[:2]
    size = block_size(window)
    q, k, v = (_as_blocks(x, size, 0) for x in (q, k, v))
    mask = _block_mask(ids, window, size)
    context = dot_product_attention(
        q,
        _with_neighbors(k, batch),
        _with_neighbors(v, batch),
        mask,
        implementation=implementation,
        key=key,
        dropout_rate=dropout_rate,
    )
    return context.reshape(batch, -1, *context.shape[2:])[:, :length]


def _as_blocks(x: Shaped[Array, "B T *rest"], size: int, fill: int) -> Shaped[Array, "N b *rest"]:
    """Cut rows into blocks, the last of which is filled up: [B · blocks, b, …]."""
    missing = -x.shape[1] % size
    padding = [(0, 0), (0, missing), *[(0, 0)] * (x.ndim - 2)]
    return jnp.pad(x, padding, constant_values=fill).reshape(-1, size, *x.shape[2:])


def _with_neighbors(x: Shaped[Array, "N b *rest"], batch: int) -> Shaped[Array, "N keys *rest"]:
    """Return each block between the one before and the one after it in its row."""
    blocks = x.reshape(batch, -1, *x.shape[1:])
    edge = jnp.zeros_like(blocks[:, :1])
    before = jnp.concatenate([edge, blocks[:, :-1]], axis=1)
    after = jnp.concatenate([blocks[:, 1:], edge], axis=1)
    three = jnp.concatenate([before, blocks, after], axis=2)
    return three.reshape(x.shape[0], -1, *x.shape[2:])


def _block_mask(ids: SequenceIds, window: int, size: int) -> Bool[Array, "N 1 b keys"]:
    """Return the mask of blocks of queries and the keys of three blocks."""
    batch = ids.queries.shape[0]
    queries, keys = (_as_blocks(x, size, PADDING) for x in ids)
    # The blocks beyond the ends of a row hold the id 0 of padding, so they are numbered from 1.
    seen = _with_neighbors(keys + 1, batch) - 1
    same = queries[:, :, None] == seen[:, None, :]
    distance = jnp.arange(size)[:, None] + size - jnp.arange(3 * size)[None, :]
    near = jnp.broadcast_to(jnp.abs(distance)[None] <= window, same.shape)
    return (same & near)[:, None]
