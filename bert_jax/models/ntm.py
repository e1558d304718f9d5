"""The Neural Turing Machine: a controller with a memory that it addresses by content and by place.

Equations are numbered as in Graves, Wayne and Danihelka 2014 (arXiv:1410.5401). A weighting w is a
distribution over the N rows of the memory M. Here `H` counts heads, `D` is the controller's width,
`X` and `Y` are channels of input and output, and `R` is the number of shifts.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from bert_jax.config import AddressingConfig, NTMConfig
from bert_jax.nn.linear import Linear, uniform
from bert_jax.nn.recurrent import LSTMCell, run_lstm

BLANK = 1e-6  # what an unwritten memory holds: constant, as that converges fastest (Collier 2018)
FIRST_ROW = 8.0  # the logit of row 0 at the start: equal rows and weightings would never part
HEAD_GAIN = 1.4


# --- Addressing -----------------------------------------------------------------------------------


def content_weighting(
    k: Float[Array, "B H M"], β: Float[Array, "B H"], memory: Float[Array, "B N M"]
) -> Float[Array, "B H N"]:
    """softmax over rows of β times the cosine of key and row (equations 5, 6).

    A row or key of zeros is at right angles to everything.
    """
    dots = jnp.einsum("bhm,bnm->bhn", k, memory)
    lengths = _length(k)[:, :, None] * _length(memory)[:, None, :]
    return jax.nn.softmax(β[..., None] * dots / lengths, axis=-1)


def _length(x: Float[Array, "*batch M"]) -> Float[Array, "*batch"]:
    return jnp.sqrt(jnp.square(x).sum(axis=-1) + 1e-16)  # not 0, where the root has no gradient


def interpolate(
    w_c: Float[Array, "B H N"], g: Float[Array, "B H"], w_prev: Float[Array, "B H N"]
) -> Float[Array, "B H N"]:
    """g w_c + (1 - g) w_prev (equation 7)."""
    return g[..., None] * w_c + (1 - g[..., None]) * w_prev


def shift(w_g: Float[Array, "B H N"], s: Float[Array, "B H R"]) -> Float[Array, "B H N"]:
    """w(i) = Σ_j w_g(j) s(i - j), indices modulo N (equation 8).

    `s` is a distribution over moves from -(R-1)/2 to (R-1)/2; a positive one goes to higher rows.
    """
    most = s.shape[-1] // 2
    moved = [jnp.roll(w_g, move, axis=-1) for move in range(-most, most + 1)]
    return jnp.einsum("rbhn,bhr->bhn", jnp.stack(moved), s)


def sharpen(w: Float[Array, "B H N"], γ: Float[Array, "B H"]) -> Float[Array, "B H N"]:
    """w(i)^γ / Σ_j w(j)^γ (equation 9), by logarithms: no power overflows or divides by 0."""
    return jax.nn.softmax(γ[..., None] * jnp.log(w + 1e-12), axis=-1)


class Address(NamedTuple):
    """What the controller says to each head: where to look."""

    k: Float[Array, "B H M"]
    """Key."""
    β: Float[Array, "B H"]
    """Key strength, > 0."""
    g: Float[Array, "B H"]
    """Interpolation gate, in (0, 1)."""
    s: Float[Array, "B H R"]
    """Distribution over shifts."""
    γ: Float[Array, "B H"]
    """Sharpening, ≥ 1."""


def address(
    to: Address, w_prev: Float[Array, "B H N"], memory: Float[Array, "B N M"], on: AddressingConfig
) -> Float[Array, "B H N"]:
    """The whole addressing (figure 2); steps that are not `on` are left out."""
    w = content_weighting(to.k, to.β, memory) if on.content else w_prev
    if on.interpolation:
        w = interpolate(w, to.g, w_prev)
    if on.shift:
        w = shift(w, to.s)
    return sharpen(w, to.γ) if on.sharpening else w


# --- Reading and writing --------------------------------------------------------------------------


def read(w: Float[Array, "B H N"], memory: Float[Array, "B N M"]) -> Float[Array, "B H M"]:
    """r = Σ_i w(i) M(i) for each head (equation 2)."""
    return jnp.einsum("bhn,bnm->bhm", w, memory)


def write(
    memory: Float[Array, "B N M"],
    w: Float[Array, "B H N"],
    e: Float[Array, "B H M"],
    a: Float[Array, "B H M"],
) -> Float[Array, "B N M"]:
    """M(i) (1 - w(i) e) + w(i) a (equations 3, 4): all heads erase, then all add."""
    for head in range(w.shape[1]):
        memory = memory * (1 - w[:, head, :, None] * e[:, head, None, :])
    return memory + jnp.einsum("bhn,bhm->bnm", w, a)


# --- The machine ----------------------------------------------------------------------------------


def xavier(fan_in: int, fan_out: int, gain: float) -> Any:
    """Uniform with a limit of gain √(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return uniform(gain * math.sqrt(6 / (fan_in + fan_out)))


class Heads(nnx.Module):
    """Heads of one kind: what the controller says to them, and where they stand at first.

    Args:
        config: the machine's shape.
        num_heads: H.
        extra: numbers beyond the address that a head gets: 0 to read, 2 M to write.
        rngs: randomness of the kernel.
    """

    def __init__(self, config: NTMConfig, num_heads: int, extra: int, rngs: nnx.Rngs):
        size, num_shifts = config.slot_width, 2 * config.max_shift + 1
        # k [M], β, g, s [R], γ, and what is left: e [M] and a [M], or nothing
        self.cuts = tuple(np.cumsum([size, 1, 1, num_shifts, 1]).tolist())
        width = self.cuts[-1] + extra
        init = xavier(config.width, width, HEAD_GAIN)
        self.emit = Linear((config.width,), (num_heads, width), init, rngs)
        self.start = nnx.Param(jnp.zeros((num_heads, config.slots)).at[:, 0].set(FIRST_ROW))

    def __call__(self, h: Float[Array, "B D"]) -> tuple[Address, Float[Array, "B H E"]]:
        """The address from the controller's output, and the numbers beyond it as they are."""
        k, β, g, s, γ, rest = jnp.split(self.emit(h), self.cuts, axis=-1)
        β, g, γ = (x[..., 0] for x in (β, g, γ))
        softplus, sigmoid = jax.nn.softplus, jax.nn.sigmoid
        return Address(k, softplus(β), sigmoid(g), jax.nn.softmax(s), 1 + softplus(γ)), rest

    def start_weighting(self, num_rows: int) -> Float[Array, "B H N"]:
        """The weighting before the first step, which is learned."""
        w = jax.nn.softmax(self.start[...], axis=-1)
        return jnp.broadcast_to(w, (num_rows, *w.shape))


class FeedForwardCell(nnx.Module):
    """A controller without a state of its own: h = tanh(x W + b)."""

    def __init__(self, in_width: int, width: int, rngs: nnx.Rngs):
        self.dense = Linear((in_width,), (width,), xavier(in_width, width, 1.0), rngs)

    def start(self, num_rows: int) -> tuple[()]:
        """Nothing."""
        return ()

    def __call__(
        self, state: tuple[()], x: Float[Array, "B X"]
    ) -> tuple[tuple[()], Float[Array, "B D"]]:
        """One step."""
        return state, jnp.tanh(self.dense(x))


def lstm_controller(in_width: int, width: int, rngs: nnx.Rngs) -> LSTMCell:
    """An LSTM whose kernels start uniform within ±5 / √(in + out), as in pytorch-ntm."""
    return LSTMCell(in_width, width, uniform(5 / math.sqrt(in_width + width)), rngs)


class NTMState(NamedTuple):
    """What a Neural Turing Machine carries from step to step."""

    controller: Any
    """The controller's own state."""
    memory: Float[Array, "B N M"]
    w_read: Float[Array, "B H N"]
    """Weighting of each read head."""
    w_write: Float[Array, "B H N"]
    """Weighting of each write head."""
    r: Float[Array, "B H M"]
    """What the read heads have read."""


class NTMCell(nnx.Module):
    """One step of the machine, `(state, x) -> (state, logits)`.

    All heads address the memory as the step before left it, and what is written now can be read at
    the next step.

    Args:
        config: the machine's shape.
        in_width: channels X of the input.
        out_width: channels Y of the output.
        rngs: randomness of the kernels.
    """

    def __init__(self, config: NTMConfig, in_width: int, out_width: int, rngs: nnx.Rngs):
        self.slots, self.slot_width = config.slots, config.slot_width
        self.addressing = config.addressing
        read_width, width = config.read_heads * config.slot_width, config.width
        cell = lstm_controller if config.controller == "lstm" else FeedForwardCell
        self.controller = cell(in_width + read_width, width, rngs)
        self.readers = Heads(config, config.read_heads, 0, rngs)
        self.writers = Heads(config, config.write_heads, 2 * config.slot_width, rngs)
        fan_in = width + read_width
        self.out = Linear((fan_in,), (out_width,), xavier(fan_in, out_width, 1.0), rngs)

    def start(self, num_rows: int) -> NTMState:
        """The state before the first step: a blank memory, and the heads where they start."""
        memory = jnp.full((num_rows, self.slots, self.slot_width), BLANK)
        w_read, w_write = (
            heads.start_weighting(num_rows) for heads in (self.readers, self.writers)
        )
        return NTMState(
            self.controller.start(num_rows), memory, w_read, w_write, read(w_read, memory)
        )

    def __call__(
        self, state: NTMState, x: Float[Array, "B X"]
    ) -> tuple[NTMState, Float[Array, "B Y"]]:
        """One step."""
        rows, memory = x.shape[0], state.memory
        seen = jnp.concatenate([x, state.r.reshape(rows, -1)], axis=-1)
        controller, h = self.controller(state.controller, seen)

        to_read, _ = self.readers(h)
        w_read = address(to_read, state.w_read, memory, self.addressing)
        r = read(w_read, memory)

        to_write, rest = self.writers(h)
        w_write = address(to_write, state.w_write, memory, self.addressing)
        e, a = jnp.split(rest, 2, axis=-1)
        memory = write(memory, w_write, jax.nn.sigmoid(e), a)

        logits = self.out(jnp.concatenate([h, r.reshape(rows, -1)], axis=-1))
        return NTMState(controller, memory, w_read, w_write, r), logits


class Weightings(NamedTuple):
    """Where the heads stood at every step."""

    read: Float[Array, "B T H N"]
    write: Float[Array, "B T H N"]


def run_ntm(cell: NTMCell, x: Float[Array, "B T X"]) -> tuple[Float[Array, "B T Y"], Weightings]:
    """Runs a machine over sequences that start together.

    A step sees only those before it, so padding belongs behind a sequence and changes nothing.
    Under `jax.jit`, weightings that are not used are not kept.
    """

    def step(state: NTMState, x: Array) -> tuple[NTMState, tuple[Array, Array, Array]]:
        state, logits = cell(state, x)
        return state, (logits, state.w_read, state.w_write)

    _, outputs = jax.lax.scan(step, cell.start(x.shape[0]), x.swapaxes(0, 1))
    logits, w_read, w_write = (y.swapaxes(0, 1) for y in outputs)
    return logits, Weightings(w_read, w_write)


# --- Models of sequences --------------------------------------------------------------------------


class NeuralTuringMachine(nnx.Module):
    """Sequences of vectors to sequences of logits, by a memory."""

    def __init__(self, config: NTMConfig, in_width: int, out_width: int, rngs: nnx.Rngs):
        self.cell = NTMCell(config, in_width, out_width, rngs)

    def __call__(self, x: Float[Array, "B T X"]) -> Float[Array, "B T Y"]:
        """Logits of every step."""
        return run_ntm(self.cell, x)[0]


class SequenceLSTM(nnx.Module):
    """The same without a memory: an LSTM, and an affine map of its output."""

    def __init__(self, config: NTMConfig, in_width: int, out_width: int, rngs: nnx.Rngs):
        width = config.width
        self.cell = lstm_controller(in_width, width, rngs)
        self.out = Linear((width,), (out_width,), xavier(width, out_width, 1.0), rngs)

    def __call__(self, x: Float[Array, "B T X"]) -> Float[Array, "B T Y"]:
        """Logits of every step."""
        _, h = run_lstm(self.cell, x, jnp.ones(x.shape[:2], bool))
        return self.out(h)
