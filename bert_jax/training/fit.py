"""The training loop: two calls from a script to the jitted step."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from bert_jax.config import LoopConfig
from bert_jax.errors import DivergedError
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.parallel import DataParallel
from bert_jax.training.signals import StopSignal
from bert_jax.training.step import TrainState
from bert_jax.training.watchdog import Watchdog

MAX_IN_FLIGHT = 2  # more steps under way at once can deadlock collectives on CPU, and gain nothing


class Log(Protocol):
    """Where the loop writes what happened; `runlog.RunLog` is one."""

    def train(self, step: int, values: dict[str, float]) -> None:
        """Records the mean metrics of the steps since the last record."""

    def eval(self, step: int, values: dict[str, float]) -> None:
        """Records an evaluation."""

    def say(self, text: str) -> None:
        """Prints a line."""


class Evaluation(NamedTuple):
    """What an evaluation found."""

    values: dict[str, float]
    """Metrics to record."""
    criterion: float | tuple[float, ...]
    """What decides which checkpoint is best: the lowest; of several numbers, one by one."""
    stop: bool = False
    """End the run here, as if it were the last step."""


class Outcome(NamedTuple):
    """How the loop ended."""

    state: TrainState
    step: int
    stopped: bool  # by a signal, before the last step


def fit(
    state: TrainState,
    train_step: Callable[[Any, Any], tuple[Any, Any]],
    batches: Iterator[dict[str, np.ndarray]],
    loop: LoopConfig,
    *,
    parallel: DataParallel,
    evaluate: Callable[[Any, int], Evaluation],
    checkpoints: Checkpoints,
    log: Log,
    describe: Callable[[int, dict[str, float]], dict[str, float]],
) -> Outcome:
    """Trains from `state.step` to `loop.steps`, evaluating and saving on the way.

    Args:
        state: as `parallel.put_state` lays it out; its memory is reused.
        train_step: as `parallel.spread` returns it.
        batches: host batches, the first one for step `state.step`.
        loop: how long, and what happens how often.
        parallel: puts batches on devices and brings metrics back.
        evaluate: `(params, step) -> Evaluation`; its criterion decides which checkpoint is
            best, of those that are saved and evaluated at the same step.
        checkpoints: where states go; the last step is always saved.
        log: where metrics go.
        describe: `(step, mean metrics) -> values` to record, for example with the learning rate;
            "steps_per_second" is among the metrics.

    Raises:
        DivergedError: after `loop.max_bad_steps` skipped steps in a row.
    """
    step = int(parallel.get(state.step))
    meter = Meter(loop, log, parallel, describe)
    stacks = checkpoints.folder.parent / "train.log"
    with StopSignal() as stop, Watchdog(loop.watchdog_seconds, stacks) as watchdog:
        while step < loop.steps:
            state, metrics = train_step(state, parallel.put_batch(next(batches)))
            step += 1
            meter.add(step, metrics)
            watchdog.beat()

            last, evaluated = step == loop.steps, None
            if last or step % loop.eval_every == 0:
                meter.finish()
                evaluated = evaluate(state.params, step)
                log.eval(step, evaluated.values)
                last = last or evaluated.stop
                meter.start_clock()
                watchdog.beat()
            stopped = stop.requested(step)
            if last or stopped or step % loop.checkpoint_every == 0:
                meter.finish()
                extra: dict[str, Any] = {"step": step}
                extra["metric"] = evaluated.criterion if evaluated else None
                extra["evaluation"] = evaluated.values if evaluated else {}
                checkpoints.save(step, parallel.get_state(state), extra, block=last or stopped)
                meter.start_clock()
                watchdog.beat()
            if last or stopped:
                return Outcome(state, step, stopped=not last)
    return Outcome(state, step, stopped=False)


def sum_metrics(
    eval_step: Callable[[Any, Any], Any],
    params: Any,
    batches: Iterable[dict[str, np.ndarray]],
    parallel: DataParallel,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Adds up an evaluation's metrics, sums and counts, over batches."""
    totals: dict[str, Any] = {}
    for batch in batches:
        sums = parallel.get(eval_step(params, parallel.put_batch(batch)))
        totals = {n: (totals.get(n, (0, 0))[0] + s, totals.get(n, (0, 0))[1] + c)
                  for n, (s, c) in sums.items()}  # fmt: skip
    return totals


class Meter:
    """Keeps at most two steps in flight, averages their metrics and watches for bad steps."""

    def __init__(self, loop: LoopConfig, log: Log, parallel: DataParallel, describe: Callable):
        self._loop, self._log, self._parallel, self._describe = loop, log, parallel, describe
        self._in_flight: deque[tuple[int, Any]] = deque()
        self._sums: dict[str, np.ndarray] = {}
        self._compiled = False
        self.start_clock()

    def start_clock(self) -> None:
        """Leaves what happened since `finish`, such as an evaluation, out of the speed."""
        self._start, self._timed_steps = time.perf_counter(), 0

    def add(self, step: int, metrics: Any) -> None:
        """Takes the metrics of a step that may still be running."""
        self._in_flight.append((step, metrics))
        if not self._compiled:
            began = self._start
            self.finish()
            self._compiled = True
            seconds = time.perf_counter() - began
            self._log.say(f"first step took {seconds:.1f} s, compilation included")
            self.start_clock()
        while len(self._in_flight) > MAX_IN_FLIGHT:
            self._take()

    def finish(self) -> None:
        """Waits for all steps in flight."""
        while self._in_flight:
            self._take()

    def _take(self) -> None:
        step, metrics = self._in_flight.popleft()
        values = {
            name: np.array(pair, np.float64) for name, pair in self._parallel.get(metrics).items()
        }
        self._timed_steps += self._compiled
        bad_steps = int(values.pop("bad_steps")[0])
        if bad_steps:
            self._log.say(f"step {step}: NaN or Inf in the loss or gradient; the step is skipped")
            if bad_steps >= self._loop.max_bad_steps:
                raise DivergedError(
                    f"{bad_steps} steps in a row up to step {step} gave NaN or Inf",
                    "finite losses and gradients",
                    "lower the learning rate or check the data; the last checkpoint is sound",
                )
        else:
            for name, pair in values.items():
                self._sums[name] = self._sums.get(name, 0) + pair
        if step % self._loop.log_every == 0 or step == self._loop.steps:
            self._record(step)

    def _record(self, step: int) -> None:
        means = {n: float(total / count) for n, (total, count) in self._sums.items() if count}
        if self._timed_steps:
            seconds = time.perf_counter() - self._start
            means["steps_per_second"] = self._timed_steps / max(seconds, 1e-9)
        self._log.train(step, self._describe(step, means))
        self._sums = {}
        self.start_clock()
