"""The memory's algebra by hand and as properties, and the machine around it."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from jax.test_util import check_grads

from bert_jax.config import AddressingConfig, NTMConfig
from bert_jax.models.functional import build, count_parameters
from bert_jax.models.ntm import (
    Address,
    NeuralTuringMachine,
    SequenceLSTM,
    address,
    content_weighting,
    interpolate,
    read,
    run_ntm,
    sharpen,
    shift,
    write,
)

N, M = 5, 3
SMALL = NTMConfig(width=6, slots=N, slot_width=M)
ON = AddressingConfig()
EVERY_STEP = [ON, *(AddressingConfig(**{name: False}) for name in ON.__dataclass_fields__)]

numbers = partial(arrays.arrays, np.float32)
small = st.floats(-4, 4, width=32, allow_subnormal=False)  # XLA flushes those to 0


def simplex(shape):
    """Weightings: random numbers, made to sum to 1."""
    raw = numbers(shape, elements=st.floats(0.0078125, 1, width=32))
    return raw.map(lambda x: x / x.sum(axis=-1, keepdims=True))


def one_hot(*places, size=N):
    return jnp.eye(size)[jnp.array(places)][None]  # [1, H, size]


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
    a = jnp.array([[[3] * M, [4] * M]])
    wanted = np.full((N, M), 2.0)
    wanted[1] = 2 * 0.5 * 0 + 3 + 4
    np.testing.assert_allclose(write(memory, w, e, a)[0], wanted)


# --- Properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize("on", EVERY_STEP, ids=str)
@settings(max_examples=25, deadline=None)
@given(
    k=numbers((1, 2, M), elements=small),
    raw=numbers((3, 1, 2), elements=small),
    s=simplex((1, 2, 3)),
    w_prev=simplex((1, 2, N)),
    memory=numbers((1, N, M), elements=small),
)
def test_weightings_are_distributions(on, k, raw, s, w_prev, memory):
    β, g, γ = np.exp(raw[0]), 1 / (1 + np.exp(-raw[1])), 1 + np.exp(raw[2])
    w = address(Address(k, β, g, s, γ), w_prev, memory, on)
    assert (np.asarray(w) >= 0).all()
    np.testing.assert_allclose(np.asarray(w).sum(axis=-1), 1, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    place=st.integers(0, N - 1),
    move=st.integers(-1, 1),
    k=numbers((1, 1, M), elements=small),
    memory=numbers((1, N, M), elements=small),
)
def test_a_closed_gate_and_a_sure_shift_roll_the_weighting(place, move, k, memory):
    to = Address(k, column(5.0), column(0.0), one_hot(move + 1, size=3), column(1e4))
    w = address(to, one_hot(place), memory, ON)
    np.testing.assert_allclose(w, one_hot((place + move) % N), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, N - 1), w_prev=simplex((1, 1, N)), scale=st.floats(0.125, 8, width=32))
def test_an_open_gate_and_a_strong_key_find_the_row_of_the_same_direction(place, w_prev, scale):
    memory = jnp.array(np.random.default_rng(0).normal(size=(1, N, M)), jnp.float32)
    key = scale * memory[:, place][:, None]
    to = Address(key, column(1e4), column(1.0), one_hot(1, size=3), column(1.0))
    np.testing.assert_allclose(address(to, w_prev, memory, ON), one_hot(place), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    place=st.integers(0, N - 1),
    memory=numbers((1, N, M), elements=small),
    a=numbers((1, 1, M), elements=small),
)
def test_a_full_erase_and_add_replaces_one_row_exactly(place, memory, a):
    w = one_hot(place)
    new = np.asarray(write(memory, w, jnp.ones((1, 1, M)), a))
    wanted = memory.copy()
    wanted[0, place] = a[0, 0]
    np.testing.assert_array_equal(new, wanted)
    np.testing.assert_array_equal(read(w, new), a)
    np.testing.assert_array_equal(write(new, w, jnp.zeros((1, 1, M)), jnp.zeros((1, 1, M))), new)


def test_each_step_of_the_addressing_can_be_left_out():
    memory = jnp.array(np.random.default_rng(1).normal(size=(1, N, M)), jnp.float32)
    key = memory[:, 2][:, None]
    w_prev = jnp.full((1, 1, N), 0.1).at[0, 0, 0].set(0.6)
    to = Address(key, column(1e4), column(0.5), jnp.array([[[0, 0, 1.0]]]), column(2.0))
    mixed = 0.5 * np.asarray(w_prev[0, 0]) + 0.5 * np.eye(N)[2]
    moved = np.roll(mixed, 1)
    wanted = {
        "content": np.roll(w_prev[0, 0], 1) ** 2 / (w_prev**2).sum(),
        "interpolation": np.eye(N)[3],
        "shift": mixed**2 / (mixed**2).sum(),
        "sharpening": moved,
    }
    for name, w in wanted.items():
        got = address(to, w_prev, memory, AddressingConfig(**{name: False}))
        np.testing.assert_allclose(got[0, 0], w, atol=1e-5, err_msg=name)


def test_a_blank_memory_and_a_key_of_zeros_have_gradients():
    def total(k, memory):
        return (content_weighting(k, column(3.0), memory) * jnp.arange(N)[None, None]).sum()

    for memory in (jnp.zeros((1, N, M)), jnp.full((1, N, M), 1e-6)):
        for k in (jnp.zeros((1, 1, M)), jnp.ones((1, 1, M))):
            grads = jax.grad(total, argnums=(0, 1))(k, memory)
            assert all(np.isfinite(grad).all() for grad in grads)


# --- The machine ----------------------------------------------------------------------------------


def make(config=SMALL, model=NeuralTuringMachine, seed=0):
    init, bind = build(config, partial(model, in_width=4, out_width=2))
    return init(jax.random.key(seed)), bind


def sequences(rows=3, length=7):
    return jnp.array(np.random.default_rng(0).integers(0, 2, (rows, length, 4)), jnp.float32)


def test_one_step_in_numpy():
    """The cell of two read and two write heads, written out plainly for one row."""
    config = NTMConfig(controller="feed_forward", width=6, slots=N, slot_width=M, read_heads=2,
                       write_heads=2)  # fmt: skip
    params, bind = make(config, seed=3)
    state = bind(params).cell.start(1)
    step = jax.jit(lambda state, x: bind(params).cell(state, x))
    for x in sequences(1, 3).swapaxes(0, 1):  # the first steps fill the memory
        before, (state, logits) = state, step(state, x)

    def linear(p, x):
        return np.tensordot(x, p["kernel"], 1) + p["bias"]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def weighting(y, w_prev, memory):
        k, β, g, s, γ = y[:M], np.log1p(np.exp(y[M])), sigmoid(y[M + 1]), y[M + 2 : M + 5], y[M + 5]
        s, γ = np.exp(s) / np.exp(s).sum(), 1 + np.log1p(np.exp(γ))
        cosines = [k @ row / np.sqrt((k @ k) * (row @ row)) for row in memory]
        w_c = np.exp(β * np.array(cosines))
        w_g = g * w_c / w_c.sum() + (1 - g) * w_prev
        w = [sum(w_g[j] * s[(i - j + 1) % N] for j in range(N) if (i - j + 1) % N < 3)
             for i in range(N)]  # fmt: skip
        return np.array(w) ** γ / (np.array(w) ** γ).sum()

    p = jax.tree.map(np.asarray, params)["cell"]
    memory = np.asarray(before.memory[0])
    seen = np.concatenate([x[0], before.r[0].reshape(-1)])
    h = np.tanh(linear(p["controller"]["dense"], seen))
    to_read, to_write = linear(p["readers"]["emit"], h), linear(p["writers"]["emit"], h)
    w_read = [weighting(to_read[i], before.w_read[0, i], memory) for i in range(2)]
    w_write = [weighting(to_write[i], before.w_write[0, i], memory) for i in range(2)]
    r = np.stack(w_read) @ memory
    new = memory
    for w, y in zip(w_write, to_write, strict=True):
        new = new * (1 - np.outer(w, sigmoid(y[M + 6 : 2 * M + 6])))
    for w, y in zip(w_write, to_write, strict=True):
        new = new + np.outer(w, y[2 * M + 6 :])
    np.testing.assert_allclose(state.w_read[0], w_read, atol=1e-5)
    np.testing.assert_allclose(state.w_write[0], w_write, atol=1e-5)
    np.testing.assert_allclose(state.r[0], r, atol=1e-5)
    np.testing.assert_allclose(state.memory[0], new, atol=1e-5)
    wanted = linear(p["out"], np.concatenate([h, r.reshape(-1)]))
    np.testing.assert_allclose(logits[0], wanted, atol=1e-5)


def test_what_is_written_is_read_at_the_next_step_and_not_before():
    params, bind = make()
    step = jax.jit(lambda state, x: bind(params).cell(state, x)[0])
    state = bind(params).cell.start(1)
    x = sequences(1, 1)[:, 0]
    changed = state._replace(memory=state.memory.at[0, 0].add(1.0))
    after, after_changed = step(state, x), step(changed, x)
    assert np.abs(after.memory - state.memory).max() > 1e-3  # something is written
    np.testing.assert_allclose(after.r, read(after.w_read, state.memory), atol=1e-7)
    assert np.abs(after_changed.r - after.r).max() > 0.1


def test_the_start():
    params, bind = make()
    state = bind(params).cell.start(2)
    np.testing.assert_allclose(state.memory, 1e-6)
    first = math.exp(8) / (math.exp(8) + N - 1)
    for w in (state.w_read, state.w_write):
        np.testing.assert_allclose(w[:, :, 0], first, rtol=1e-6)
        np.testing.assert_allclose(w.sum(-1), 1, rtol=1e-6)


def test_the_paper_size_and_the_lstm_of_equal_size():
    shapes = {
        kind: jax.eval_shape(build(config, partial(model, in_width=9, out_width=8))[0],
                             jax.random.key(0))
        for kind, config, model in (
            ("ntm", NTMConfig(), NeuralTuringMachine),
            ("lstm", NTMConfig(kind="lstm", width=128), SequenceLSTM),
        )
    }  # fmt: skip
    lstm, heads = 400 * (9 + 20 + 100 + 1), 101 * (26 + 66) + 2 * 128
    assert count_parameters(shapes["ntm"]) == lstm + heads + (120 + 1) * 8
    assert count_parameters(shapes["lstm"]) == 512 * (9 + 128 + 1) + 129 * 8


def test_the_kernels_start_as_in_pytorch_ntm():
    init, _ = build(NTMConfig(), partial(NeuralTuringMachine, in_width=9, out_width=8))
    cell = init(jax.random.key(0))["cell"]
    limits = {
        "controller": (cell["controller"]["x_kernel"], 5 / math.sqrt(29 + 100)),
        "recurrent": (cell["controller"]["h_kernel"], 5 / math.sqrt(29 + 100)),
        "readers": (cell["readers"]["emit"]["kernel"], 1.4 * math.sqrt(6 / (100 + 26))),
        "writers": (cell["writers"]["emit"]["kernel"], 1.4 * math.sqrt(6 / (100 + 66))),
        "out": (cell["out"]["kernel"], math.sqrt(6 / (120 + 8))),
    }
    for name, (kernel, limit) in limits.items():
        assert 0.97 * limit < np.abs(kernel).max() <= limit, name


@pytest.mark.parametrize("model", [NeuralTuringMachine, SequenceLSTM])
def test_what_follows_a_sequence_and_stands_beside_it_changes_nothing(model):
    params, bind = make(model=model)
    x = sequences()
    run = jax.jit(lambda x: bind(params)(x))
    alone, among_others = run(x[:1, :4]), run(x)
    np.testing.assert_allclose(among_others[:1, :4], alone, atol=1e-6)


@pytest.mark.parametrize("controller", ["lstm", "feed_forward"])
def test_the_scan_is_the_cell_step_by_step(controller):
    config = NTMConfig(controller=controller, width=6, slots=N, slot_width=M, read_heads=2)
    params, bind = make(config)
    x, step = sequences(), jax.jit(lambda state, x: bind(params).cell(state, x))
    logits, heads = run_ntm(bind(params).cell, x)
    state = bind(params).cell.start(len(x))
    for t in range(x.shape[1]):
        state, y = step(state, x[:, t])
        np.testing.assert_allclose(logits[:, t], y, atol=1e-6)
        np.testing.assert_allclose(heads.read[:, t], state.w_read, atol=1e-6)
        np.testing.assert_allclose(heads.write[:, t], state.w_write, atol=1e-6)
    np.testing.assert_allclose(bind(params)(x), logits, atol=1e-6)


@pytest.mark.parametrize("controller", ["lstm", "feed_forward"])
def test_gradients_in_double_precision(controller):
    """From a memory that is not blank: there, differences say nothing of so sharp a cosine."""
    config = NTMConfig(controller=controller, width=4, slots=N, slot_width=M, write_heads=2)
    with jax.enable_x64(True):
        params, bind = make(config)
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
        memory = jnp.array(np.random.default_rng(0).normal(size=(2, N, M)))
        x = jnp.asarray(sequences(2, 3), jnp.float64).swapaxes(0, 1)

        @jax.jit
        def total(params):
            cell = bind(params).cell
            start = jax.tree.map(lambda s: s.astype(jnp.float64), cell.start(2))
            state, y = jax.lax.scan(cell, start._replace(memory=memory), x)
            return jnp.sin(y).sum() + jnp.sin(state.memory).sum()

        check_grads(total, (params,), order=1, modes=["rev"], atol=1e-5, rtol=1e-5)
