"""Batches early, results late: the same ones in the same order, and errors in their place."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from bert_jax.training.feeding import AHEAD, MAX_IN_FLIGHT, compute_ahead, feed, look_ahead
from bert_jax.training.parallel import DataParallel
from tests.training import children


def numbered(count, taken):
    for number in range(count):
        taken.append(number)
        yield {"x": np.full((8, 2), number, np.float32), "n": np.arange(8)}


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("num_items", [0, 1, 2, 3, 10])
def test_looking_ahead_changes_neither_items_nor_order(num_items, count):
    assert list(look_ahead(range(num_items), count)) == list(range(num_items))


def test_a_batch_is_taken_two_batches_early():
    taken = []
    for number, batch in enumerate(feed(numbered(10, taken), DataParallel())):
        assert taken == list(range(min(10, number + AHEAD + 1)))
        assert batch["x"].sharding.spec == P("data")
        assert float(batch["x"][0, 0]) == number


@pytest.mark.parametrize("mode", ["shard_map", "pmap"])
def test_every_device_gets_its_rows(mode):
    parallel = DataParallel(mode, 4)
    get = parallel.shard(lambda _, batch: jax.lax.all_gather(batch, "data", tiled=True), False)
    for number, batch in enumerate(feed(numbered(4, []), parallel)):
        values = parallel.get(get(0.0 if mode == "shard_map" else np.zeros(4), batch))
        np.testing.assert_array_equal(values["n"], np.arange(8))
        assert (values["x"] == number).all()


def test_an_error_comes_after_the_batches_before_it():
    def batches():
        yield from range(4)
        raise OSError("no more")

    items = look_ahead(batches(), 2)
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match="no more"):
        next(items)


def test_an_interrupt_comes_at_once():
    def batches():
        yield from range(4)
        raise KeyboardInterrupt

    items = look_ahead(batches(), 2)
    assert [next(items) for _ in range(2)] == [0, 1]
    with pytest.raises(KeyboardInterrupt):
        next(items)


def test_results_are_read_late_and_in_order():
    parallel, computed = DataParallel(), []

    def compute(batch):
        computed.append(batch)
        return {"sum": batch["x"].sum()}

    results = compute_ahead(compute, numbered(6, []), parallel)
    assert float(next(results)["sum"]) == 0
    assert len(computed) == MAX_IN_FLIGHT + 1
    assert [float(result["sum"]) for result in results] == [16.0 * n for n in range(1, 6)]


PAIR = """
import sys
import jax
import numpy as np
from bert_jax.training.feeding import compute_ahead
from bert_jax.training.parallel import DataParallel

for mode in ("shard_map", "pmap"):
    parallel = DataParallel(mode)
    step = parallel.shard(lambda _, batch: jax.lax.psum(batch["x"].sum(), "data"), donate=False)
    zero = parallel.put_state(np.zeros((), np.float32))
    batches = [{"x": np.full((2, 3), 10 * n + parallel.process[0], np.float32)} for n in range(5)]
    results = compute_ahead(lambda batch: step(zero, batch), batches, parallel)
    print([float(x) for x in results])
"""


def test_two_processes_feed_their_shares():
    for code, out, err in children.finish_pair(children.start_pair(PAIR)):
        assert code == 0, err
        for line in out.splitlines()[-2:]:
            assert line == str([6.0 * (20 * n + 1) for n in range(5)])
