import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.errors import ConfigError
from bert_jax.nn import attention
from bert_jax.nn.attention import choose_attention, device_platform
from bert_jax.nn.layout import block_diagonal_mask

dot_product_attention = jax.jit(
    attention.dot_product_attention, static_argnames=("implementation", "dropout_rate")
)
KEY = jax.random.key(0, impl="philox4x32")


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
        return lambda q, k, v: dot_product_attention(q, k, v, mask, key=KEY, dropout_rate=rate)

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
    out = dot_product_attention(q, k, v, mask, key=KEY, dropout_rate=0.2)
    assert abs(out.mean() - 1) < 0.02  # rows no longer sum to 1, but on average they do
    assert out.std() > 0.1


def test_in_bfloat16_no_product_is_of_float32():
    given = (*random_qkv((2, 6, 3, 8), jnp.bfloat16), jnp.ones((1, 1, 6, 6), bool))

    def all_of(q, k, v, mask):
        out, pull = jax.vjp(lambda *qkv: dot_product_attention(*qkv, mask), q, k, v)
        return out, *pull(v)

    found = jax.jit(all_of)(*given)
    wanted = jax.jit(all_of)(*(each.astype(jnp.float32) for each in given[:3]), given[3])
    for ours, exact in zip(found, wanted, strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=0.03, atol=0.03)
    program = jax.jit(all_of).lower(*given).as_text().splitlines()
    products = [line for line in program if "dot_general" in line]
    assert len(products) == 6
    for line in products:  # … : (tensor<2x3x6x8xbf16>, tensor<2x3x6x8xbf16>) -> …
        assert line.split(" -> ")[0].count("xbf16>") == 2


def test_a_sequence_does_not_see_its_neighbours():
    q, k, v = random_qkv((1, 5, 2, 4))
    mask = block_diagonal_mask(jnp.array([[1, 1, 1, 2, 2]]))
    packed = dot_product_attention(q, k, v, mask)
    alone = dot_product_attention(q[:, 3:], k[:, 3:], v[:, 3:], jnp.ones((1, 1, 2, 2), bool))
    np.testing.assert_allclose(packed[:, 3:], alone, atol=1e-6)


@pytest.mark.parametrize(
    ("wanted", "platform", "dtype", "rate", "chosen"),
    [
        ("auto", "cuda", "bfloat16", 0.0, "cudnn"),
        ("cudnn", "cuda", "bfloat16", 0.0, "cudnn"),
        ("xla", "cuda", "bfloat16", 0.0, "xla"),
        ("auto", "cuda", "float32", 0.0, "xla"),
        ("auto", "cuda", "bfloat16", 0.1, "xla"),
        ("auto", "rocm", "bfloat16", 0.0, "xla"),
        ("auto", "tpu", "bfloat16", 0.0, "xla"),
        ("auto", "cpu", "float32", 0.1, "xla"),
    ],
)
def test_choice_of_the_kernel(wanted, platform, dtype, rate, chosen):
    assert choose_attention(wanted, platform=platform, dtype=dtype, dropout_rate=rate) == chosen


def test_cudnn_where_it_cannot_run_is_refused_with_every_reason():
    with pytest.raises(ConfigError, match=r"platform 'cpu', dtype 'float32', .*prob 0.1"):
        choose_attention("cudnn", platform="cpu", dtype="float32", dropout_rate=0.1)


@pytest.mark.parametrize("shape", [(3, 1, 1, 5), (1, 1, 4, 5), (1, 1, 1, 5), (3, 1, 4, 5)])
def test_cudnn_gets_a_mask_with_all_queries_and_keys(shape, monkeypatch):
    (q, k, v), real, given = random_qkv((3, 5, 2, 4)), jax.nn.dot_product_attention, {}

    def on_cpu(q, k, v, *, mask, implementation):
        given[implementation] = mask
        return real(q, k, v, mask=mask, implementation="xla")  # JAX's own

    monkeypatch.setattr(jax.nn, "dot_product_attention", on_cpu)
    mask = jnp.asarray(np.random.default_rng(0).random(shape) < 0.5).at[..., 0].set(True)
    xla, cudnn = (
        attention.dot_product_attention(q[:, :4], k, v, mask, implementation=implementation)
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
