"""Scaled dot-product attention: one function, and the choice of its kernel."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from bert_jax.errors import ConfigError
from bert_jax.nn.compute import AttentionKernel
from bert_jax.nn.dropout import dropout
from bert_jax.nn.linear import scores

LARGE_NEGATIVE = -1e30  # a finite number: rows without any key stay finite


def dot_product_attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B S H K"],
    v: Float[Array, "B S H K"],
    mask: Bool[Array, "#B 1 #T S"],
    *,
    implementation: AttentionKernel = "xla",
    key: PRNGKeyArray | None = None,
    dropout_rate: float = 0.0,
) -> Float[Array, "B T H K"]:
    """softmax(q kᵀ / √K) v, where `mask` is true (Vaswani et al. 2017, equation 1).

    Scores and softmax are float32. cuDNN's kernel drops no attention probabilities, so a key and
    a rate above 0 take the written-out path, whatever the implementation.

    Args:
        q: queries.
        k: keys.
        v: values.
        mask: true where a query may look at a key.
        implementation: "xla" or "cudnn", from `choose_attention`.
        key: randomness of the dropout; None in evaluation.
        dropout_rate: share of attention probabilities that is dropped.
    """
    if implementation == "cudnn" and (key is None or dropout_rate == 0):
        mask = jnp.broadcast_to(mask, (*mask.shape[:2], q.shape[1], k.shape[1]))  # as cuDNN wants
        return jax.nn.dot_product_attention(q, k, v, mask=mask, implementation="cudnn")
    probs_BHTS = attention_weights(q, k, mask).astype(v.dtype)
    v_BHSK = v.transpose(0, 2, 1, 3)
    mixed_BHTK = jnp.einsum("BHTS,BHSK->BHTK", dropout(probs_BHTS, key, dropout_rate), v_BHSK)
    return mixed_BHTK.transpose(0, 2, 1, 3)


def attention_weights(
    q: Float[Array, "B T H K"], k: Float[Array, "B S H K"], mask: Bool[Array, "#B 1 #T S"]
) -> Float[Array, "B H T S"]:
    """The softmax itself: which key each query looks at.

    Heads are brought to the front before the product, not by it: on CPUs that is faster.
    """
    q_BHTK, k_BHSK = q.transpose(0, 2, 1, 3), k.transpose(0, 2, 1, 3)
    scores_BHTS = scores(q_BHTK, k_BHSK) / math.sqrt(q.shape[-1])
    return jax.nn.softmax(jnp.where(mask, scores_BHTS, LARGE_NEGATIVE), axis=-1)


def choose_attention(
    wanted: str, *, platform: str, dtype: str, dropout_rate: float
) -> AttentionKernel:
    """Chooses the attention kernel before anything is compiled.

    cuDNN works on NVIDIA GPUs, in bfloat16, without dropout on attention probabilities.

    Args:
        wanted: "auto", "xla" or "cudnn".
        platform: "cuda", "rocm", "cpu" or "tpu", as in `device_platform()`.
        dtype: type of the matrix products.
        dropout_rate: dropout on attention probabilities while training.

    Raises:
        ConfigError: "cudnn" is asked for where it cannot work.
    """
    obstacles = {
        f"platform {platform!r}": platform != "cuda",
        f"dtype {dtype!r}": dtype != "bfloat16",
        f"attention_probs_dropout_prob {dropout_rate}": dropout_rate > 0,
    }
    reasons = [reason for reason, holds in obstacles.items() if holds]
    if wanted == "cudnn" and reasons:
        raise ConfigError(
            f"attention = 'cudnn' cannot run with {', '.join(reasons)}",
            "an NVIDIA GPU, dtype 'bfloat16' and attention_probs_dropout_prob 0",
            "pass attention 'auto' or 'xla'",
        )
    return "cudnn" if wanted in ("auto", "cudnn") and not reasons else "xla"


def device_platform() -> str:
    """The platform of the default device: "cpu", "tpu", "cuda" or "rocm"."""
    device = jax.devices()[0]
    if device.platform != "gpu":
        return device.platform
    return "rocm" if "rocm" in device.client.platform_version.lower() else "cuda"
