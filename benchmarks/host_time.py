"""Time that the host takes for each training step, next to a loop that waits for everything.

    python benchmarks/host_time.py

Three parts, in one process with 8 simulated devices: batches per second through `fit` with a step
of no work, against a loop that puts each array of a batch by itself, returns every metric as an
array of its own and reads all of them after every step; rows per second per core of the loader; and
the host's share of a step of `tiny` on one device. "here" is the processor time of the loop's own
thread. Sides alternate; the best of three rounds counts.
"""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.config import LoopConfig
from bert_jax.corpus.loader import HostBatch, PretrainingRows, load_batch, pretraining_batches
from bert_jax.models.functional import build
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.tasks.masking import MaskingRules
from bert_jax.tasks.pretraining import make_pretraining_objective
from bert_jax.training.fit import MAX_IN_FLIGHT, fit
from bert_jax.training.optimizers import make_optimizer, warmup_linear_schedule
from bert_jax.training.parallel import DataParallel
from bert_jax.training.run import Run
from bert_jax.training.step import AXIS, StepMetrics, init_state, make_train_step
from configs.pretrain import RUNS
from loader_speed import measure_rate, write_random_rows

NAMES = (
    "mlm_loss", "mlm_accuracy", "tokens_per_row", "mlm_accuracy_mask", "mlm_accuracy_random",
    "mlm_accuracy_kept", "nsp_loss", "nsp_accuracy", "loss", "grad_norm", "bad_steps",
)  # fmt: skip
VOCAB_SIZE = 8192  # of `tiny`
WARM_UP = 10  # steps before the clock starts
LOG_EVERY = 10
schedule = warmup_linear_schedule(1e-4, 100, 100_000)


class Rate(NamedTuple):
    """Time that a loop took for a step, in milliseconds."""

    wall: float
    main_thread: float
    """Processor time of the thread that runs the loop: reading, dispatching, logging."""


class Nothing:
    """A log and checkpoints that keep nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **options: None


def main(length: int = 128, batch_size: int = 256, num_steps: int = 300) -> None:
    """Measure and print.

    Args:
        length: row length T in tokens.
        batch_size: rows in a batch B of the step without work.
        num_steps: number of timed steps in a round.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rows = write_random_rows(Path(scratch), length, num_rows=50_000, num_shards=8)
        rows.map_shards()
        parallel = DataParallel()
        rounds: dict[str, list[Rate]] = {"before": [], "after": []}
        for _ in range(3):
            batches = pretraining_batches(rows, batch_size, seed=0)
            rounds["before"].append(loop_before(idle_step(True), parallel, batches, num_steps))
            batches = pretraining_batches(rows, batch_size, seed=0)
            state = parallel.put_state(jnp.zeros(()))
            rounds["after"].append(
                loop_after(idle_step(False), state, parallel, batches, num_steps)
            )
        print(f"a step of no work on {parallel.num_devices} devices, {batch_size} x {length}:")
        before, after = (min(rounds[side]) for side in ("before", "after"))
        for side, rate in (("one at a time, waiting", before), ("fit", after)):
            batches_per_second = 1e3 / rate.wall
            print(
                f"  {side:22s} {batches_per_second:5.0f} batches/s, {rate.main_thread:.2f} ms here"
            )
        print(f"  ratio {before.wall / after.wall:.2f}")
        num = min(200, len(rows) // batch_size)
        per_core, _ = measure_rate(
            lambda: [load_batch(rows, batch_size, 0, step) for step in range(num)], num * batch_size
        )
        print(f"loader: {per_core:,.0f} rows/s per core")
        rate = time_tiny(rows, min(num_steps, 4 * LOG_EVERY))
        share = rate.main_thread / rate.wall
        print(
            f"a step of tiny, one device, 32 x {length}: {rate.wall:.2f} ms, of which the loop's"
            f" thread computes {rate.main_thread:.2f} ms ({share:.1%})"
        )


def idle_step(apart: bool) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Build a step that only counts; its metrics are arrays of their own or rows of one."""

    def step(state: Any, batch: Any) -> tuple[Any, Any]:
        total = jax.lax.psum(batch["row"][0] * 0.0, AXIS)
        metrics = {
            name: (total + i * (name != "bad_steps"), total + 1) for i, name in enumerate(NAMES)
        }
        return state + 1, metrics if apart else StepMetrics.of(metrics)

    return step


def loop_before(
    step: Callable, parallel: DataParallel, batches: Iterator[HostBatch], num_steps: int
) -> Rate:
    """Time a loop that hands over and reads each array by itself, every step."""
    sharding = NamedSharding(parallel.mesh, P(AXIS))
    train_step, state = parallel.shard(step), parallel.put_state(jnp.zeros(()))
    in_flight: deque[Any] = deque()
    sums: dict[str, Any] = {}
    clock = Clock()
    for number in range(WARM_UP + num_steps):
        if number in (WARM_UP, WARM_UP + num_steps - 1):
            clock.tick(number)
        batch = jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(sharding, x), next(batches)
        )
        state, metrics = train_step(state, batch)
        in_flight.append(metrics)
        while len(in_flight) > MAX_IN_FLIGHT:
            values = jax.tree.map(
                lambda x: np.asarray(x.addressable_shards[0].data), in_flight.popleft()
            )
            for name, pair in values.items():
                sums[name] = sums.get(name, 0) + np.array(pair, np.float64)
        if number % LOG_EVERY == 0:
            float(np.asarray(schedule(number)))
    return clock.rate()


def loop_after(
    step: Callable,
    state: Any,
    parallel: DataParallel,
    batches: Iterator[HostBatch],
    num_steps: int,
) -> Rate:
    """Time `fit`."""
    clock = Clock()

    def tick(step: int, values: dict[str, float]) -> dict[str, float]:
        if step >= WARM_UP:
            clock.tick(step)
        return values

    loop = LoopConfig(WARM_UP + num_steps, log_every=LOG_EVERY)
    nothing: Any = Nothing()
    run = Run(Path(os.devnull), loop, state, 0, nothing, nothing, parallel, {}, {}, {})
    fit(
        run, parallel.shard(step), batches, schedule=schedule, evaluate=None, add_metrics=tick
    )  # fmt: skip
    return clock.rate()


class Clock:
    """Wall time and the thread's processor time between the first tick and the last."""

    def __init__(self):
        self._ticks: list[tuple[int, float, float]] = []

    def tick(self, step: int) -> None:
        """Note the time at a step."""
        self._ticks.append((step, time.perf_counter(), time.thread_time()))

    def rate(self) -> Rate:
        """Return the time per step."""
        (first, wall, thread), *_, (last, wall_end, thread_end) = self._ticks
        steps = (last - first) / 1e3
        return Rate((wall_end - wall) / steps, (thread_end - thread) / steps)


def time_tiny(rows: PretrainingRows, num_steps: int) -> Rate:
    """Time the step of the preset `tiny` through `fit`, on one device."""
    config = RUNS["tiny"]()
    model = replace(config.model, vocab_size=VOCAB_SIZE)
    init, merge = build(model)
    rules = MaskingRules(config.masking.in_evaluation, VOCAB_SIZE, cls_id=1, sep_id=2, mask_id=3)
    objective = make_pretraining_objective(
        merge, jax.random.key(0), rules, np.zeros(VOCAB_SIZE, bool), DEFAULT_EXECUTION
    )
    optimizer, _ = make_optimizer(config.optimizer, config.loop.steps)
    parallel = DataParallel(num_devices=1)
    state = jax.jit(lambda key: init_state(init(key), optimizer, key))(jax.random.key(0))
    batches = pretraining_batches(rows, 32, seed=0)
    step = make_train_step(objective, optimizer)
    return loop_after(step, parallel.put_state(state), parallel, batches, num_steps)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
