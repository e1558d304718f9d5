"""What the layers of a stack compute, for those who look inside."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
from flax import nnx
from jaxtyping import Array, Float

from bert_jax.nn.execution import cast_params

Visited = TypeVar("Visited")


class Trace(NamedTuple):
    """What the layers of an encoder compute, in float32 and without dropout, to look inside."""

    states: Float[Array, "states B T D"]
    """The embeddings, and the output of each layer: L + 1 states."""
    weights: Float[Array, "L B H T T"]
    """How much each token attends to each other one; meaningless for padding."""


def visit_layers(
    layers: nnx.Module, x: Array, visit: Callable[[Any, Array], tuple[Array, Visited]]
) -> tuple[Array, Visited]:
    """Apply stacked layers one after the other, in float32, and look at what each receives.

    Args:
        layers: of `stack_layers`.
        x: input of the first layer.
        visit: `(layer, input) -> (output, what to return of this layer)`.

    Returns:
        The output of the last layer, and what `visit` returned, stacked along a first axis.
    """
    graphdef, params = nnx.split(layers)
    return jax.lax.scan(
        lambda x, params: visit(nnx.merge(graphdef, params), x), x, cast_params(params, "float32")
    )
