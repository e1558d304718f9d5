"""Equal layers as one, every parameter with a leading axis: compiled once, run in a scan."""

from collections.abc import Callable
from typing import TypeVar

import jax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from bert_jax.nn.compute import Compute, cast_kernels

Layer = TypeVar("Layer", bound=nnx.Module)


def stack_layers(build: Callable[[nnx.Rngs], Layer], num_layers: int, rngs: nnx.Rngs) -> Layer:
    """Builds all layers as one, every parameter with a leading axis L."""
    stack = nnx.vmap(build, in_axes=0, out_axes=0, transform_metadata={nnx.PARTITION_NAME: None})
    return nnx.split_rngs(splits=num_layers)(stack)(rngs)


def unstack_layers(layers: Layer) -> list[Layer]:
    """The single layers of a stack."""
    graphdef, params = nnx.split(layers)
    num_layers = jax.tree.leaves(params)[0].shape[0]
    parts = (jax.tree.map(lambda x, i=i: x[i], params) for i in range(num_layers))
    return [nnx.merge(graphdef, part) for part in parts]


def apply_layers(
    layers: nnx.Module,
    x: Float[Array, "B T D"],
    *others: Array,
    at: Int[Array, "B P"] | None = None,
    key: PRNGKeyArray | None,
    compute: Compute,
) -> Float[Array, "B T D"]:
    """Applies stacked layers one after the other, in a scan; `others` go to each as they are.

    With `at`, positions in each row, the last layer gives their vectors [B, P, D] alone.
    """
    graphdef, params = nnx.split(layers)
    params = cast_kernels(params, compute.dtype)
    num_layers = jax.tree.leaves(params)[0].shape[0]
    keys = None if key is None else jax.random.split(key, num_layers)

    def body(x, layer, **last):
        params, key = layer
        return nnx.merge(graphdef, params)(x, *others, key=key, compute=compute, **last), None

    if compute.remat:
        # Inside a loop nothing can undo the recomputation; unrolled, the barriers are needed.
        body = jax.checkpoint(body, prevent_cse=compute.unroll)
    stacked = (params, keys)
    unroll = num_layers if compute.unroll else 1
    if at is None:
        return jax.lax.scan(body, x, stacked, unroll=unroll)[0]
    before = jax.tree.map(lambda x: x[:-1], stacked)
    x, _ = jax.lax.scan(body, x, before, unroll=unroll)
    return body(x, jax.tree.map(lambda x: x[-1], stacked), at=at)[0]
