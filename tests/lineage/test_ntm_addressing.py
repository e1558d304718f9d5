"""The NTM's addressing, reading and writing, by hand and as properties."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bert_jax.lineage.config import AddressingConfig
from bert_jax.lineage.ntm_addressing import (
    AddressingParams,
    address,
    content_weighting,
    interpolate,
    read,
    sharpen,
    shift,
    write,
)

N, M = 5, 3
ON = AddressingConfig()
ABLATIONS = [ON, *(AddressingConfig(**{name: False}) for name in ON.__dataclass_fields__)]

small = st.floats(-4, 4, width=32, allow_subnormal=False)  # XLA flushes those to 0


def numbers(shape, elements):
    """Return a strategy of float32 arrays."""
    return arrays.arrays(np.float32, shape, elements=elements).map(jnp.asarray)


def simplex(shape):
    """Return a strategy of weightings: random numbers that are normalized to sum to 1."""
    raw = numbers(shape, elements=st.floats(0.0078125, 1, width=32))
    return raw.map(lambda x: x / x.sum(axis=-1, keepdims=True))


def one_hot(*indices, size=N):
    return jnp.eye(size)[jnp.array(indices)][None]  # [1, H, size]


def column(*values):
    return jnp.array([values], jnp.float32)  # [1, H]


# --- Addressing by hand ---------------------------------------------------------------------------


def test_content_weighting_by_hand():
    memory = jnp.array([[[3.0, 0, 0], [0, 2, 0], [-1, 0, 0], [0, 0, 0], [1, 1, 0]]])
    w = content_weighting(jnp.array([[[0.5, 0, 0]]]), column(2.0), memory)
    scores = np.exp(2 * np.array([1, 0, -1, 0, math.sqrt(0.5)]))
    np.testing.assert_allclose(w[0, 0], scores / scores.sum(), rtol=1e-5)


def test_interpolation_by_hand():
    w = interpolate(one_hot(0, 0), column(0.25, 1.0), one_hot(3, 3))
    np.testing.assert_allclose(w[0], [[0.25, 0, 0, 0.75, 0], [1, 0, 0, 0, 0]])


def test_shift_by_hand_has_the_paper_s_sign():
    # Σ_j w(j) s(i - j): all of row 0's weight, 0.2 of it one down (to row 4), 0.7 one up.
    w = shift(one_hot(0), jnp.array([[[0.2, 0.1, 0.7]]]))
    np.testing.assert_allclose(w[0, 0], [0.1, 0.7, 0, 0, 0.2])
    w = shift(one_hot(3), jnp.array([[[0.1, 0, 0, 0.3, 0.6]]]))  # moves from -2 to 2
    np.testing.assert_allclose(w[0, 0], [0.6, 0.1, 0, 0, 0.3])


def test_sharpening_by_hand():
    w = sharpen(jnp.array([[[0.5, 0.25, 0.25, 0, 0]]]), column(2.0))
    np.testing.assert_allclose(w[0, 0], np.array([4, 1, 1, 0, 0]) / 6, atol=1e-6)


def test_reading_by_hand():
    memory = jnp.arange(10.0).reshape(1, 5, 2)
    r = read(jnp.array([[[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 1]]]), memory)
    np.testing.assert_allclose(r[0], [[1, 2], [8, 9]])


def test_writing_by_hand():
    memory = jnp.ones((1, 2, 2))
    w, e, a = jnp.array([[[1, 0.5]]]), jnp.array([[[1, 0.5]]]), jnp.array([[[3.0, 4]]])
    np.testing.assert_allclose(write(memory, w, e, a)[0], [[3, 4.5], [2, 2.75]])


def test_two_heads_erase_before_either_adds():
    memory = jnp.full((1, N, M), 2.0)
    w, e = one_hot(1, 1), jnp.array([[[0.5] * M, [1] * M]])
    a = jnp.array([[[3.0] * M, [4.0] * M]])
    expected = np.full((N, M), 2.0)
    expected[1] = 2 * 0.5 * 0 + 3 + 4
    np.testing.assert_allclose(write(memory, w, e, a)[0], expected)


# --- Properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize("config", ABLATIONS, ids=str)
@settings(max_examples=25, deadline=None)
@given(
    k=numbers((1, 2, M), elements=small),
    raw=numbers((3, 1, 2), elements=small),
    s=simplex((1, 2, 3)),
    w_prev=simplex((1, 2, N)),
    memory=numbers((1, N, M), elements=small),
)
def test_weightings_are_distributions(config, k, raw, s, w_prev, memory):
    β, g, γ = jnp.exp(raw[0]), 1 / (1 + jnp.exp(-raw[1])), 1 + jnp.exp(raw[2])
    w = address(AddressingParams(k, β, g, s, γ), w_prev, memory, config)
    assert (np.asarray(w) >= 0).all()
    np.testing.assert_allclose(np.asarray(w).sum(axis=-1), 1, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    row=st.integers(0, N - 1),
    offset=st.integers(-1, 1),
    k=numbers((1, 1, M), elements=small),
    memory=numbers((1, N, M), elements=small),
)
def test_a_closed_gate_and_a_certain_shift_roll_the_weighting(row, offset, k, memory):
    s = one_hot(offset + 1, size=3)
    params = AddressingParams(k, column(5.0), column(0.0), s, column(1e4))
    w = address(params, one_hot(row), memory, ON)
    np.testing.assert_allclose(w, one_hot((row + offset) % N), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(row=st.integers(0, N - 1), w_prev=simplex((1, 1, N)), scale=st.floats(0.125, 8, width=32))
def test_an_open_gate_and_a_strong_key_find_the_row_of_the_same_direction(row, w_prev, scale):
    memory = jnp.array(np.random.default_rng(0).normal(size=(1, N, M)), jnp.float32)
    k = scale * memory[:, row][:, None]
    params = AddressingParams(k, column(1e4), column(1.0), one_hot(1, size=3), column(1.0))
    np.testing.assert_allclose(address(params, w_prev, memory, ON), one_hot(row), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    row=st.integers(0, N - 1),
    memory=numbers((1, N, M), elements=small),
    a=numbers((1, 1, M), elements=small),
)
def test_a_full_erase_and_add_replaces_one_row_exactly(row, memory, a):
    w = one_hot(row)
    new = write(memory, w, jnp.ones((1, 1, M)), a)
    expected = np.array(memory)
    expected[0, row] = a[0, 0]
    np.testing.assert_array_equal(new, expected)
    np.testing.assert_array_equal(read(w, new), a)
    np.testing.assert_array_equal(write(new, w, jnp.zeros((1, 1, M)), jnp.zeros((1, 1, M))), new)


def test_each_step_of_the_addressing_can_be_left_out():
    memory = jnp.array(np.random.default_rng(1).normal(size=(1, N, M)), jnp.float32)
    k = memory[:, 2][:, None]
    w_prev = jnp.full((1, 1, N), 0.1).at[0, 0, 0].set(0.6)
    s = jnp.array([[[0, 0, 1.0]]])
    params = AddressingParams(k, column(1e4), column(0.5), s, column(2.0))
    mixed = 0.5 * np.asarray(w_prev[0, 0]) + 0.5 * np.eye(N)[2]
    shifted = np.roll(mixed, 1)
    expected = {
        "content": np.roll(w_prev[0, 0], 1) ** 2 / (w_prev**2).sum(),
        "interpolation": np.eye(N)[3],
        "shift": mixed**2 / (mixed**2).sum(),
        "sharpening": shifted,
    }
    for name, w in expected.items():
        weighting = address(params, w_prev, memory, AddressingConfig(**{name: False}))
        np.testing.assert_allclose(weighting[0, 0], w, atol=1e-5, err_msg=name)


def test_an_unwritten_memory_and_a_key_of_zeros_have_gradients():
    def total(k, memory):
        return (content_weighting(k, column(3.0), memory) * jnp.arange(N)[None, None]).sum()

    for memory in (jnp.zeros((1, N, M)), jnp.full((1, N, M), 1e-6)):
        for k in (jnp.zeros((1, 1, M)), jnp.ones((1, 1, M))):
            grads = jax.grad(total, argnums=(0, 1))(k, memory)
            assert all(np.isfinite(grad).all() for grad in grads)
