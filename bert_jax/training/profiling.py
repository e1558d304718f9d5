"""A trace of some steps of a run, for XProf and TensorBoard."""

import contextlib
from collections.abc import Callable, Iterator

import jax

from bert_jax.config import LoopConfig
from bert_jax.errors import ConfigError
from bert_jax.training.run import Run

FOLDER = "profile"


class Profiler(contextlib.AbstractContextManager):
    """Context manager that traces the steps `loop.profile_steps`, in the first process.

    The trace holds host and devices, and is written to `profile/` in the run's directory:
    `tensorboard --logdir RUN/profile`, with the plugin "profile", or `xprof` opens it. If the run
    ends while it is recorded, the steps so far are written.

    Args:
        run: the run.
        wait: waits for all steps that the devices still compute.

    Raises:
        ConfigError: the run ends before these steps.
    """

    def __init__(self, run: Run, wait: Callable[[], object]):
        self._steps = run.loop.steps_to_profile
        self._run, self._wait, self._tracing = run, wait, False
        if self._steps is None:
            return
        require_steps(run.loop)
        if run.start_step >= self._steps[0]:
            run.log.info(
                f"profile_steps = {run.loop.profile_steps}: the run is at step {run.start_step:,} "
                "already, nothing is traced"
            )
            self._steps = None

    def __exit__(self, *exception: object) -> None:
        self._stop()

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Annotate a step, numbered from 1; start or end the trace where it is due."""
        if self._steps is None:
            yield
            return
        first, last = self._steps
        if number == first:
            self._wait()
            if self._run.parallel.is_first_process:
                jax.profiler.start_trace(self._run.folder / FOLDER)
                self._tracing = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield
        if number == last:
            self._wait()
            self._stop()

    def _stop(self) -> None:
        if self._tracing:
            self._tracing = False
            jax.profiler.stop_trace()
            folder = self._run.folder / FOLDER
            self._run.log.info(f"trace in {folder}: tensorboard --logdir {folder}")


def require_steps(loop: LoopConfig) -> None:
    """Check that the run has the steps to trace.

    Raises:
        ConfigError: it ends before them.
    """
    steps = loop.steps_to_profile
    if steps and steps[1] > loop.steps:
        raise ConfigError(
            f"profile_steps = {loop.profile_steps}, but the run has {loop.steps:,} steps",
            "steps of the run, such as 10:15",
            "pass other --profile-steps",
        )
