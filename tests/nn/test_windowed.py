"""Attention in blocks against attention with a mask: the same numbers, for fewer operations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.nn.layout import SequenceIds
from bert_jax.nn.transformer import dot_product_attention, gather_queries
from bert_jax.nn.windowed import (
    MIN_BLOCK,
    block_size,
    blockwise_attention,
    computes_blocks,
    window_mask,
)


def make_row(length, seed=0):
    """Return queries, keys and values, and the ids of packed sequences and of padding."""
    rng = np.random.default_rng(seed)
    qkv = jnp.asarray(rng.normal(size=(3, 2, length, 2, 4)), jnp.float32)
    ends = np.sort(rng.integers(1, length, (2, 3)), axis=1)
    ids = 1 + (np.arange(length)[None, :, None] >= ends[:, None]).sum(-1)
    ids = jnp.asarray(np.where(ids == 4, 0, ids), jnp.int32)  # the last part is padding
    return qkv, SequenceIds(ids, ids)


def masked(q, k, v, ids, window):
    return dot_product_attention(q, k, v, window_mask(ids, window, None))


def test_the_mask_by_hand():
    ids = jnp.array([[1, 1, 1, 2]])
    mask = window_mask(SequenceIds(ids, ids), 1, None)[0, 0].astype(int)
    assert mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    positions = jnp.array([[2, 0]])
    some = window_mask(gather_queries(SequenceIds(ids, ids), positions), 1, positions)
    assert some[0, 0].astype(int).tolist() == [mask[2].tolist(), mask[0].tolist()]
    keys = jnp.array([[True, False, True, True]])[:, None, None]
    assert window_mask(keys, 1, None)[0, 0, 1].astype(int).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("length", "window"), [(2 * MIN_BLOCK, 8), (150, 5), (MIN_BLOCK - 3, 0), (130, 41), (40, 100)]
)
def test_blocks_compute_what_the_mask_does(length, window):
    (q, k, v), ids = make_row(length)

    def score(attend, q, k, v):
        return (attend(q, k, v, ids, window) * jnp.cos(jnp.arange(4.0))[None, None, None]).sum()

    for attend in (masked, blockwise_attention):
        assert attend(q, k, v, ids, window).shape == q.shape
    run = [
        jax.value_and_grad(functools.partial(score, attend), argnums=(0, 1, 2))(q, k, v)
        for attend in (masked, blockwise_attention)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-5), *run)


def test_blocks_compute_no_scores_that_are_thrown_away():
    """At eight blocks a row, three eighths of the operations of a row with a mask are left."""
    window, length = 64, 8 * 64
    assert block_size(window) == window
    (q, k, v), ids = make_row(length)
    flops = [
        jax.jit(attend, static_argnums=4).lower(q, k, v, ids, window).compile().cost_analysis()
        for attend in (masked, blockwise_attention)
    ]
    products = 2 * 2 * 2 * 2 * length * 4  # of q k and of weights and values, a key
    assert flops[0]["flops"] >= products * length
    assert flops[1]["flops"] < 0.5 * flops[0]["flops"]


def test_blocks_are_used_where_they_save_scores():
    assert not computes_blocks(64, 256)
    assert computes_blocks(64, 257)
    assert not computes_blocks(4, 4 * MIN_BLOCK)
