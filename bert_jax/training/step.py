"""The training step: a pure per-device function over the named axis "data"."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from bert_jax.models.functional import Params

Batch = dict[str, Array]
Metrics = dict[str, tuple[Array, Array]]

AXIS = "data"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class StepMetrics(Mapping[str, Any]):
    """Sum and count of each metric of a step, by name: a mapping to arrays [2].

    All are rows of one array, because each output of a program costs time on every device.
    """

    pairs: Any
    """float32 [metrics, 2]."""
    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    """Name of each row."""

    @classmethod
    def of(cls, metrics: Metrics) -> "StepMetrics":
        """Stack scalars, within a program."""
        pairs = [
            jnp.stack([jnp.asarray(x, jnp.float32) for x in pair]) for pair in metrics.values()
        ]
        return cls(jnp.stack(pairs), tuple(metrics))

    def __getitem__(self, name: str) -> Any:
        return self.pairs[self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class TrainState(NamedTuple):
    """State of training, as saved in checkpoints."""

    step: Array  # int32 []: steps taken, skipped ones included
    params: Params
    opt_state: Any
    bad_steps: Array  # int32 []: consecutive steps that were skipped for NaN or Inf
    # uint32 [2]: constant; kept in the state so that a new seed does not recompile
    dropout_key: Array


class Objective(NamedTuple):
    """A task's part of the step: three pure functions of one device's share of a batch.

    Losses are sums over examples divided by *global* counts, so that the sum over devices and
    accumulation steps is the loss of the whole batch, however unevenly the counts are distributed.
    """

    prepare: Callable[[Batch], Batch]
    """Work outside the gradient, for example masking."""
    counts: Callable[[Batch], dict[str, Array]]
    """The denominator of each loss term in this share."""
    loss: Callable[[Params, Batch, dict[str, Array], Array | None], tuple[Array, Metrics]]
    """(params, prepared batch, global counts, dropout key or None) → (this device's
    contribution to the loss, metrics as sums and counts)."""


def init_state(
    params: Params, optimizer: optax.GradientTransformation, dropout_key: Array
) -> TrainState:
    """Return the state before the first step."""
    zero = jnp.zeros((), jnp.int32)
    key_data = jax.random.key_data(dropout_key)
    return TrainState(zero, params, optimizer.init(params), zero, key_data)


def make_state_init(
    init: Callable[[Array], Params],
    optimizer: optax.GradientTransformation,
    sharding: jax.sharding.Sharding,
) -> Callable[[Array, Array], TrainState]:
    """Build `(parameter key, dropout key) -> state before the first step`, jitted.

    Args:
        init: from `init, merge = build(config)`.
        optimizer: the run's optimizer.
        sharding: sharding of every array, such as `DataParallel.replicated`.
    """
    return jax.jit(
        lambda key, dropout_key: init_state(init(key), optimizer, dropout_key),
        out_shardings=sharding,
    )


def make_train_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    accumulation_steps: int = 1,
    gradient_dtype: Literal["float32", "bfloat16"] = "float32",
) -> Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]:
    """Build the per-device training step `(state, batch) -> (state, metrics)`.

    A step whose loss or gradient is not finite changes neither parameters nor optimizer state. The
    randomness of dropout follows from the state's key, the step, the device and the microbatch.

    Args:
        objective: the task's functions.
        optimizer: an optax transformation; its update gets the gradient of the whole batch.
        accumulation_steps: microbatches into which the device's share is split, computed in turn.
        gradient_dtype: dtype in which gradients are summed over devices; each device's own sum over
            its rows and microbatches is float32, and so is all that follows.
    """

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        batch = objective.prepare(batch)
        counts = jax.lax.psum(objective.counts(batch), AXIS)
        key = jax.random.wrap_key_data(state.dropout_key)
        key = jax.random.fold_in(key, state.step)
        key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))
        differentiate = jax.value_and_grad(objective.loss, has_aux=True)

        def add_microbatch(total, x):
            index, rows = x
            microbatch_key = jax.random.fold_in(key, index)
            result = differentiate(state.params, rows, counts, microbatch_key)
            return jax.tree.map(jnp.add, total, result), None

        microbatches = jax.tree.map(
            lambda x: x.reshape(accumulation_steps, -1, *x.shape[1:]), batch
        )
        first = jax.tree.map(lambda x: x[0], microbatches)
        if accumulation_steps == 1:
            result = differentiate(state.params, first, counts, key)
        else:
            shapes = jax.eval_shape(differentiate, state.params, first, counts, key)
            zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
            xs = (jnp.arange(accumulation_steps), microbatches)
            result, _ = jax.lax.scan(add_microbatch, zeros, xs)
        (loss, metrics), grads = result
        loss, metrics = jax.lax.psum((loss, metrics), AXIS)
        grads = sum_over_devices(grads, gradient_dtype)

        grad_norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (params, opt_state),
            (state.params, state.opt_state),
        )
        bad_steps = jnp.where(finite, 0, state.bad_steps + 1)
        one = jnp.ones(())
        metrics |= {
            "loss": (loss, one),
            "grad_norm": (grad_norm, one),
            "bad_steps": (bad_steps, one),
        }
        state = TrainState(state.step + 1, params, opt_state, bad_steps, state.dropout_key)
        return state, StepMetrics.of(metrics)

    return train_step


def sum_over_devices(grads: Params, dtype: Literal["float32", "bfloat16"]) -> Params:
    """Sum the devices' gradients in a dtype, and return the sum in float32.

    In bfloat16 half as many bytes are sent. Each of n devices' terms g, and each partial sum, is
    rounded to 8 bits, so an element's error is at most about n · 2⁻⁸ · Σ|g|.
    """
    if dtype == "float32":
        return jax.lax.psum(grads, AXIS)
    rounded = jax.tree.map(lambda x: x.astype(dtype), grads)
    return jax.tree.map(lambda x: x.astype(jnp.float32), jax.lax.psum(rounded, AXIS))


def make_eval_step(objective: Objective) -> Callable[[Params, Batch], StepMetrics]:
    """Build the per-device evaluation step `(params, batch) -> metrics`: no dropout or gradient."""

    def eval_step(params: Params, batch: Batch) -> StepMetrics:
        batch = objective.prepare(batch)
        counts = jax.lax.psum(objective.counts(batch), AXIS)
        _, metrics = objective.loss(params, batch, counts, None)
        return StepMetrics.of(jax.lax.psum(metrics, AXIS))

    return eval_step
