"""Attention kernels of libraries that never store the attention probabilities [B, H, T, S]."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from bert_jax.nn.layout import SequenceIds

LANES = 128  # splash attention works on blocks of a multiple of it


def cudnn_attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B S H K"],
    v: Float[Array, "B S H K"],
    mask: Bool[Array, "#B 1 #T S"],
) -> Float[Array, "B T H K"]:
    """Attend by cuDNN's kernel, on NVIDIA GPUs; the mask becomes a bias [B, 1, T, S].

    With jax < 0.11.1, the last for Python 3.11, the backward pass also writes a gradient of the
    bias, which nobody reads (https://github.com/jax-ml/jax/pull/39512).
    """
    mask = jnp.broadcast_to(mask, (*mask.shape[:2], q.shape[1], k.shape[1]))  # as cuDNN wants
    return jax.nn.dot_product_attention(q, k, v, mask=mask, implementation="cudnn")


def splash_attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H K"],
    ids: SequenceIds,
    *,
    interpret: bool = False,
) -> Float[Array, "B T H K"]:
    """Attend by Pallas' splash attention, on TPUs; T must be a multiple of 128.

    `interpret=True` runs it on any platform, slowly.
    """
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    length, num_heads, width = q.shape[1:]
    block = max(size for size in (128, 256, 384, 512) if length % size == 0)
    sizes = splash.BlockSizes(
        block_q=block,
        block_kv=block,
        block_kv_compute=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_kv_dkv_compute=block,
        use_fused_bwd_kernel=True,
    )
    kernel = splash.make_splash_mha_single_device(
        splash.MultiHeadMask([splash.FullMask((length, length))] * num_heads),
        block_sizes=sizes,
        interpret=interpret,
    )
    q_BHTK, k_BHTK, v_BHTK = (x.transpose(0, 2, 1, 3) for x in (q / math.sqrt(width), k, v))
    segment_ids = splash.SegmentIds(ids.queries, ids.keys)
    context_BHTK: Array = jax.vmap(kernel)(q_BHTK, k_BHTK, v_BHTK, segment_ids=segment_ids)  # pyrefly: ignore[bad-assignment]
    return context_BHTK.transpose(0, 2, 1, 3)


SEQUENCE_KERNELS: dict[str, Callable[..., Array]] = {"splash": splash_attention}
"""Kernels that take the sequence ids of packed rows instead of a mask."""
