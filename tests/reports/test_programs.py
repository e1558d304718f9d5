import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.reports.programs import largest_batches, report_training
from bert_jax.training.machine import machine_at_hand
from bert_jax.training.parallel import DataParallel


def batch(num_rows, length):
    return {"tokens": np.zeros((num_rows, length), np.int32), "row": np.zeros(num_rows, np.int32)}


def test_the_largest_batch_and_the_one_of_the_longest_rows_decide():
    batches = [batch(16, 32), batch(8, 48), batch(64, 16), batch(8, 96), batch(8, 64)]
    shapes = [each["tokens"].shape for each in largest_batches(batches)]
    assert shapes == [(64, 16), (8, 96)]
    assert [x["tokens"].shape for x in largest_batches(batches[:2])] == [(16, 32), (8, 48)]
    assert [x["tokens"].shape for x in largest_batches([batch(8, 96), batch(8, 32)])] == [(8, 96)]


@pytest.mark.parametrize(("memory", "code"), [(None, 0), (1000, 2)])
def test_a_report_says_whether_the_training_step_fits(memory, code, capsys):
    parallel = DataParallel()

    def step(state, batch):
        return state + jax.lax.psum(batch["tokens"].sum(), "data"), {}

    machine = machine_at_hand()._replace(memory=memory)
    batches = [batch(16, 32), batch(8, 48)]
    init = jax.jit(lambda *keys: jnp.zeros(3000), out_shardings=parallel.replicated)
    assert report_training(parallel.shard(step), init, batches, parallel, machine) == code
    printed = capsys.readouterr().out
    verdict = "DOES NOT FIT" if code else "fits"
    for rows in ("16 rows of 32 tokens", "8 rows of 48 tokens"):
        assert f"training step, {rows}: {verdict}: 0.00" in printed
    assert "collectives: 1 all-reduce, 0 MB" in printed
