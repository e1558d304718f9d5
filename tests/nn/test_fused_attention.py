"""Fused kernels against XLA's attention on packed rows, in Pallas' interpreter."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from bert_jax.config import BertConfig
from bert_jax.nn.execution import Execution
from bert_jax.nn.fused_attention import SEQUENCE_KERNELS
from bert_jax.nn.layout import SequenceIds
from bert_jax.nn.transformer import (
    EncoderLayer,
    apply_layers,
    dot_product_attention,
    packed_mask,
    stack_layers,
)
from bert_jax.training.ahead import Program, compile_ahead
from bert_jax.training.machine import Machine

KERNELS = pytest.mark.parametrize("name", SEQUENCE_KERNELS)


def packed_rows(length):
    """Ids of five rows: one sequence, full; two; four and padding; one token; no sequence."""
    ids = np.zeros((5, length), np.int32)
    ids[0] = 1
    ids[1] = 1 + (np.arange(length) >= length // 3)
    for j, start in enumerate((0, 1, 9, length // 2)):
        ids[2, start : length - 5] = j + 1
    ids[3, 0] = 1
    ids = jnp.asarray(ids)
    return SequenceIds(ids, ids)


def interpreted(name):
    return functools.partial(SEQUENCE_KERNELS[name], interpret=True)


def outputs_and_gradients(attend, ids, dtype=jnp.float32, num_heads=2, width=16):
    """Return the outputs, and the gradients of q, k and v for a random gradient of the outputs."""
    rng = np.random.default_rng(0)
    shape = (*ids.queries.shape, num_heads, width)
    *qkv, slope = (jnp.asarray(rng.normal(size=shape), dtype) for _ in range(4))

    def run(qkv, ids, slope):
        out, pull = jax.vjp(lambda *qkv: attend(*qkv, ids), *qkv)
        return out, *pull(slope)

    with jax.numpy_rank_promotion("allow"):  # the kernels are not ours
        return jax.jit(run)(qkv, ids, slope)


@KERNELS
@pytest.mark.parametrize("length", [128, 256, 640])  # one block, or several
def test_fused_attention_equals_xla_on_packed_rows(name, length):
    ids = packed_rows(length)
    fused = outputs_and_gradients(interpreted(name), ids)
    expected = outputs_and_gradients(dot_product_attention, ids)
    for ours, theirs in zip(fused, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert np.abs(theirs[ids.queries == 0]).max() > 0.1  # padding attends to padding in both


@KERNELS
def test_in_bfloat16_fused_attention_is_as_exact_as_xla(name):
    ids = packed_rows(128)
    exact = outputs_and_gradients(dot_product_attention, ids, width=64)
    xla, fused = (
        outputs_and_gradients(attend, ids, jnp.bfloat16, width=64)
        for attend in (dot_product_attention, interpreted(name))
    )
    for ours, theirs, expected in zip(fused, xla, exact, strict=True):
        assert ours.dtype == jnp.bfloat16
        error, usual = (np.abs(np.asarray(x, np.float32) - expected) for x in (ours, theirs))
        assert error.max() < 0.03
        assert error.mean() < 1.5 * usual.mean()


@pytest.mark.heavy
def test_splash_attention_compiles_for_a_tpu_and_keeps_no_probabilities(monkeypatch):
    pytest.importorskip("libtpu", reason="libtpu, of the [tpu] extra, compiles for TPUs")
    for name in ("TPU_SKIP_MDS_QUERY", "ALLOW_MULTIPLE_LIBTPU_LOAD"):
        monkeypatch.setenv(name, "1")
    tpu = topologies.get_topology_desc("v5e:2x2", platform="tpu").devices[0]
    on_tpu = SingleDeviceSharding(tpu)
    ids = jax.ShapeDtypeStruct((2, 256), jnp.int32, sharding=on_tpu)
    x = jax.ShapeDtypeStruct((2, 256, 2, 64), jnp.bfloat16, sharding=on_tpu)

    def program(implementation):
        def run(q, k, v, ids, slope):
            mask = packed_mask(ids, implementation)
            attend = functools.partial(dot_product_attention, implementation=implementation)
            return jax.vjp(lambda q, k, v: attend(q, k, v, mask), q, k, v)[1](slope)

        machine = Machine("v5e", (tpu,), None, is_absent=True)
        with jax.numpy_rank_promotion("allow"):
            compiled = compile_ahead(Program("run", jax.jit(run), (x, x, x, ids, x)), machine)
        return compiled.executable.as_text()

    splash = program("splash")
    assert splash.count('custom_call_target="tpu_custom_call"') == 2  # forward and backward
    assert "256,256]" not in splash
    assert "256,256]" in program("xla")


def never(*_args):
    raise AssertionError("called")


@KERNELS
def test_attention_falls_back_to_xla_where_the_kernel_does_not_apply(name, monkeypatch):
    monkeypatch.setitem(SEQUENCE_KERNELS, name, never)
    ids = packed_rows(128)
    x = jnp.ones((5, 128, 2, 16))

    def trace(q, k, ids, **options):
        attend = functools.partial(dot_product_attention, implementation=name, **options)
        return jax.eval_shape(attend, q, k, k, ids).shape

    with pytest.raises(AssertionError, match="called"):
        trace(x, x, ids)
    assert trace(x, x, ids, key=jax.random.key(0), dropout_rate=0.5) == x.shape  # dropout
    assert trace(x, x, ids.mask) == x.shape  # any mask
    few = SequenceIds(ids.queries[:, :7], ids.keys)  # other queries than keys
    assert trace(x[:, :7], x, few) == (5, 7, 2, 16)
    assert trace(x[:, :24], x[:, :24], packed_rows(24)) == (5, 24, 2, 16)  # no multiple of 128


@KERNELS
@pytest.mark.parametrize("remat", [False, True])
def test_layers_with_a_fused_kernel_equal_those_with_xla(name, remat, monkeypatch):
    monkeypatch.setitem(SEQUENCE_KERNELS, name, interpreted(name))
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        initializer_range=0.2,
    )  # fmt: skip
    graphdef, params = nnx.split(
        stack_layers(lambda rngs: EncoderLayer(config, rngs), 2, nnx.Rngs(0))
    )
    ids = packed_rows(128).queries[1:3]
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 128, 32)), jnp.float32)
    positions = jnp.array([[3, 60, 127], [0, 1, 70]])

    def loss(params, x, kernel):
        execution = Execution(attention=kernel, remat=remat)
        layers, mask = nnx.merge(graphdef, params), packed_mask(ids, kernel)
        y = apply_layers(layers, x, mask, positions=positions, key=None, execution=execution)
        return jnp.square(y - 0.1).sum(), y

    step = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True), static_argnums=2)
    with jax.numpy_rank_promotion("allow"):
        fused, expected = step(params, x, name), step(params, x, "xla")
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4), fused, expected)
