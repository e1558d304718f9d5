"""Both loops of the benchmark run, and their steps compute the same."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

import host_time
from bert_jax.training.parallel import DataParallel


def test_both_sides_compute_and_take_the_same():
    parallel = DataParallel()
    batch = {"row": np.arange(8, dtype=np.int32)}
    apart, together = (
        parallel.get(
            parallel.shard(host_time.idle_step(alone), donate=False)(
                parallel.put_state(jnp.zeros(())), parallel.put_batch(batch)
            )
        )
        for alone in (True, False)
    )
    assert apart[0] == together[0] == 1
    assert {name: [float(x) for x in pair] for name, pair in apart[1].items()} == {
        name: pair.tolist() for name, pair in together[1].items()
    }
    for loop in (
        lambda batches: host_time.loop_before(host_time.idle_step(True), parallel, batches, 20),
        lambda batches: host_time.loop_after(
            host_time.idle_step(False), parallel.put_state(jnp.zeros(())), parallel, batches, 20
        ),
    ):
        count = itertools.count()
        rate = loop(batch for _ in count)
        assert next(count) == host_time.WARM_UP + 20
        assert rate.wall > 0


def test_a_rate_is_per_step_between_the_first_tick_and_the_last(monkeypatch):
    times = iter([1.0, 5.0, 11.0])
    monkeypatch.setattr(host_time.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(host_time.time, "thread_time", lambda: 0.0)
    clock = host_time.Clock()
    for step in (10, 20, 30):
        clock.tick(step)
    assert clock.rate() == (pytest.approx(500.0), 0.0)
