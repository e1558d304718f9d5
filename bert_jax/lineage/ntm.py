"""The Neural Turing Machine (Graves, Wayne and Danihelka 2014): a controller with a memory.

Its addressing, reading and writing are in `ntm_addressing`. A weighting w is a distribution over
the N rows of the memory M. Here `H` counts heads, `D` is the controller's width, `X` and `Y` are
channels of input and output, and `R` is the number of shifts.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from bert_jax.lineage.config import NTMConfig
from bert_jax.lineage.lstm import LSTMCell, run_lstm
from bert_jax.lineage.ntm_addressing import AddressingParams, address, read, write
from bert_jax.nn.initializers import uniform
from bert_jax.nn.linear import Linear

INITIAL_MEMORY = 1e-6  # a constant, as that converges fastest (Collier and Beel 2018)
INITIAL_ROW_LOGIT = 8.0  # of row 0: with equal rows, equal weightings would stay equal
HEAD_GAIN = 1.4

# --- Heads and controller -------------------------------------------------------------------------


def xavier(fan_in: int, fan_out: int, gain: float) -> Any:
    """Return a uniform initializer in ± gain √(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return uniform(gain * math.sqrt(6 / (fan_in + fan_out)))


class Heads(nnx.Module):
    """Read heads, or write heads: their addressing parameters and their learned first weighting.

    Args:
        config: the machine's shape.
        num_heads: H.
        num_extra: numbers that a head gets besides its addressing parameters: 0 to read, 2 M (the
            erase and add vectors) to write.
        rngs: RNG streams of the initial values.
    """

    def __init__(self, config: NTMConfig, num_heads: int, num_extra: int, rngs: nnx.Rngs):
        num_shifts = 2 * config.max_shift + 1
        # k [M], β, g, s [R], γ; then e [M] and a [M], or nothing
        self.splits = tuple(np.cumsum([config.slot_width, 1, 1, num_shifts, 1]).tolist())
        width = self.splits[-1] + num_extra
        init = xavier(config.width, width, HEAD_GAIN)
        self.emit = Linear((config.width,), (num_heads, width), init, rngs)
        self.start = nnx.Param(jnp.zeros((num_heads, config.slots)).at[:, 0].set(INITIAL_ROW_LOGIT))

    def __call__(self, h: Float[Array, "B D"]) -> tuple[AddressingParams, Float[Array, "B H E"]]:
        """Return addressing parameters and raw extra numbers from the controller's output."""
        k, β, g, s, γ, extra = jnp.split(self.emit(h), self.splits, axis=-1)
        β, g, γ = (x[..., 0] for x in (β, g, γ))
        softplus, sigmoid = jax.nn.softplus, jax.nn.sigmoid
        params = AddressingParams(k, softplus(β), sigmoid(g), jax.nn.softmax(s), 1 + softplus(γ))
        return params, extra

    def init_weighting(self, batch_size: int) -> Float[Array, "B H N"]:
        """Return the weighting before the first step, which is learned."""
        w = jax.nn.softmax(self.start[...], axis=-1)
        return jnp.broadcast_to(w, (batch_size, *w.shape))


class FeedForwardCell(nnx.Module):
    """A controller without state: h = tanh(x W + b)."""

    def __init__(self, in_width: int, width: int, rngs: nnx.Rngs):
        self.dense = Linear((in_width,), (width,), xavier(in_width, width, 1.0), rngs)

    def init_state(self, batch_size: int) -> tuple[()]:
        """Return the empty state."""
        return ()

    def __call__(
        self, state: tuple[()], x: Float[Array, "B X"]
    ) -> tuple[tuple[()], Float[Array, "B D"]]:
        """Take one step."""
        return state, jnp.tanh(self.dense(x))


def lstm_controller(in_width: int, width: int, rngs: nnx.Rngs) -> LSTMCell:
    """Build an LSTM whose kernels start uniform in ±5 / √(in + out), as in pytorch-ntm."""
    return LSTMCell(in_width, width, uniform(5 / math.sqrt(in_width + width)), rngs)


class NTMState(NamedTuple):
    """State that a Neural Turing Machine carries from step to step."""

    controller: Any
    """State of the controller."""
    memory: Float[Array, "B N M"]
    w_read: Float[Array, "B H N"]
    """Weighting of each read head."""
    w_write: Float[Array, "B H N"]
    """Weighting of each write head."""
    r: Float[Array, "B H M"]
    """Output of each read head."""


# --- The machine ----------------------------------------------------------------------------------


class NTMCell(nnx.Module):
    """One step of the machine, `(state, x) -> (state, logits)`.

    All heads address the memory as the previous step left it; what is written at this step can be
    read at the next one.

    Args:
        config: the machine's shape.
        in_width: channels X of the input.
        out_width: channels Y of the output.
        rngs: RNG streams of the initial values.
    """

    def __init__(self, config: NTMConfig, in_width: int, out_width: int, rngs: nnx.Rngs):
        self.num_slots, self.slot_width = config.slots, config.slot_width
        self.addressing = config.addressing
        read_width, width = config.read_heads * config.slot_width, config.width
        make_controller = lstm_controller if config.controller == "lstm" else FeedForwardCell
        self.controller = make_controller(in_width + read_width, width, rngs)
        self.readers = Heads(config, config.read_heads, 0, rngs)
        self.writers = Heads(config, config.write_heads, 2 * config.slot_width, rngs)
        fan_in = width + read_width
        self.out = Linear((fan_in,), (out_width,), xavier(fan_in, out_width, 1.0), rngs)

    def init_state(self, batch_size: int) -> NTMState:
        """Return the state before the first step: an unwritten memory, the first weightings."""
        memory = jnp.full((batch_size, self.num_slots, self.slot_width), INITIAL_MEMORY)
        w_read, w_write = (
            heads.init_weighting(batch_size) for heads in (self.readers, self.writers)
        )
        controller = self.controller.init_state(batch_size)
        return NTMState(controller, memory, w_read, w_write, read(w_read, memory))

    def __call__(
        self, state: NTMState, x: Float[Array, "B X"]
    ) -> tuple[NTMState, Float[Array, "B Y"]]:
        """Take one step."""
        batch_size, memory = x.shape[0], state.memory
        x_and_r = jnp.concatenate([x, state.r.reshape(batch_size, -1)], axis=-1)
        controller, h = self.controller(state.controller, x_and_r)

        params, _ = self.readers(h)
        w_read = address(params, state.w_read, memory, self.addressing)
        r = read(w_read, memory)

        params, extra = self.writers(h)
        w_write = address(params, state.w_write, memory, self.addressing)
        e, a = jnp.split(extra, 2, axis=-1)
        memory = write(memory, w_write, jax.nn.sigmoid(e), a)

        logits = self.out(jnp.concatenate([h, r.reshape(batch_size, -1)], axis=-1))
        return NTMState(controller, memory, w_read, w_write, r), logits


class Weightings(NamedTuple):
    """Weightings of the read heads and the write heads at every step."""

    read: Float[Array, "B T H N"]
    write: Float[Array, "B T H N"]


def run_ntm(cell: NTMCell, x: Float[Array, "B T X"]) -> tuple[Float[Array, "B T Y"], Weightings]:
    """Run a machine over sequences that start together.

    A step depends only on itself and those before it, so padding after a sequence changes nothing.
    Under `jax.jit`, weightings that are not used are not kept.
    """

    def step(state: NTMState, x: Array) -> tuple[NTMState, tuple[Array, Array, Array]]:
        state, logits = cell(state, x)
        return state, (logits, state.w_read, state.w_write)

    _, outputs = jax.lax.scan(step, cell.init_state(x.shape[0]), x.swapaxes(0, 1))
    logits, w_read, w_write = (y.swapaxes(0, 1) for y in outputs)
    return logits, Weightings(w_read, w_write)


# --- Models of sequences --------------------------------------------------------------------------


class NeuralTuringMachine(nnx.Module):
    """A Neural Turing Machine from sequences of vectors to sequences of logits."""

    def __init__(self, config: NTMConfig, in_width: int, out_width: int, rngs: nnx.Rngs):
        self.cell = NTMCell(config, in_width, out_width, rngs)

    def __call__(self, x: Float[Array, "B T X"]) -> Float[Array, "B T Y"]:
        """Return the logits of every step."""
        return run_ntm(self.cell, x)[0]


class SequenceLSTM(nnx.Module):
    """An LSTM without a memory, and an affine map of its output: the baseline."""

    def __init__(self, config: NTMConfig, in_width: int, out_width: int, rngs: nnx.Rngs):
        width = config.width
        self.cell = lstm_controller(in_width, width, rngs)
        self.out = Linear((width,), (out_width,), xavier(width, out_width, 1.0), rngs)

    def __call__(self, x: Float[Array, "B T X"]) -> Float[Array, "B T Y"]:
        """Return the logits of every step."""
        _, h = run_lstm(self.cell, x, jnp.ones(x.shape[:2], bool))
        return self.out(h)
