"""Open a run: directory, log, checkpoints, and the state to start from."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax

from bert_jax.config import (
    LoopConfig,
    default_identity,
    fields_that_may_differ,
    resume_identity,
    to_json,
)
from bert_jax.errors import EXIT_PREEMPTED
from bert_jax.filesystem import write_text
from bert_jax.models.functional import count_parameters
from bert_jax.remote.addresses import address
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.identity import OTHER_RUN_ADVICE, ResumeRules, job_identity
from bert_jax.training.parallel import DataParallel
from bert_jax.training.processes import agree, require_agreement
from bert_jax.training.rundir import command_line, publishing, redact, require_utf8, run_lock
from bert_jax.training.runlog import Log, RunLog, print_or_discard
from bert_jax.training.step import TrainState
from bert_jax.training.trackers import WandbTracker
from bert_jax.training.watchdog import Watchdog


class RunConfig(Protocol):
    """Fields that every training script's configuration has."""

    @property
    def tensorboard(self) -> bool:
        """Also write TensorBoard files."""
        ...

    @property
    def wandb(self) -> str | None:
        """Also send the metrics to this project of Weights & Biases."""
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
    sums: dict[str, list[float]]
    """Metrics of the steps between the last log record and `start_step`, as sums and counts."""
    shares: dict[str, int]
    """Number of devices and of accumulation steps, into which batches are split."""


@contextlib.contextmanager
def open_run(
    folder: Path,
    config: RunConfig,
    loop: LoopConfig,
    new_state: Callable[[], TrainState],
    *,
    parallel: DataParallel,
    hashes: Mapping[str, str | None],
    advice: str = OTHER_RUN_ADVICE,
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
        advice: the next step for the user if a checkpoint does not agree.

    Raises:
        ConfigError: another process has locked the directory, a checkpoint comes from another
            run, or the processes of the job disagree on their options, data or versions.
        CheckpointError: there are checkpoints, and none is good.
    """
    require_utf8(folder)
    with contextlib.ExitStack() as stack:
        opening = stack.enter_context(contextlib.ExitStack())
        opening.enter_context(Watchdog(loop.watchdog_seconds, folder / "train.log"))
        require_agreement(job_identity(config, hashes))
        stack.enter_context(run_lock(folder))
        stack.enter_context(publishing(folder))
        tracker = WandbTracker(config.wandb, config) if config.wandb else None
        log = stack.enter_context(RunLog(folder, loop.steps, config.tensorboard, tracker))
        checkpoints = stack.enter_context(
            Checkpoints(
                folder / "checkpoints",
                {**resume_identity(config), **hashes},
                loop.keep_last,
                keep_every=loop.keep_every,
                rules=ResumeRules(fields_that_may_differ(config), default_identity(config), advice),
                allow_unverified=config.allow_unverified,
                log=log.info,
            )
        )
        restored = checkpoints.restore(_abstract(new_state, parallel))
        state, start_step, extra = restored or (new_state(), 0, {})
        agree(lambda: write_text(folder / "config.json", redact(to_json(config))))
        log.resume(start_step)
        size, devices = count_parameters(state.params), parallel.num_devices
        about = f"{size:,} parameters on {devices} device(s), from step {start_step:,}"
        log.info(f"{address(folder)}: {about}")
        accumulation_steps = getattr(config, "accumulation_steps", 1)
        shares = {"devices": devices, "accumulation_steps": accumulation_steps}
        if extra.get("shares", shares) != shares:
            log.info(describe_new_shares(extra["shares"], shares))
        run = Run(
            folder=folder,
            loop=loop,
            state=parallel.put_state(state),
            start_step=start_step,
            log=log,
            checkpoints=checkpoints,
            parallel=parallel,
            carry=extra.get("carry", {}),
            sums=extra.get("sums", {}),
            shares=shares,
        )
        opening.close()
        yield run


def describe_new_shares(saved: dict[str, int], given: dict[str, int]) -> str:
    """Return the line for a run that is resumed with its batches split otherwise."""
    changes = ", ".join(
        f"{name} = {value} instead of {saved.get(name)}"
        for name, value in given.items()
        if saved.get(name) != value
    )
    return (
        f"resumed with {changes}: without dropout, numbers differ by rounding alone; dropout draws"
        " other masks from here on, so they are not those of a run without the change"
    )


def report_preemption(step: int) -> int:
    """Tell the user how to resume a run that a signal interrupted; return the exit code."""
    with contextlib.suppress(OSError):  # a closed terminal may be what stopped the run
        again = command_line(["python", *sys.argv])
        print_or_discard(f"saved step {step:,}; re-run the same command to resume\nnext: {again}")
    return EXIT_PREEMPTED


def _abstract(new_state: Callable[[], TrainState], parallel: DataParallel) -> TrainState:
    """Return shapes, dtypes and shardings of the state, without computing it."""

    def with_sharding(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=parallel.replicated)

    return jax.tree.map(with_sharding, jax.eval_shape(new_state))
