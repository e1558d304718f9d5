import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.reports.programs import report_programs
from bert_jax.training.ahead import programs_of_batches
from bert_jax.training.machine import machine_at_hand
from bert_jax.training.parallel import DataParallel


@pytest.mark.parametrize(("memory", "code"), [(None, 0), (1000, 2)])
def test_a_report_says_of_every_program_whether_it_fits(memory, code, capsys):
    parallel = DataParallel()

    def step(state, batch):
        return state + jax.lax.psum(batch["tokens"].sum(), "data"), {}

    machine = machine_at_hand()._replace(memory=memory)
    batches = [{"tokens": np.zeros(shape, np.int32)} for shape in ((16, 32), (8, 48))]
    state = parallel.state_shapes(jax.eval_shape(lambda: jnp.zeros(3000)))
    programs = programs_of_batches("training step", parallel.shard(step), state, batches, parallel)
    assert report_programs(programs, machine) == code
    printed = capsys.readouterr().out
    verdict = "DOES NOT FIT" if code else "fits"
    for rows in ("16 rows of 32 tokens", "8 rows of 48 tokens"):
        assert f"training step, {rows}: {verdict}: 0.00" in printed
    assert "collectives: 1 all-reduce, 0 MB" in printed
