"""The order and the kinds of alternating layers, for every way in which a stack is cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.nn.execution import Execution
from bert_jax.nn.layout import gather_positions
from bert_jax.nn.prenorm import apply_alternating


class Shift(nnx.Module):
    """A layer with one number."""

    def __init__(self, value):
        self.value = nnx.Param(jnp.asarray(value))


def apply(layer, x, is_local, positions, key):
    """Double, add the layer's number, and negate where the layer has a window."""
    x = x if positions is None else gather_positions(x, positions)
    x = 2 * x + layer.value[...][None, None]
    return -x if is_local else x


@pytest.mark.parametrize("execution", [Execution(), Execution(unroll=True, remat=True)], ids=str)
@pytest.mark.parametrize("positions", [None, jnp.array([[2, 0]])], ids=["all", "some"])
@pytest.mark.parametrize(
    ("num_layers", "period"), [(1, 3), (2, 3), (4, 3), (5, 1), (6, 2), (8, 3), (9, 3), (3, 7)]
)
def test_layers_are_applied_in_order(num_layers, period, positions, execution):
    values = np.arange(1.0, num_layers + 1, dtype=np.float32)[:, None]
    x = jnp.array([[[1.0], [5.0], [2.0]]])
    actual = apply_alternating(
        Shift(values[0]),
        Shift(values[1:]) if num_layers > 1 else None,
        x,
        apply,
        period=period,
        positions=positions,
        key=jax.random.key(0),
        execution=execution,
    )
    for i, value in enumerate(values):
        x = 2 * x + float(value[0])
        x = -x if i % period else x
    expected = x if positions is None else gather_positions(x, positions)
    np.testing.assert_array_equal(actual, expected)
