"""Open a run: directory, log, checkpoints, and the state to start from."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax

from bert_jax.config import LoopConfig, fields_that_may_differ, resume_identity
from bert_jax.errors import EXIT_PREEMPTED
from bert_jax.models.functional import count_parameters
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.parallel import DataParallel
from bert_jax.training.rundir import run_lock
from bert_jax.training.runlog import Log, RunLog
from bert_jax.training.step import TrainState


class RunConfig(Protocol):
    """Fields that every training script's configuration has."""

    @property
    def tensorboard(self) -> bool:
        """Also write TensorBoard files."""
        ...

    @property
    def allow_unverified(self) -> bool:
        """Resume from a checkpoint even if its manifest is missing."""
        ...


class Run(NamedTuple):
    """An open run; `fit` trains it."""

    folder: Path
    """The run's directory."""
    loop: LoopConfig
    """Length of the run, and intervals of logging, evaluation and checkpoints."""
    state: TrainState
    """The state before the next step, as `parallel.put_state` lays it out."""
    start_step: int
    """Steps already taken; 0 in a new run."""
    log: Log
    """Log of metrics and messages."""
    checkpoints: Checkpoints
    """Checkpoints of the run."""
    parallel: DataParallel
    """Devices that the run uses."""
    carry: dict[str, Any]
    """Latest `Evaluation.carry` up to `start_step`; empty in a new run, and without a manifest."""


@contextlib.contextmanager
def open_run(
    folder: Path,
    config: RunConfig,
    loop: LoopConfig,
    new_state: Callable[[], TrainState],
    *,
    parallel: DataParallel,
    hashes: Mapping[str, str | None],
) -> Iterator[Run]:
    """Open a run: lock its directory, and restore its newest good checkpoint if there is one.

    All processes of a job call it together. On exit it waits for a save in progress and closes the
    log, even if the body raises.

    Args:
        folder: the run's directory; created if absent.
        config: the run's configuration, a dataclass. A checkpoint must agree with all of its
            fields but those declared `MayDiffer`.
        loop: length and intervals.
        new_state: builds the state of a new run; also traced for its shapes by `jax.eval_shape`.
        parallel: devices to use.
        hashes: hashes of data, tokenizer and so on, which a checkpoint must agree on too.

    Raises:
        ConfigError: another process has locked the directory, or a checkpoint comes from another
            run.
        CheckpointError: there are checkpoints, and none is good.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(run_lock(folder))
        log = stack.enter_context(RunLog(folder, config, loop.steps, config.tensorboard))
        checkpoints = stack.enter_context(
            Checkpoints(
                folder / "checkpoints",
                {**resume_identity(config), **hashes},
                loop.keep_last,
                may_differ=fields_that_may_differ(config),
                allow_unverified=config.allow_unverified,
                log=log.info,
            )
        )
        restored = checkpoints.restore(_abstract(new_state, parallel))
        state, start_step, extra = restored or (new_state(), 0, {})
        log.resume(start_step)
        size, devices = count_parameters(state.params), parallel.num_devices
        log.info(f"{folder}: {size:,} parameters on {devices} device(s), from step {start_step:,}")
        yield Run(
            folder=folder,
            loop=loop,
            state=parallel.put_state(state),
            start_step=start_step,
            log=log,
            checkpoints=checkpoints,
            parallel=parallel,
            carry=extra.get("carry", {}),
        )


def report_preemption(step: int) -> int:
    """Tell the user how to resume a run that a signal interrupted; return the exit code."""
    print(f"saved step {step:,}; re-run the same command to resume")
    return EXIT_PREEMPTED


def _abstract(new_state: Callable[[], TrainState], parallel: DataParallel) -> TrainState:
    """Return shapes, dtypes and shardings of the state, without computing it."""

    def with_sharding(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=parallel.replicated)

    return jax.tree.map(with_sharding, jax.eval_shape(new_state))
