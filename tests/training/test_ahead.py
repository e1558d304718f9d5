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


@pytest.fixture
def backend_compilations():
    """Return a list that grows by one with every program that XLA compiles."""
    events = []

    def listen(event, duration, **kwargs):
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


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
