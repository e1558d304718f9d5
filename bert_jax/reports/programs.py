"""What the compiler says of a run's programs (`--dry-run`)."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from bert_jax.errors import ConfigError
from bert_jax.training.ahead import (
    Compilation,
    Program,
    compile_ahead,
    read_collectives,
    read_custom_calls,
    read_host_calls,
)
from bert_jax.training.machine import Machine
from bert_jax.training.parallel import DataParallel

HostBatch = dict[str, np.ndarray]
FUSED = ("mha", "tpu_custom_call")  # in the names of fused attention kernels: cuDNN's, Pallas'


def describe_compilation(compilation: Compilation) -> list[str]:
    """Describe a program: its memory, communication and attention kernel."""
    lines = [str(compilation)]
    if compilation.executable is not None:
        program = compilation.executable.as_text() or ""
        calls = read_custom_calls(program)
        attention = ", ".join(name for name in calls if any(part in name for part in FUSED))
        lines.append(f"  collectives: {read_collectives(program)}")
        lines.append(f"  attention: {attention or 'XLA'}")
        if waits := read_host_calls(program):
            lines.append(f"  waits for the host: {', '.join(waits)}")
    return lines


def largest_batches(batches: Iterable[HostBatch]) -> list[HostBatch]:
    """Return the batch with the most numbers, and the one with the longest rows if it is another.

    They decide whether a run of batches of many shapes fits into memory.
    """
    most: HostBatch = {}
    longest: HostBatch = {}
    for batch in batches:
        if _size(batch) > _size(most):
            most = batch
        if (_length(batch), _size(batch)) > (_length(longest), _size(longest)):
            longest = batch
    return [most] if _shapes(most) == _shapes(longest) else [most, longest]


def report_training(
    train_step: Callable[..., Any],
    init_state: Callable[..., Any],
    batches: Iterable[HostBatch],
    parallel: DataParallel,
    machine: Machine,
) -> int:
    """Compile a training step for the largest of some batches, and print what it takes.

    Args:
        train_step: as `parallel.shard` returns it.
        init_state: `(parameter key, dropout key) -> state`.
        batches: global batches of the run.
        parallel: devices that it was built for.
        machine: the same devices.

    Returns:
        The exit code: 0, or 2 if a batch does not fit into memory.
    """
    print(f"devices  {machine}")
    key = jax.random.key(0)
    state = parallel.state_shapes(jax.eval_shape(init_state, key, key))
    fits = True
    for batch in largest_batches(batches):
        num_rows, length = next(iter(batch.values())).shape[:2]
        shapes = (state, parallel.batch_shapes(batch))
        name = f"training step, {num_rows} rows of {length} tokens"
        compilation = compile_ahead(Program(name, train_step, shapes), machine)
        print("\n".join(describe_compilation(compilation)))
        fits = fits and compilation.fits
    return 0 if fits else ConfigError.exit_code


def _size(batch: HostBatch) -> int:
    return sum(x.size for x in batch.values())


def _length(batch: HostBatch) -> int:
    return max((x.shape[1] for x in batch.values() if x.ndim > 1), default=0)


def _shapes(batch: HostBatch) -> dict[str, tuple[int, ...]]:
    return {name: x.shape for name, x in batch.items()}
