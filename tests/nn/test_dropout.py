import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.nn.dropout import dropout

KEY = jax.random.key(0, impl="philox4x32")


def test_without_key_or_rate_it_is_the_identity():
    x = jnp.arange(6.0)
    assert dropout(x, None, 0.5) is x
    assert dropout(x, KEY, 0.0) is x


@pytest.mark.parametrize("shape", [(400, 250), (300, 333)])  # an odd width leaves half a word over
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_share_and_scale(shape, rate):
    y = np.asarray(dropout(jnp.ones(shape), KEY, rate))
    assert abs((y == 0).mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / y.size)
    np.testing.assert_allclose(np.unique(y[y > 0]), [1 / (1 - rate)], rtol=1e-4)
    assert abs(y.mean() - 1) < 0.015


def test_neighbours_that_share_a_word_are_independent():
    kept = np.asarray(dropout(jnp.ones((1000, 200)), KEY, 0.5)) > 0
    assert abs((kept[:, ::2] == kept[:, 1::2]).mean() - 0.5) < 0.01
    assert abs((kept[:, 1:-1:2] == kept[:, 2::2]).mean() - 0.5) < 0.01


def test_the_gradient_goes_where_the_value_went():
    x = jnp.linspace(1.0, 2.0, 64)
    y, gradient = jax.value_and_grad(lambda x: dropout(x, KEY, 0.3).sum())(x)
    scale = 65536 / (65536 - round(0.3 * 65536))
    np.testing.assert_allclose(gradient, np.where(gradient == 0, 0.0, scale), rtol=1e-6)
    np.testing.assert_allclose(y, (gradient * x).sum(), rtol=1e-6)


def test_the_key_decides_and_the_type_stays():
    x = jnp.ones((4, 64), jnp.bfloat16)
    same = [dropout(x, KEY, 0.5), dropout(x, KEY, 0.5)]
    np.testing.assert_array_equal(*same)
    assert same[0].dtype == jnp.bfloat16
    assert (same[0] != dropout(x, jax.random.fold_in(KEY, 1), 0.5)).any()


@pytest.mark.parametrize(("platform", "generator"), [("cpu", "THREE_FRY"), ("tpu", "DEFAULT")])
def test_the_generator_is_that_of_the_machine_the_program_is_for(platform, generator):
    traced = jax.jit(lambda x: dropout(x, KEY, 0.5)).trace(jnp.ones((4, 64)))
    program = traced.lower(lowering_platforms=(platform,)).as_text()
    lines = [line for line in program.splitlines() if "rng_bit_generator" in line]
    assert generator in lines[-1]
