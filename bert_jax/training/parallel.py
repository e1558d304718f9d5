"""Data parallelism: run a per-device function on all devices.

`shard_map` is the default. `pmap`, in maintenance mode since JAX 0.8 (it is now a jitted shard_map
itself), runs the same function and is tested to give the same results. No other module depends on
which of them is used.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.errors import ConfigError
from bert_jax.training.step import AXIS
from bert_jax.training.watchdog import beat


def start_processes() -> None:
    """Join the other processes of this job."""
    count, number = os.environ.get("JAX_NUM_PROCESSES"), os.environ.get("JAX_PROCESS_ID")
    if count is None or number is None:  # JAX detects Slurm, MPI, Kubernetes and TPU pods
        jax.distributed.initialize()
    else:
        jax.distributed.initialize(num_processes=int(count), process_id=int(number))


class DataParallel:
    """Batches sharded over every device of every process, with replicated parameters.

    Args:
        mode: "shard_map" (`jax.jit(jax.shard_map(...))`) or "pmap" (`jax.pmap`).
        num_devices: devices to use. None: all.
        devices: those to choose from; of an absent machine, to compile for it. None: all.
    """

    def __init__(
        self,
        mode: Literal["shard_map", "pmap"] = "shard_map",
        num_devices: int | None = None,
        devices: Sequence[jax.Device] | None = None,
    ):
        self.mode = mode
        devices = list(devices or jax.devices())[:num_devices]
        self.mesh = jax.make_mesh(
            (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
        )
        self.num_devices = len(devices)
        self._local = [d for d in devices if d.process_index == jax.process_index()]

    @property
    def process(self) -> tuple[int, int]:
        """Index of this process, and number of processes."""
        return jax.process_index(), jax.process_count()

    @property
    def is_first_process(self) -> bool:
        """True in process 0, which writes files."""
        return jax.process_index() == 0

    @property
    def compiles_ahead(self) -> bool:
        """False for pmap in several processes: it cannot be lowered from shapes."""
        return self.mode == "shard_map" or jax.process_count() == 1

    def check_batch_size(self, batch_size: int, accumulation_steps: int = 1) -> None:
        """Raise ConfigError if a global batch cannot be split over devices and accumulation."""
        parts = self.num_devices * accumulation_steps
        if batch_size % parts:
            raise ConfigError(
                f"batch_size = {batch_size} cannot be split into {parts} equal parts",
                f"a multiple of {self.num_devices} devices x {accumulation_steps} accumulation"
                " steps",
                f"pass a batch size of {max(parts, batch_size // parts * parts)}",
            )

    def shard(self, step: Callable, donate: bool = True) -> Callable:
        """Compile the per-device function `step(state, batch)` for all devices.

        The outputs of `step` must be equal on every device. With `donate`, the state's buffers are
        reused for the new state.
        """
        donated = (0,) if donate else ()
        if self.mode == "pmap":
            return jax.pmap(step, AXIS, devices=self._pmap_devices(), donate_argnums=donated)
        # check_vma=False gives pmap's semantics: gradients are per device until `psum`.
        mapped = jax.shard_map(
            step, mesh=self.mesh, in_specs=(P(), P(AXIS)), out_specs=P(), check_vma=False
        )
        return jax.jit(mapped, donate_argnums=donated)

    def _pmap_devices(self) -> list[jax.Device] | None:
        return None if self.num_devices == jax.device_count() else self._local

    @property
    def replicated(self) -> NamedSharding:
        """Sharding of replicated arrays, as checkpoints store them."""
        return NamedSharding(self.mesh, P())

    @property
    def _stacked(self) -> NamedSharding:
        """Sharding of what pmap takes: the first axis is over this process's devices."""
        return NamedSharding(jax.sharding.Mesh(np.array(self._local), (AXIS,)), P(AXIS))

    def put_state(self, state: Any) -> Any:
        """Put a state (host arrays, or arrays with `replicated` sharding) onto the devices."""
        if self.mode == "pmap":

            def stack(x):
                x = np.asarray(_first_shard(x))
                stacked = np.broadcast_to(x, (len(self._local), *x.shape))
                return jax.device_put(stacked, self._stacked)

            return jax.tree.map(stack, state)
        return jax.tree.map(lambda x: _replicate(x, self.replicated), state)

    def state_shapes(self, shapes: Any) -> Any:
        """Return the shapes that `put_state` gives a state, to compile for it."""
        if self.mode == "pmap":
            return jax.tree.map(lambda x: self._stacked_shape(x, x.shape), shapes)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.replicated), shapes
        )

    def batch_shapes(self, batch: Any) -> Any:
        """Return the shapes that `put_batch` gives a global batch, or its shapes."""
        if self.mode == "pmap":
            parts = self.num_devices
            return jax.tree.map(
                lambda x: self._stacked_shape(x, (x.shape[0] // parts, *x.shape[1:])), batch
            )
        sharding = NamedSharding(self.mesh, P(AXIS))
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), batch
        )

    def _stacked_shape(self, x: Any, shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((len(self._local), *shape), x.dtype, sharding=self._stacked)

    def get_state(self, state: Any) -> Any:
        """Return the state as global arrays with `replicated` sharding, in either mode."""
        if self.mode == "pmap":
            return jax.tree.map(
                lambda x: _replicate(np.asarray(_first_shard(x))[0], self.replicated), state
            )
        return state

    def put_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """Put this process's rows of a global batch onto its devices."""
        if self.mode == "pmap":
            n = len(self._local)
            batch = {k: x.reshape(n, x.shape[0] // n, *x.shape[1:]) for k, x in batch.items()}
            return jax.device_put(batch, self._stacked)
        sharding = NamedSharding(self.mesh, P(AXIS))
        if jax.process_count() == 1:
            return jax.device_put(batch, sharding)  # all arrays in one call
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)

    def get(self, values: Any) -> Any:
        """Wait for a replicated result, for example metrics, and copy it to the host.

        Each call is a beat for the watchdog, so that a long evaluation is not taken for a hang.
        """
        arrays = jax.device_get(jax.tree.map(_first_shard, values))  # copies overlap
        beat()
        return jax.tree.map(lambda x: x[0], arrays) if self.mode == "pmap" else arrays


def _first_shard(x: Any) -> Any:
    return x.addressable_data(0) if isinstance(x, jax.Array) else x


def _replicate(x: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(x, jax.Array) and x.sharding == sharding:
        return x
    return jax.make_array_from_process_local_data(sharding, np.asarray(_first_shard(x)))
