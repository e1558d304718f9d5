"""The LSTM: a cell `(state, x) -> (state, y)`, and one scan of it over a padded batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from bert_jax.nn.initializers import Initializer


class LSTMState(NamedTuple):
    """State that an LSTM carries from step to step."""

    c: Float[Array, "B H"]
    """Memory cell."""
    h: Float[Array, "B H"]
    """Hidden state, which is also the output."""


class LSTMCell(nnx.Module):
    """Long short-term memory with a forget gate (Gers et al. 2000).

    The kernels [D, 4H] and [H, 4H] and the bias [4H] hold the gates in the order i, f, g, o, as in
    PyTorch.

    Args:
        in_width: width D of the input.
        width: width H of state and output.
        init: initial values of both kernels, `(key, shape) -> array`.
        rngs: RNG streams of the initial values.
        forget_bias: initial value of the forget gate's bias; 1 lets gradients pass at first
            (Jozefowicz et al. 2015).
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        init: Initializer,
        rngs: nnx.Rngs,
        forget_bias: float = 0.0,
    ):
        self.x_kernel = nnx.Param(init(rngs.params(), (in_width, 4 * width)))
        self.h_kernel = nnx.Param(init(rngs.params(), (width, 4 * width)))
        bias = jnp.zeros((4, width)).at[1].set(forget_bias)
        self.bias = nnx.Param(bias.reshape(-1))

    @property
    def width(self) -> int:
        """H."""
        return self.h_kernel.shape[0]

    def init_state(self, batch_size: int) -> LSTMState:
        """Return the state before the first step: zeros."""
        zeros = jnp.zeros((batch_size, self.width))
        return LSTMState(zeros, zeros)

    def __call__(
        self, state: LSTMState, x: Float[Array, "B D"]
    ) -> tuple[LSTMState, Float[Array, "B H"]]:
        """Take one step; return the next state and its h."""
        state = self.step(state, self.project(x))
        return state, state.h

    def project(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch G"]:
        """Return x W_x + b, the input's part of all gates (G = 4H), of one step or of all steps."""
        y = x @ self.x_kernel[...]
        return y + jnp.broadcast_to(self.bias[...], y.shape)

    def step(self, state: LSTMState, projected: Float[Array, "B G"]) -> LSTMState:
        """Return c' = σ(f) c + σ(i) tanh(g) and h' = σ(o) tanh(c'), from the projected input."""
        i, f, g, o = jnp.split(projected + state.h @ self.h_kernel[...], 4, axis=-1)
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return LSTMState(c, jax.nn.sigmoid(o) * jnp.tanh(c))


def run_lstm(
    cell: LSTMCell,
    x: Float[Array, "B T D"],
    mask: Bool[Array, "B T"],
    *,
    state: LSTMState | None = None,
    reverse: bool = False,
) -> tuple[LSTMState, Float[Array, "B T H"]]:
    """Run a cell over padded sequences.

    Where the mask is false the state does not change and the output is 0: the last state is that at
    each sequence's own end (at its beginning, if `reverse`), however much padding follows.

    Args:
        cell: the cell.
        x: inputs.
        mask: true on tokens, false on padding.
        state: the state before the first step; None is zeros.
        reverse: run from the last token to the first.

    Returns:
        The last state, and the output of every step, in the order of the inputs.
    """

    def step(state: LSTMState, inputs: tuple[Array, Array]) -> tuple[LSTMState, Array]:
        projected, is_token = inputs
        new = cell.step(state, projected)
        kept = jax.tree.map(lambda n, s: jnp.where(is_token[:, None], n, s), new, state)
        return LSTMState(*kept), jnp.where(is_token[:, None], new.h, 0)

    projected_TBG = cell.project(x).swapaxes(0, 1)
    first = cell.init_state(x.shape[0]) if state is None else state
    last, outputs_TBH = jax.lax.scan(step, first, (projected_TBG, mask.T), reverse=reverse)
    return last, outputs_TBH.swapaxes(0, 1)
