"""The training loop."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from bert_jax.config import LoopConfig
from bert_jax.errors import DivergedError
from bert_jax.progress import track
from bert_jax.training.feeding import MAX_IN_FLIGHT, compute_ahead, feed
from bert_jax.training.parallel import DataParallel
from bert_jax.training.profiling import Profiler
from bert_jax.training.run import Run
from bert_jax.training.runlog import Log, with_progress
from bert_jax.training.signals import StopSignal
from bert_jax.training.step import TrainState
from bert_jax.training.watchdog import Watchdog

MAX_UNREAD = 16  # steps whose metrics stay on the devices, so that NaN is noticed soon


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
        ConfigError: the run ends before `loop.profile_steps`.
        DivergedError: after `loop.max_bad_steps` skipped steps in a row.
    """
    state, step, loop, carry = run.state, run.start_step, run.loop, run.carry
    parallel, log, checkpoints = run.parallel, run.log, run.checkpoints

    def complete(step: int, values: dict[str, float]) -> dict[str, float]:
        return with_progress(add_metrics(step, values), step, loop.steps, schedule)

    meter = Meter(loop, log, parallel, complete, run.sums)
    fed = feed(itertools.islice(batches, max(0, loop.steps - step)), parallel)
    with (
        StopSignal() as stop,
        Watchdog(loop.watchdog_seconds, run.folder / "train.log") as watchdog,
        Profiler(run, meter.finish) as profiler,
    ):
        while step < loop.steps:
            with profiler.step(step + 1):
                state, metrics = train_step(state, next(fed))
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
    num_batches: int | None = None,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sum each metric's (sum, count) pair over all batches, whose number is for the progress."""
    totals: dict[str, Any] = {}
    results = compute_ahead(lambda batch: eval_step(params, batch), batches, parallel)
    for sums in track(
        results, "evaluating", num_batches, "batches", shown=parallel.is_first_process
    ):
        for name, (total, count) in sums.items():
            total_before, count_before = totals.get(name, (0, 0))
            totals[name] = total_before + total, count_before + count
    return totals


class Meter:
    """Average step metrics between log records, with at most MAX_IN_FLIGHT steps running.

    Metrics stay on the devices until a record needs them, or MAX_UNREAD steps have ended.

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
        self._unread: list[tuple[int, Any]] = []
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
            self._wait()

    @property
    def sums(self) -> dict[str, list[float]]:
        """Sum and count of each metric since the last record, of the steps that `finish` saw."""
        return {name: pair.tolist() for name, pair in self._sums.items()}

    def finish(self) -> None:
        """Wait for all steps in flight, and read their metrics."""
        while self._in_flight:
            self._wait()
        self._read()

    def _wait(self) -> None:
        """Wait for the oldest step in flight; read metrics where a record is due."""
        step, metrics = self._in_flight.popleft()
        jax.block_until_ready(metrics)
        self._unread.append((step, metrics))
        self._timed_steps += self._compiled  # the first step, which compiles, does not count
        due = step % self._loop.log_every == 0 or step == self._loop.steps
        if due or len(self._unread) == MAX_UNREAD:
            self._read()
        if due:
            self._record(step)

    def _read(self) -> None:
        """Add the metrics of the steps that have ended to the sums."""
        unread, self._unread = self._unread, []
        for step, metrics in zip(
            (step for step, _ in unread),
            self._parallel.get([metrics for _, metrics in unread]),
            strict=True,
        ):
            self._add_to_sums(step, metrics)

    def _add_to_sums(self, step: int, metrics: Mapping[str, Any]) -> None:
        bad_steps = int(metrics["bad_steps"][0])
        if not bad_steps:
            for name, pair in metrics.items():
                if name != "bad_steps":
                    self._sums[name] = self._sums.get(name, 0) + np.array(pair, np.float64)
            return
        self._log.info(f"step {step}: NaN or Inf in the loss or gradient; update skipped")
        if bad_steps >= self._loop.max_bad_steps:
            raise DivergedError(
                f"{bad_steps} steps in a row up to step {step} gave NaN or Inf",
                "finite losses and gradients",
                "check the data, or start a new run with a lower learning rate: --name NEW",
            )

    def _record(self, step: int) -> None:
        means = {n: float(total / count) for n, (total, count) in self._sums.items() if count}
        if self._timed_steps:
            seconds = time.perf_counter() - self._start
            means["steps_per_second"] = self._timed_steps / max(seconds, 1e-9)
        self._log.train(step, self._add_metrics(step, means))
        self._sums = {}
        self.start_clock()
