"""Plan of a run with a time budget (`--budget 3h`): how many steps this machine can do in it.

The run's own steps are timed on real batches, with a state that is thrown away; then the largest
number of steps is taken whose predicted time fits, so that the schedule ends when the time does.
"""

import bisect
import itertools
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.config import PretrainConfig, phase_spans, read_json
from bert_jax.config.duration import format_duration, parse_duration
from bert_jax.errors import ConfigError
from bert_jax.training.checkpoint_hashes import list_steps
from bert_jax.training.feeding import MAX_IN_FLIGHT, compute_ahead, feed
from bert_jax.training.identity import other_run_advice
from bert_jax.training.parallel import DataParallel
from bert_jax.training.processes import agree

RESERVE = 0.03  # of the budget, for a machine that gets slower
MEASURING = 0.05  # of the budget, at most, and a minute
MAX_MEASURING_SECONDS = 60.0
INTERRUPTIONS = 0.05  # of the budget, at most, for evaluations, and as much for checkpoints
MIN_STEPS = 20  # of a run
MIN_TIMED_STEPS, MAX_TIMED_EVAL_BATCHES = 5, 8
WARMUP = 0.1  # of the steps, at most


class Costs(NamedTuple):
    """Seconds that the parts of a run take on this machine."""

    start: float
    """Before the first step, compilation included."""
    steps: tuple[float, ...]
    """A step of each phase."""
    evaluations: tuple[float, ...]
    """An evaluation in each phase; 0 without held-out rows."""
    checkpoint: float
    """A checkpoint."""


class Plan(NamedTuple):
    """Length and intervals of a run."""

    steps: int
    """Steps of the whole run."""
    warmup_steps: int
    """Steps of linear warm-up: those of the configuration, at most a tenth of the run."""
    log_every: int
    """Steps between records."""
    eval_every: int
    """Steps between evaluations."""
    checkpoint_every: int
    """Steps between checkpoints."""

    def apply(self, config: PretrainConfig) -> PretrainConfig:
        """Return the configuration with the plan."""
        values = self._asdict()
        optimizer = replace(config.optimizer, warmup_steps=values.pop("warmup_steps"))
        if keep := config.loop.keep_every:
            every = self.checkpoint_every
            values["keep_every"] = every * math.ceil(keep / every)
        return replace(config, optimizer=optimizer, loop=replace(config.loop, **values))


def plan_steps(config: PretrainConfig, costs: Costs) -> Plan:
    """Plan the longest run that fits into `config.budget`.

    Raises:
        ConfigError: the budget is too short for a run of MIN_STEPS steps.
    """
    assert config.budget
    budget = parse_duration(config.budget, "--budget")
    limit = budget * (1 - RESERVE)

    def seconds(steps: int) -> float:
        return predict_seconds(plan_intervals(config, steps, costs, budget).apply(config), costs)

    most = 2 + int(limit / min(costs.steps))
    steps = bisect.bisect_right(range(1, most), limit, key=seconds)
    if steps < MIN_STEPS:
        needed = seconds(MIN_STEPS) / (1 - RESERVE)
        raise ConfigError(
            f"--budget {config.budget} is too short: {steps} steps fit; start and compilation take "
            f"{format_duration(costs.start)}, a step up to {format_duration(max(costs.steps))}",
            f"time for {MIN_STEPS} steps at least",
            f"pass --budget {math.ceil(needed * 1.1)}s or more, or a smaller model",
        )
    return plan_intervals(config, steps, costs, budget)


def plan_intervals(config: PretrainConfig, steps: int, costs: Costs, budget: float) -> Plan:
    """Plan warm-up and intervals of a run of this length.

    The configuration's intervals stay where they give at least ten evaluations and checkpoints, in
    at most 5 % of the time each. Only a checkpoint that is evaluated can be the best one, so the
    longer of the two intervals is a multiple of the shorter one.
    """
    loop = config.loop

    def fit(configured: int, seconds: float) -> int:
        shortest = math.ceil(steps * seconds / (INTERRUPTIONS * budget))
        return min(steps, max(1, shortest, min(configured, steps // 10)))

    eval_every = fit(loop.eval_every, max(costs.evaluations))
    checkpoint_every = fit(loop.checkpoint_every, costs.checkpoint)
    shorter = min(eval_every, checkpoint_every)
    eval_every, checkpoint_every = (
        min(steps, math.ceil(every / shorter) * shorter) for every in (eval_every, checkpoint_every)
    )
    warmup_steps = min(config.optimizer.warmup_steps, int(WARMUP * steps))
    return Plan(steps, warmup_steps, fit(loop.log_every, 0.0), eval_every, checkpoint_every)


def predict_seconds(config: PretrainConfig, costs: Costs) -> float:
    """Predict the time of a whole run."""
    loop, total = config.loop, costs.start
    parts = zip(phase_spans(config), costs.steps, costs.evaluations, strict=True)
    for span, step, evaluation in parts:
        total += step * (span.stop - span.start)
        total += evaluation * (span.stop // loop.eval_every - span.start // loop.eval_every)
    if loop.steps % loop.eval_every:  # the last step is always evaluated
        total += costs.evaluations[-1]
    return total + costs.checkpoint * math.ceil(loop.steps / loop.checkpoint_every)


def kept_plan(config: PretrainConfig, folder: Path) -> Plan | None:
    """Return the plan of a run that has checkpoints, from its config.json; None if it has none.

    Raises:
        ConfigError: the run was begun with another budget, or without one.
    """
    if not list_steps(folder / "checkpoints"):
        return None
    saved: PretrainConfig = read_json(PretrainConfig, folder / "config.json")
    begun = saved.budget and parse_duration(saved.budget, "budget")
    if begun != parse_duration(config.budget or "", "--budget"):
        how = f"with --budget {saved.budget}" if saved.budget else "without --budget"
        fix = f"pass --budget {saved.budget}" if saved.budget else "leave out --budget"
        raise ConfigError(
            f"--budget {config.budget}, but {folder} was begun {how}",
            "the budget that the run was planned for",
            other_run_advice(folder).replace("pass the saved values", fix),
        )
    loop = saved.loop
    return Plan(
        loop.steps, saved.optimizer.warmup_steps, loop.log_every, loop.eval_every,
        loop.checkpoint_every,
    )  # fmt: skip


def checkpoint_seconds(num_bytes: int) -> float:
    """Estimate the seconds that a checkpoint of this many bytes takes.

    It is written beside the training; this is what it takes alone, on a modest disk.
    """
    return 0.2 + num_bytes / 200e6


def time_steps(
    train_step: Callable[[Any, Any], tuple[Any, Any]],
    state: Any,
    batches: Iterator[dict[str, Any]],
    seconds: float,
    parallel: DataParallel,
) -> tuple[Any, float, float]:
    """Time training steps as `fit` runs them, a few of them in flight.

    All processes of a job call it together; process 0 decides how many steps there are.

    Args:
        train_step: as returned by `parallel.shard`; it may donate its state.
        state: the state to start from.
        batches: host batches.
        seconds: time for the steps; five are timed at least.
        parallel: devices.

    Returns:
        The state, the seconds of the first step, which compiles, and the median of the others.
    """
    in_flight: deque[Any] = deque()
    fed = feed(batches, parallel)

    def run(count: int) -> list[float]:
        nonlocal state
        ends = [time.perf_counter()]
        for batch in itertools.islice(fed, count):
            state, metrics = train_step(state, batch)
            in_flight.append(metrics)
            while len(in_flight) > MAX_IN_FLIGHT:
                parallel.get(in_flight.popleft())
                ends.append(time.perf_counter())
        while in_flight:
            parallel.get(in_flight.popleft())
            ends.append(time.perf_counter())
        return [end - start for start, end in itertools.pairwise(ends)]

    (first,) = run(1)
    estimate = statistics.median(run(3))
    count = agree(lambda: max(MIN_TIMED_STEPS, int(seconds / estimate)))
    step = statistics.median(run(count)[1:])
    return state, max(0.0, first - step), step


def time_evaluation(
    eval_step: Callable[[Any, Any], Any],
    params: Any,
    batches: Sequence[dict[str, Any]],
    num_batches: int,
    parallel: DataParallel,
) -> float:
    """Return the seconds of an evaluation of `num_batches` batches, by some of them.

    The program is compiled before.
    """
    parallel.get(eval_step(params, parallel.put_batch(batches[0])))
    start = time.perf_counter()
    for _ in compute_ahead(lambda batch: eval_step(params, batch), batches, parallel):
        pass
    return (time.perf_counter() - start) / len(batches) * num_batches
