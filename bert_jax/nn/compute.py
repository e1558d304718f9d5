"""Settings of one computation: types, kernels, memory. None of them changes what is computed."""

import dataclasses
from typing import Any, Literal

import jax

AttentionKernel = Literal["xla", "cudnn"]


@dataclasses.dataclass(frozen=True)
class Compute:
    """How a model is run; hashable, so it can be a static argument of a jitted function."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of activations and matrix products; softmax, layer norm and losses stay in float32."""
    attention: AttentionKernel = "xla"
    """Attention kernel, from `choose_attention`."""
    remat: bool = False
    """Recompute each layer in the backward pass instead of keeping its activations."""
    unroll: bool = False
    """Unroll the loop over layers."""


PLAIN = Compute()


def cast_kernels(params: Any, dtype: str) -> Any:
    """Casts all parameters but those of layer norms: once per step, ahead of the loop."""

    def cast(path, x):
        is_norm = any("norm" in jax.tree_util.keystr((key,)) for key in path)
        return x if is_norm else x.astype(dtype)

    return jax.tree_util.tree_map_with_path(cast, params)
