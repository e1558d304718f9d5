"""Initial values of a pretraining model that differ from BERT's own."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from bert_jax.config import PretrainConfig
from bert_jax.models.functional import Params
from bert_jax.nn.initializers import TRUNCATED_STDDEV

OUTPUTS = {("attention", "out", "kernel"), ("feed_forward", "down", "kernel")}


def start_kernels(params: Params, config: PretrainConfig) -> Params:
    """Return initial parameters with the kernels as `kernel_start` and `zero_outputs` want them.

    Kernels are scaled, not drawn anew, so that a seed draws the same numbers under all options.

    Args:
        params: parameters as `build`'s `init` draws them.
        config: the run.
    """

    def start(path: tuple[Any, ...], x: Array) -> Array:
        names = tuple(str(getattr(key, "key", key)) for key in path)
        if names[-1] != "kernel":
            return x
        ends_block = names[-3:] in OUTPUTS
        if config.zero_outputs and ends_block:
            return jnp.zeros_like(x)
        if config.kernel_start == "fan_in":
            drawn = TRUNCATED_STDDEV * config.model.kernel_stddev(ends_block)
            return x / (math.sqrt(_fan_in(names, x.shape)) * drawn)
        return x

    return jax.tree_util.tree_map_with_path(start, params)


def _fan_in(names: tuple[str, ...], shape: tuple[int, ...]) -> int:
    shape = shape[1:] if "layers" in names else shape
    return math.prod(shape[:-1]) if names[-2] == "out" else shape[0]  # [H, K, D]
