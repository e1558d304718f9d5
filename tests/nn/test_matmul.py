import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.nn.matmul import matmul, unembed


def test_a_product_of_bfloat16_is_float32s_rounded_and_so_are_its_gradients():
    rng = np.random.default_rng(0)
    shapes = ((6, 40), (40, 30), (6, 30))
    x, kernel, dy = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in shapes)

    def all_of(x, kernel, dy):
        y, pull = jax.vjp(matmul, x, kernel)
        return y, *pull(dy)

    actual = jax.jit(all_of)(x, kernel, dy)
    expected = jax.jit(all_of)(*(each.astype(jnp.float32) for each in (x, kernel, dy)))
    for ours, exact in zip(actual, expected, strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=0.005, atol=1e-4)


def test_logits_are_float32_and_no_product_of_their_gradients_is():
    rng = np.random.default_rng(0)
    shapes = ((2, 3, 40), (50, 40), (2, 3, 50))
    x, words, dy = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in shapes)

    def all_of(x, words, dy):
        scores, pull = jax.vjp(unembed, x, words)
        return scores, *pull(dy)

    low = (x, words, dy.astype(jnp.float32))
    actual = jax.jit(all_of)(*low)
    expected = jax.jit(all_of)(*(each.astype(jnp.float32) for each in low))
    assert [each.dtype.name for each in actual] == ["float32", "bfloat16", "bfloat16"]
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5, atol=1e-5)
    for ours, exact in zip(actual[1:], expected[1:], strict=True):
        np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=0.005, atol=1e-4)
    program = jax.jit(all_of).lower(*low).as_text().splitlines()
    products = [line for line in program if "dot_general" in line]
    assert len(products) == 3
    for line in products:  # … : (tensor<6x40xbf16>, tensor<40x50xbf16>) -> tensor<6x50xf32>
        assert line.count("xbf16>") == 2


@pytest.mark.parametrize(("platform", "dtype"), [("cpu", "f32"), ("cuda", "bf16")])
def test_the_product_is_that_of_the_machine_the_program_is_for(platform, dtype):
    x, kernel = jnp.ones((3, 40), jnp.bfloat16), jnp.ones((40, 50), jnp.bfloat16)
    traced = jax.jit(jax.grad(lambda x: matmul(x, kernel).sum().astype(jnp.float32))).trace(x)
    program = traced.lower(lowering_platforms=(platform,)).as_text()
    (product,) = [line for line in program.splitlines() if "dot_general" in line]
    assert product.endswith(f"-> tensor<3x40x{dtype}>")
