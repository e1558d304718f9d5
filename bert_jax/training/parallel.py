"""How the program of one device is spread over all devices: the only place that knows.

`shard_map` is the default; `pmap`, which JAX keeps in maintenance mode (it has itself become a
jitted shard_map since JAX 0.8), runs the same program and is tested equal.
"""

import os
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.errors import ConfigError
from bert_jax.training.step import AXIS
from bert_jax.training.watchdog import beat


def start_processes() -> None:
    """Joins the other processes of this job."""
    count, number = os.environ.get("JAX_NUM_PROCESSES"), os.environ.get("JAX_PROCESS_ID")
    if count is None or number is None:  # Slurm, MPI, Kubernetes, TPU pods: JAX asks them
        jax.distributed.initialize()
    else:
        jax.distributed.initialize(num_processes=int(count), process_id=int(number))


class DataParallel:
    """Spreads batches over every device of every process; parameters are replicated.

    Args:
        mode: "shard_map" (`jax.jit(jax.shard_map(...))`) or "pmap" (`jax.pmap`).
        num_devices: devices to use; None takes all.
    """

    def __init__(
        self, mode: Literal["shard_map", "pmap"] = "shard_map", num_devices: int | None = None
    ):
        self.mode = mode
        devices = jax.devices()[:num_devices]
        self.mesh = jax.make_mesh(
            (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
        )
        self.num_devices = len(devices)
        self._local = [d for d in devices if d.process_index == jax.process_index()]

    def check_batch_size(self, batch_size: int, accumulation_steps: int = 1) -> None:
        """Refuses a global batch that cannot be cut evenly over devices and accumulation steps."""
        parts = self.num_devices * accumulation_steps
        if batch_size % parts:
            raise ConfigError(
                f"batch_size = {batch_size} cannot be cut into {parts} equal parts",
                f"a multiple of {self.num_devices} devices x {accumulation_steps} accumulation"
                " steps",
                f"pass a batch size of {max(parts, batch_size // parts * parts)}",
            )

    def spread(self, step: Callable, donate: bool = True) -> Callable:
        """Compiles `step(state, batch)`, the program of one device, for all of them.

        What `step` returns must be equal on every device. With `donate` the old state's memory is
        reused for the new one.
        """
        donated = (0,) if donate else ()
        if self.mode == "pmap":
            return jax.pmap(step, AXIS, devices=self._pmap_devices(), donate_argnums=donated)
        # check_vma=False gives pmap's semantics: gradients are this device's own until `psum`.
        mapped = jax.shard_map(
            step, mesh=self.mesh, in_specs=(P(), P(AXIS)), out_specs=P(), check_vma=False
        )
        return jax.jit(mapped, donate_argnums=donated)

    def _pmap_devices(self) -> list[jax.Device] | None:
        return None if self.num_devices == jax.device_count() else self._local

    @property
    def replicated(self) -> NamedSharding:
        """The sharding of arrays that every device holds whole, as checkpoints want them."""
        return NamedSharding(self.mesh, P())

    def put_state(self, state: Any) -> Any:
        """Lays a state (host arrays, or arrays with `replicated` sharding) out for `spread`."""
        if self.mode == "pmap":
            local_mesh = jax.sharding.Mesh(np.array(self._local), (AXIS,))
            sharding = NamedSharding(local_mesh, P(AXIS))

            def stack(x):
                x = np.asarray(_first_shard(x))
                return jax.device_put(np.broadcast_to(x, (len(self._local), *x.shape)), sharding)

            return jax.tree.map(stack, state)
        return jax.tree.map(lambda x: _replicate(x, self.replicated), state)

    def get_state(self, state: Any) -> Any:
        """The state as global replicated arrays, whatever the mode."""
        if self.mode == "pmap":
            return jax.tree.map(
                lambda x: _replicate(np.asarray(_first_shard(x))[0], self.replicated), state
            )
        return state

    def put_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """Puts this process's rows of a global batch onto its devices."""
        if self.mode == "pmap":
            n = len(self._local)
            return jax.tree.map(lambda x: x.reshape(n, x.shape[0] // n, *x.shape[1:]), batch)
        sharding = NamedSharding(self.mesh, P(AXIS))
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)

    def get(self, values: Any) -> Any:
        """Brings a replicated result, for example metrics, to the host; waits for it.

        Each is a beat for the watchdog: so a long evaluation is no hang while batches come out.
        """
        arrays = jax.tree.map(lambda x: np.asarray(_first_shard(x)), values)
        beat()
        return jax.tree.map(lambda x: x[0], arrays) if self.mode == "pmap" else arrays


def _first_shard(x: Any) -> Any:
    return x.addressable_shards[0].data if isinstance(x, jax.Array) else x


def _replicate(x: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(x, jax.Array) and x.sharding == sharding:
        return x
    return jax.make_array_from_process_local_data(sharding, np.asarray(_first_shard(x)))
