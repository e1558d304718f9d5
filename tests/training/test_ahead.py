import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.errors import ConfigError
from bert_jax.training.ahead import (
    Program,
    compile_ahead,
    compile_all,
    largest_batches,
    programs_of_batches,
    read_collectives,
    read_custom_calls,
    read_host_calls,
)
from bert_jax.training.machine import machine_at_hand
from bert_jax.training.parallel import DataParallel

HLO = """
  %all-reduce.1 = f32[128,512]{1,0} all-reduce(%x), channel_id=1, to_apply=%sum
  %ars = (f32[8]{0:T(128)}, bf16[2,3]{1,0}) all-reduce-start(%y), channel_id=2
  %ars.2 = f32[8]{0} all-reduce-start(%y), channel_id=2, backend_config={"is_sync":true}
  %done = (f32[8]{0}, bf16[2,3]{1,0}) all-reduce-done(%ars)
  %ag = s32[16]{0} all-gather(%z), dimensions={0}
  %get = f32[8]{0} get-tuple-element(%ars), index=0, metadata={op_name="all-reduce(x"}
"""


def test_collectives_are_counted_with_their_bytes():
    read = read_collectives(HLO)
    assert read.counts == {"all-reduce": 3, "all-gather": 1}
    assert read.num_bytes == 128 * 512 * 4 + (8 * 4 + 6 * 2) + 8 * 4 + 16 * 4
    assert read.num_asynchronous == 1
    assert str(read) == "3 all-reduce, 1 all-gather, 0 MB; 1 asynchronous"
    assert str(read_collectives("%x = f32[8]{0} add(%a, %b)")) == "none"


def test_calls_of_kernels_and_of_the_host_are_found():
    assert read_host_calls(HLO) == []
    kernel = '%c = f32[8]{0} custom-call(%x), custom_call_target="__cudnn$fmhaScaleBiasSoftmax"'
    assert read_custom_calls(kernel) == {"__cudnn$fmhaScaleBiasSoftmax": 1}
    assert read_host_calls(kernel) == []
    assert read_host_calls("%i = ((f32[8]{0}), token[]) infeed(%t)") == ["infeed"]
    traced = jax.jit(lambda x: jax.pure_callback(np.sin, x, x)).lower(jnp.ones(4))
    assert read_host_calls(traced.compile().as_text())


@pytest.mark.parametrize("mode", ["shard_map", "pmap"])
def test_what_is_compiled_ahead_is_not_compiled_again(mode, backend_compilations):
    parallel = DataParallel(mode)

    def step(state, batch):
        return state + jax.lax.psum(batch["x"].sum(), "data"), {"sum": jnp.ones(())}

    sharded = parallel.shard(step)
    state, batch = np.zeros(3, np.float32), {"x": np.ones((16, 5), np.float32)}
    shapes = parallel.state_shapes(state), parallel.batch_shapes(batch)
    compiled = compile_ahead(Program("step", sharded, shapes), machine_at_hand())
    assert compiled.fits
    assert compiled.arguments == 4 * 3 + 4 * 2 * 5  # a device's share
    put_state, put_batch = parallel.put_state(state), parallel.put_batch(batch)
    before = len(backend_compilations)
    assert before >= 1
    result, _ = sharded(put_state, put_batch)
    assert len(backend_compilations) == before
    np.testing.assert_array_equal(parallel.get(result), np.full(3, 80.0))


def test_a_program_that_needs_more_than_there_is_is_refused_before_the_first_runs():
    parallel = DataParallel()
    sharding = NamedSharding(parallel.mesh, P())
    shape = jax.ShapeDtypeStruct((1000, 1000), jnp.float32, sharding=sharding)
    programs = [Program(name, jax.jit(jnp.tanh), (shape,)) for name in ("tanh", "again")]
    enough = machine_at_hand()._replace(memory=8_100_000)
    assert [c.memory for c in compile_all(programs, enough)] == [pytest.approx(8e6, rel=0.01)] * 2
    with pytest.raises(ConfigError, match=r"tanh needs 0.01 GB on a device"):
        compile_all(programs, enough._replace(memory=7_900_000))


def batch(num_rows, length):
    return {"tokens": np.zeros((num_rows, length), np.int32), "row": np.zeros(num_rows, np.int32)}


def test_the_largest_batch_and_the_one_of_the_longest_rows_decide():
    batches = [batch(16, 32), batch(8, 48), batch(64, 16), batch(8, 96), batch(8, 64)]
    shapes = [each["tokens"].shape for each in largest_batches(batches)]
    assert shapes == [(64, 16), (8, 96)]
    assert [x["tokens"].shape for x in largest_batches(batches[:2])] == [(16, 32), (8, 48)]
    assert [x["tokens"].shape for x in largest_batches([batch(8, 96), batch(8, 32)])] == [(8, 96)]


def test_what_does_not_fit_of_a_runs_batches_is_named_with_its_remedy(monkeypatch):
    parallel = DataParallel()
    step = parallel.shard(lambda state, batch: (state + batch["tokens"].sum(), {}), donate=False)
    state = parallel.state_shapes(np.zeros(1000, np.int32))
    batches = [batch(16, 32), batch(8, 48), batch(8, 40)]
    arguments = "step", step, state, batches, parallel, state, "pass less"
    programs = programs_of_batches(*arguments)
    assert [program.name for program in programs] == [
        "step, 16 rows of 32 tokens", "step, 8 rows of 48 tokens"
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"(?s)step, 16 rows of 32 tokens needs .*pass less"):
        compile_all(programs, machine_at_hand()._replace(memory=8000))
    assert (
        compile_all(programs, machine_at_hand())[0].arguments == 8000 + 4 * 64
    )  # "row" is not read
    monkeypatch.setattr(DataParallel, "compiles_ahead", False)
    assert programs_of_batches(*arguments) == []
