"""The training loop."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.config import LoopConfig
from bert_jax.errors import DivergedError
from bert_jax.training.parallel import DataParallel
from bert_jax.training.run import Run
from bert_jax.training.runlog import Log, with_progress
from bert_jax.training.signals import StopSignal
from bert_jax.training.step import TrainState
from bert_jax.training.watchdog import Watchdog

MAX_IN_FLIGHT = 2  # more can deadlock collectives on CPU, and gains nothing


class Evaluation(NamedTuple):
    """Result of an evaluation."""

    values: dict[str, float]
    """Metrics to record."""
    criterion: float | tuple[float, ...]
    """The checkpoint with the lowest criterion is the best; tuples are compared in order."""
    stop: bool = False
    """End the run here, as if it were the last step."""
    carry: dict[str, Any] | None = None
    """JSON values for later evaluations, saved with every checkpoint from here on; on resume they
    are `Run.carry`. None keeps those of the previous evaluation."""


class Outcome(NamedTuple):
    """Result of `fit`."""

    state: TrainState
    step: int
    """Steps taken."""
    interrupted: bool
    """True if a signal ended the run before its last step."""


def fit(
    run: Run,
    train_step: Callable[[Any, Any], tuple[Any, Any]],
    batches: Iterator[dict[str, np.ndarray]],
    *,
    schedule: Callable[[int], Any],
    evaluate: Callable[[Any, int], Evaluation] | None,
    add_metrics: Callable[[int, dict[str, float]], dict[str, float]] = lambda step, values: values,
) -> Outcome:
    """Train from `run.start_step` to `run.loop.steps`, evaluating and saving along the way.

    Args:
        run: from `open_run`; its state is donated. The last step is always saved.
        train_step: as returned by `parallel.shard`.
        batches: host batches, the first one for step `run.start_step` (from 0).
        schedule: learning rate of each step, counted from 0, for the log.
        evaluate: `(params, steps taken) -> Evaluation`; its criterion selects the best checkpoint,
            among the steps that are both evaluated and saved. None: no evaluations, and the newest
            checkpoint is the best.
        add_metrics: `(steps taken, mean metrics) -> values` to record, for example with a speed;
            "steps_per_second" is among the metrics.

    Raises:
        DivergedError: after `loop.max_bad_steps` skipped steps in a row.
    """
    state, step, loop, carry = run.state, run.start_step, run.loop, run.carry
    parallel, log, checkpoints = run.parallel, run.log, run.checkpoints

    def complete(step: int, values: dict[str, float]) -> dict[str, float]:
        return with_progress(add_metrics(step, values), step, loop.steps, schedule)

    meter = Meter(loop, log, parallel, complete, run.sums)
    with (
        StopSignal() as stop,
        Watchdog(loop.watchdog_seconds, run.folder / "train.log") as watchdog,
    ):
        while step < loop.steps:
            state, metrics = train_step(state, parallel.put_batch(next(batches)))
            step += 1
            meter.add(step, metrics)
            watchdog.beat()

            last, evaluated = step == loop.steps, None
            if evaluate and (last or step % loop.eval_every == 0):
                meter.finish()
                evaluated = evaluate(state.params, step)
                log.eval(step, evaluated.values)
                last = last or evaluated.stop
                carry = carry if evaluated.carry is None else evaluated.carry
                meter.start_clock()
                watchdog.beat()
            interrupted = stop.requested(step)
            if last or interrupted or step % loop.checkpoint_every == 0:
                meter.finish()
                extra: dict[str, Any] = {"step": step, "carry": carry, "shares": run.shares}
                extra["sums"] = meter.sums
                extra["metric"] = evaluated.criterion if evaluated else None
                extra["evaluation"] = evaluated.values if evaluated else {}
                checkpoints.save(step, parallel.get_state(state), extra, block=last or interrupted)
                meter.start_clock()
                watchdog.beat()
            if last or interrupted:
                return Outcome(state, step, interrupted=not last)
    return Outcome(state, step, interrupted=False)  # resumed after its last step: nothing to do


def sum_metrics(
    eval_step: Callable[[Any, Any], Any],
    params: Any,
    batches: Iterable[dict[str, np.ndarray]],
    parallel: DataParallel,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sum each metric's (sum, count) pair over all batches."""
    totals: dict[str, Any] = {}
    for batch in batches:
        sums = parallel.get(eval_step(params, parallel.put_batch(batch)))
        for name, (total, count) in sums.items():
            total_before, count_before = totals.get(name, (0, 0))
            totals[name] = total_before + total, count_before + count
    return totals


class Meter:
    """Average step metrics between log records, with at most MAX_IN_FLIGHT steps running.

    Args:
        loop: the run's length and intervals.
        log: what the records are written to.
        parallel: the devices that compute the metrics.
        add_metrics: `(step, means) -> values` to record.
        sums: `sums` of the run that is resumed, so that the next record covers its last steps too.
    """

    def __init__(
        self,
        loop: LoopConfig,
        log: Log,
        parallel: DataParallel,
        add_metrics: Callable,
        sums: Mapping[str, Sequence[float]],
    ):
        self._loop, self._log, self._parallel, self._add_metrics = loop, log, parallel, add_metrics
        self._in_flight: deque[tuple[int, Any]] = deque()
        self._sums = {name: np.array(pair, np.float64) for name, pair in sums.items()}
        self._compiled = False
        self.start_clock()

    def start_clock(self) -> None:
        """Restart timing, so that work since `finish`, such as an evaluation, does not count."""
        self._start, self._timed_steps = time.perf_counter(), 0

    def add(self, step: int, metrics: Any) -> None:
        """Add the metrics of a step that may still be running."""
        self._in_flight.append((step, metrics))
        if not self._compiled:
            began = self._start
            self.finish()
            self._compiled = True
            seconds = time.perf_counter() - began
            self._log.info(f"first step took {seconds:.1f} s, compilation included")
            self.start_clock()
        while len(self._in_flight) > MAX_IN_FLIGHT:
            self._take()

    @property
    def sums(self) -> dict[str, list[float]]:
        """Sum and count of each metric since the last record, of the steps that `finish` saw."""
        return {name: pair.tolist() for name, pair in self._sums.items()}

    def finish(self) -> None:
        """Wait for all steps in flight."""
        while self._in_flight:
            self._take()

    def _take(self) -> None:
        step, metrics = self._in_flight.popleft()
        values = {
            name: np.array(pair, np.float64) for name, pair in self._parallel.get(metrics).items()
        }
        self._timed_steps += self._compiled  # the first step, which compiles, does not count
        bad_steps = int(values.pop("bad_steps")[0])
        if bad_steps:
            self._log.info(f"step {step}: NaN or Inf in the loss or gradient; update skipped")
            if bad_steps >= self._loop.max_bad_steps:
                raise DivergedError(
                    f"{bad_steps} steps in a row up to step {step} gave NaN or Inf",
                    "finite losses and gradients",
                    "check the data, or start a new run with a lower learning rate: --name NEW",
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
        self._log.train(step, self._add_metrics(step, means))
        self._sums = {}
        self.start_clock()
