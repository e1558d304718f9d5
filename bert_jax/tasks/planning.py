"""Measurement of a pretraining run's own steps, for its time budget (`training/budget.py`)."""

import itertools
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bert_jax.config import PretrainConfig, phase_spans
from bert_jax.config.duration import format_duration, parse_duration
from bert_jax.corpus.loader import PretrainingRows, pretraining_batches
from bert_jax.progress import Progress
from bert_jax.tasks.pretraining_batches import adapt_batches, evaluation_batches
from bert_jax.tasks.pretraining_programs import TrainFunctions
from bert_jax.training.budget import (
    MAX_MEASURING_SECONDS,
    MAX_TIMED_EVAL_BATCHES,
    MEASURING,
    Costs,
    Plan,
    checkpoint_seconds,
    kept_plan,
    plan_steps,
    time_evaluation,
    time_steps,
)
from bert_jax.training.parallel import DataParallel
from bert_jax.training.processes import agree


class Work(NamedTuple):
    """Programs and data of a run, to be timed."""

    make_training: Callable[[PretrainConfig], TrainFunctions]
    """Builds what trains a run of the configuration's number of steps."""
    eval_step: Callable[[Any, Any], Any]
    """The very function that the run uses, so that it is compiled once."""
    train_rows: Mapping[int, PretrainingRows]
    """Training rows by length."""
    eval_rows: Mapping[int, PretrainingRows]
    """Held-out rows by length; empty if there are none."""


def plan_run(
    config: PretrainConfig, folder: Path, work: Work, parallel: DataParallel, began: float
) -> tuple[PretrainConfig, list[str]]:
    """Plan a run with a budget; all processes of a job call it together and get one plan.

    A run that has checkpoints keeps its plan. Without a budget there is nothing to plan.

    Args:
        config: the run, whose number of steps is not yet decided.
        folder: its directory.
        work: programs and data.
        parallel: devices.
        began: `time.monotonic()` when the budget began.

    Returns:
        The configuration with the plan, and lines that describe it.

    Raises:
        ConfigError: the run has another plan, or the budget is too short.
    """
    if not config.budget:
        return config, []
    kept = agree(lambda: (plan := kept_plan(config, folder)) and plan._asdict())
    if kept:
        config = Plan(**kept).apply(config)
        return config, [f"--budget {config.budget}: the run keeps its plan", describe(config)]
    budget = parse_duration(config.budget, "--budget")
    seconds = min(MAX_MEASURING_SECONDS, MEASURING * budget)
    if parallel.is_first_process:
        print(f"--budget {config.budget}: its steps are timed for {format_duration(seconds)}")
    with Progress("timing the steps", summary=False, shown=parallel.is_first_process):
        costs = measure_costs(config, work, parallel, seconds, began)
    config = Plan(**agree(lambda: plan_steps(config, costs)._asdict())).apply(config)
    return config, [*describe_costs(config, costs), describe(config)]


def measure_costs(
    config: PretrainConfig, work: Work, parallel: DataParallel, seconds: float, began: float
) -> Costs:
    """Time the steps of each phase for `seconds` in total, and evaluations, on the run's rows."""
    training = work.make_training(config)
    state = parallel.put_state(training.init_state(jax.random.key(0), jax.random.key(1)))
    spans, process = phase_spans(config), parallel.process
    compilation, steps, evaluations = 0.0, [], []
    for span in spans:
        phase, evaluation = span.phase, 0.0
        batches = adapt_batches(
            pretraining_batches(
                work.train_rows[phase.length], phase.batch_size, config.seed, process=process
            ),
            config,
            span.start,
        )
        state, compiling, step = time_steps(
            training.train_step, state, batches, seconds / len(spans), parallel
        )
        if work.eval_rows:
            held_out = evaluation_batches(config, work.eval_rows, phase, process)
            some = list(itertools.islice(held_out, MAX_TIMED_EVAL_BATCHES))
            num_rows = min(len(work.eval_rows[phase.length]), config.eval_rows)
            num_batches = math.ceil(num_rows / phase.batch_size)
            evaluation = time_evaluation(work.eval_step, state.params, some, num_batches, parallel)
        compilation += compiling
        steps.append(step)
        evaluations.append(evaluation)
    num_bytes = sum(x.nbytes for x in jax.tree.leaves(parallel.get_state(state)))
    # Another number of steps is another program: the training steps are compiled once more.
    start = time.monotonic() - began + compilation
    return Costs(start, tuple(steps), tuple(evaluations), checkpoint_seconds(num_bytes))


def describe_costs(config: PretrainConfig, costs: Costs) -> list[str]:
    """Return what was measured, in words."""
    parts = [
        f"{format_duration(step)} at length {phase.length}, batch size {phase.batch_size}"
        for phase, step in zip(config.phases, costs.steps, strict=True)
    ]
    evaluation, start = format_duration(max(costs.evaluations)), format_duration(costs.start)
    return [
        f"a step takes {'; '.join(parts)}",
        f"an evaluation takes {evaluation}; start, measurement and compilation {start}",
    ]


def describe(config: PretrainConfig) -> str:
    """Return the plan of a run in words."""
    loop = config.loop
    phases = ", ".join(
        f"{span.stop - span.start:,} at length {span.phase.length}" for span in phase_spans(config)
    )
    return (
        f"plan: {loop.steps:,} steps ({phases}), {config.optimizer.warmup_steps:,} of them "
        f"warm-up; an evaluation every {loop.eval_every:,} steps, a checkpoint every "
        f"{loop.checkpoint_every:,}"
    )


def describe_time(config: PretrainConfig, start_step: int, began: float) -> str:
    """Return how long a run with a budget took, for the end of a message; empty without one."""
    if not config.budget:
        return ""
    since = f" since step {start_step:,}" if start_step else ""
    taken = format_duration(time.monotonic() - began)
    return f" in {taken}{since}, planned for {config.budget}"
