"""Attention, the layer and the stack: hand-worked values, execution settings, packed rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.config import BertConfig
from bert_jax.nn import transformer
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution, device_platform
from bert_jax.nn.layout import block_diagonal_mask
from bert_jax.nn.transformer import EncoderLayer, apply_layers, stack_layers

dot_product_attention = jax.jit(
    transformer.dot_product_attention, static_argnames=("implementation", "dropout_rate")
)


SEED = jax.random.key(0, impl="philox4x32")


def random_qkv(shape, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), dtype) for _ in range(3)]


def test_two_tokens_by_hand():
    # Width 4, so scores are divided by 2: query 0 has scores ln 3 and 0, and shares ¾ and ¼.
    q = jnp.zeros((1, 2, 1, 4)).at[0, 0, 0, 0].set(2 * np.log(3.0))
    k = jnp.zeros((1, 2, 1, 4)).at[0, 0, 0, 0].set(1.0)
    v = jnp.array([[1.0, 0, 0, 8], [5.0, 4, 0, 0]]).reshape(1, 2, 1, 4)
    out = dot_product_attention(q, k, v, jnp.ones((1, 1, 2, 2), bool))
    np.testing.assert_allclose(out[0, 0, 0], [2.0, 1, 0, 6], rtol=1e-6)  # ¾ v₀ + ¼ v₁
    np.testing.assert_allclose(out[0, 1, 0], [3.0, 2, 0, 4], rtol=1e-6)  # ½ v₀ + ½ v₁
    alone = dot_product_attention(q, k, v, jnp.eye(2, dtype=bool)[None, None])
    np.testing.assert_allclose(alone, v, rtol=1e-6)


def test_the_dropout_path_at_a_vanishing_rate_equals_jax():
    q, k, v = random_qkv((2, 6, 3, 8))
    mask = block_diagonal_mask(jnp.array([[1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1]]))

    def out(rate):
        return lambda q, k, v: dot_product_attention(q, k, v, mask, key=SEED, dropout_rate=rate)

    # 1e-6 is below the resolution of the dropout mask: nothing is dropped on the written-out path
    np.testing.assert_allclose(out(1e-6)(q, k, v), out(0.0)(q, k, v), atol=1e-6)

    def slope(rate):
        loss = jax.jit(jax.grad(lambda *qkv: jnp.square(out(rate)(*qkv)).sum(), argnums=(0, 1, 2)))
        return loss(q, k, v)

    grads = slope(1e-6), slope(0.0)
    for ours, theirs in zip(*grads, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_dropout_drops_probabilities_and_keeps_their_mean():
    q, k, _ = random_qkv((64, 8, 4, 8))
    v = jnp.ones_like(q)
    mask = jnp.ones((1, 1, 8, 8), bool)
    out = dot_product_attention(q, k, v, mask, key=SEED, dropout_rate=0.2)
    assert abs(out.mean() - 1) < 0.02  # rows no longer sum to 1, but on average they do
    assert out.std() > 0.1


def test_in_bfloat16_no_product_is_of_float32():
    given = (*random_qkv((2, 6, 3, 8), jnp.bfloat16), jnp.ones((1, 1, 6, 6), bool))

    def all_of(q, k, v, mask):
        out, pull = jax.vjp(lambda *qkv: dot_product_attention(*qkv, mask), q, k, v)
        return out, *pull(v)

    actual = jax.jit(all_of)(*given)
    expected = jax.jit(all_of)(*(each.astype(jnp.float32) for each in given[:3]), given[3])
    for ours, exact in zip(actual, expected, strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=0.03, atol=0.03)
    program = jax.jit(all_of).lower(*given).as_text().splitlines()
    products = [line for line in program if "dot_general" in line]
    assert len(products) == 6
    for line in products:  # … : (tensor<2x3x6x8xbf16>, tensor<2x3x6x8xbf16>) -> …
        assert line.split(" -> ")[0].count("xbf16>") == 2


def test_attention_stays_inside_a_sequence():
    q, k, v = random_qkv((1, 5, 2, 4))
    mask = block_diagonal_mask(jnp.array([[1, 1, 1, 2, 2]]))
    packed = dot_product_attention(q, k, v, mask)
    alone = dot_product_attention(q[:, 3:], k[:, 3:], v[:, 3:], jnp.ones((1, 1, 2, 2), bool))
    np.testing.assert_allclose(packed[:, 3:], alone, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 1, 5), (1, 1, 4, 5), (1, 1, 1, 5), (3, 1, 4, 5)])
def test_cudnn_gets_a_mask_with_all_queries_and_keys(shape, monkeypatch):
    (q, k, v), real, given = random_qkv((3, 5, 2, 4)), jax.nn.dot_product_attention, {}

    def on_cpu(q, k, v, *, mask, implementation):
        given[implementation] = mask
        return real(q, k, v, mask=mask, implementation="xla")  # JAX's own

    monkeypatch.setattr(jax.nn, "dot_product_attention", on_cpu)
    mask = jnp.asarray(np.random.default_rng(0).random(shape) < 0.5).at[..., 0].set(True)
    xla, cudnn = (
        transformer.dot_product_attention(q[:, :4], k, v, mask, implementation=implementation)
        for implementation in ("xla", "cudnn")
    )
    assert list(given) == ["cudnn"]
    assert given["cudnn"].shape == (shape[0], 1, 4, 5)
    np.testing.assert_array_equal(given["cudnn"], np.broadcast_to(mask, (shape[0], 1, 4, 5)))
    np.testing.assert_allclose(xla, cudnn, atol=1e-6)


@pytest.mark.skipif(
    device_platform() != "cuda",
    reason="no NVIDIA GPU, or jax without CUDA: pip install -e '.[cuda12]'",
)
def test_cudnn_equals_xla_on_packed_rows():
    q, k, v = random_qkv((2, 128, 4, 64), jnp.bfloat16)
    ids = jnp.repeat(jnp.array([[1, 2, 3, 0], [1, 1, 1, 2]]), 32, axis=1)
    mask = block_diagonal_mask(ids)

    def grads(implementation):
        def loss(q, k, v):
            out = dot_product_attention(q, k, v, mask, implementation=implementation)
            return jnp.square(out.astype(jnp.float32)).mean(), out

        grads, out = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(q, k, v)
        return [out, *(g * q.size for g in grads)]

    for ours, theirs in zip(grads("cudnn"), grads("xla"), strict=True):
        ours, theirs = (np.asarray(x, np.float32) for x in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, atol=0.03)


CONFIG = BertConfig(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
    initializer_range=0.2,
)  # fmt: skip


KEY = jax.random.key(1, impl="philox4x32")


IDS = jnp.array([[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 1, 1]])


MASK = block_diagonal_mask(IDS)


X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 16)), jnp.float32)


@functools.cache
def stack():
    return jax.jit(
        lambda: nnx.split(stack_layers(lambda rngs: EncoderLayer(CONFIG, rngs), 2, nnx.Rngs(0)))
    )()


@functools.cache
def compiled(execution):
    """Compile (params, x, key) -> output and gradients of a loss over the real tokens."""
    graphdef, _ = stack()

    def loss(params, x, key):
        y = apply_layers(nnx.merge(graphdef, params), x, MASK, key=key, execution=execution)
        real = jnp.where(IDS[..., None] > 0, y, 0).astype(jnp.float32)
        return jnp.square(real - 0.1).sum(), y

    return jax.jit(lambda *args: jax.grad(loss, argnums=(0, 1), has_aux=True)(*args)[::-1])


def assert_close(actual, expected, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), actual, expected)


@pytest.mark.parametrize(
    "execution",
    [
        Execution(remat=True),
        pytest.param(Execution(unroll=True), marks=pytest.mark.heavy),
        pytest.param(Execution(remat=True, unroll=True), marks=pytest.mark.heavy),
    ],
    ids=str,
)
def test_loop_unrolled_and_remat_are_equal(execution):
    _, params = stack()
    assert_close(compiled(execution)(params, X, KEY), compiled(DEFAULT_EXECUTION)(params, X, KEY))


def test_remat_keeps_less():
    graphdef, params = stack()

    def kept(execution):
        def out(params):
            return apply_layers(nnx.merge(graphdef, params), X, MASK, key=None, execution=execution)

        _, backward = jax.eval_shape(lambda params: jax.vjp(out, params), params)
        return sum(x.size for x in jax.tree.leaves(backward))

    assert kept(Execution(remat=True)) < 0.7 * kept(DEFAULT_EXECUTION)


def test_the_stack_is_its_layers_one_after_the_other_each_with_its_own_key():
    graphdef, params = stack()

    @jax.jit
    def one_by_one(params, x, key):
        for i, layer_key in enumerate(jax.random.split(key, 2)):
            layer = nnx.merge(graphdef, jax.tree.map(lambda p, i=i: p[i], params))
            x = layer(x, MASK, key=layer_key, execution=DEFAULT_EXECUTION)
        return x

    assert_close(one_by_one(params, X, KEY), compiled(DEFAULT_EXECUTION)(params, X, KEY)[0])


def test_layers_start_differently():
    kernels = stack()[1]["feed_forward"]["up"]["kernel"][...]
    assert kernels.shape == (2, 16, 32)
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1


def test_padding_does_not_matter():
    _, params = stack()
    other = X.at[0, 5].set(100.0)
    y, (grads, dx) = compiled(DEFAULT_EXECUTION)(params, X, None)
    y_other, (grads_other, _) = compiled(DEFAULT_EXECUTION)(params, other, None)
    assert_close(y[0, :5], y_other[0, :5])
    assert_close(grads, grads_other)
    assert not dx[0, 5].any()
    assert dx[0, 4].any()


def test_a_sequence_does_not_attend_to_its_neighbours():
    _, params = stack()
    other = X.at[0, :3].mul(-1)
    y, y_other = (compiled(DEFAULT_EXECUTION)(params, x, None)[0] for x in (X, other))
    assert_close(y[0, 3:5], y_other[0, 3:5])
    assert np.abs(y[0, :3] - y_other[0, :3]).max() > 0.1


def test_bfloat16_is_near_and_its_gradients_are_float32():
    _, params = stack()
    expected, _ = compiled(DEFAULT_EXECUTION)(params, X, None)
    low = compiled(Execution(dtype="bfloat16"))
    actual, (grads, _) = low(params, X.astype(jnp.bfloat16), None)
    assert actual.dtype == jnp.bfloat16
    assert {g.dtype.name for g in jax.tree.leaves(grads)} == {"float32"}
    assert 1e-4 < np.abs(np.asarray(actual, np.float32) - expected).max() < 0.1


def test_a_layer_is_post_norm():
    layer = EncoderLayer(CONFIG, nnx.Rngs(0))
    y = jax.jit(lambda x: layer(x, MASK, key=None, execution=DEFAULT_EXECUTION))(X)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(-1), 1, atol=1e-5)
