"""Times of runs of pretrain.py: measured, repeated while the host disturbs them, and planned."""

import dataclasses
import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pretrain
from benchmarks.quiet import MAX_STOLEN, watch_host
from benchmarks.recipe_protocol import Cost
from bert_jax.config import PretrainConfig
from bert_jax.errors import DivergedError
from bert_jax.filesystem import read_json_object, write_text
from bert_jax.training.checkpoint_hashes import list_steps
from bert_jax.training.runlog import read_metrics

COST_STEPS, COST_ROUNDS = 100, 3


class Measured(NamedTuple):
    """Times of one call of pretrain.py."""

    seconds: float
    processor: float
    """Processor time of all threads."""
    stolen: float
    """Share of the processors' time that the host took."""
    resumed: bool
    """True if an earlier call had begun the run."""
    diverged: bool = False


def run_quietly(config: PretrainConfig, tries: int) -> Measured:
    """Run or resume a pretraining; repeat it from the start while the host disturbs it.

    A repeated run has the same loss, bit for bit; only its times are new.

    Raises:
        SystemExit: a signal ended the run.
    """
    folder = Path(config.runs_dir) / config.name
    for attempt in range(1, tries + 1):
        measured = run_once(config)
        if measured.resumed or measured.stolen < MAX_STOLEN or attempt == tries:
            return measured
        print(f"{folder}: the host took {measured.stolen:.0%} of the time; the run is repeated")
        shutil.rmtree(folder)
    raise AssertionError("tries is less than 1")


def run_once(config: PretrainConfig) -> Measured:
    """Call pretrain.py's `main` in this process, and measure it."""
    folder = Path(config.runs_dir) / config.name
    resumed, diverged = bool(list_steps(folder / "checkpoints")), False
    stolen, start, processor_start = watch_host(), time.perf_counter(), time.process_time()
    try:
        if code := pretrain.main(config):
            raise SystemExit(code)
    except DivergedError as error:
        print("\n".join(error.lines))
        diverged = True
    processor, seconds = time.process_time() - processor_start, time.perf_counter() - start
    return Measured(seconds, processor, stolen(), resumed, diverged)


def load_costs(
    folder: Path,
    make: Callable[[str, int, int], PretrainConfig],
    sides: Sequence[str],
    run: Callable[[PretrainConfig], Measured],
) -> dict[str, Cost]:
    """Return the costs in FOLDER/costs.json, measured the first time in turns by short runs.

    Args:
        folder: folder of the benchmark; it also has the short runs, which are removed.
        make: `(side, seed, steps) -> configuration`; its place is replaced.
        sides: names of the sides.
        run: runs a configuration and measures it.
    """
    path = folder / "costs.json"
    if not path.exists():
        runs = folder / "costs"
        measured: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for number in range(COST_ROUNDS):
            for side, values in measured.items():
                shutil.rmtree(runs, ignore_errors=True)
                config = make(side, number, COST_STEPS)
                seconds = run(replace(config, runs_dir=str(runs))).seconds
                values.append((seconds, step_seconds(runs / config.name)))
        shutil.rmtree(runs)
        costs = {side: describe_cost(values) for side, values in measured.items()}
        write_text(path, json.dumps({s: dataclasses.asdict(x) for s, x in costs.items()}) + "\n")
    return {side: Cost(**values) for side, values in read_json_object(path).items()}


def describe_cost(measured: Sequence[tuple[float, float]]) -> Cost:
    """Return the median cost of runs of COST_STEPS: their seconds, and those of their steps."""
    step = statistics.median(steps for _, steps in measured) / COST_STEPS
    return Cost(statistics.median(seconds - steps for seconds, steps in measured), step)


def step_seconds(run: Path) -> float:
    """Return the wall time of a run's steps, without compilation, evaluations and saves."""
    total, before = 0.0, 0
    for record in train_records(run):
        if rate := record.get("steps_per_second"):
            total += (record["step"] - before) / rate
        before = record["step"]
    return total


def train_records(run: Path) -> list[dict[str, Any]]:
    """Return the training metrics that a run has logged; none if it diverged before."""
    path = run / "metrics.jsonl"
    return [r for r in read_metrics(path) if r["split"] == "train"] if path.exists() else []
