"""The Neural Turing Machine: one step in NumPy, the scan, the first weights, the gradients."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from bert_jax.lineage.config import NTMConfig
from bert_jax.lineage.ntm import NeuralTuringMachine, SequenceLSTM, run_ntm
from bert_jax.lineage.ntm_addressing import read
from bert_jax.models.functional import build, count_parameters

N, M = 5, 3
SMALL = NTMConfig(width=6, slots=N, slot_width=M)


def make(config=SMALL, model=NeuralTuringMachine, seed=0):
    init, merge = build(config, partial(model, in_width=4, out_width=2))
    return init(jax.random.key(seed)), merge


def sequences(rows=3, length=7):
    return jnp.array(np.random.default_rng(0).integers(0, 2, (rows, length, 4)), jnp.float32)


def test_one_step_in_numpy():
    """Compute the cell of two read and two write heads for one row."""
    config = NTMConfig(controller="feed_forward", width=6, slots=N, slot_width=M, read_heads=2,
                       write_heads=2)  # fmt: skip
    params, merge = make(config, seed=3)
    state = merge(params).cell.init_state(1)
    step = jax.jit(lambda state, x: merge(params).cell(state, x))
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
    x_and_r = np.concatenate([x[0], before.r[0].reshape(-1)])
    h = np.tanh(linear(p["controller"]["dense"], x_and_r))
    for_read, for_write = linear(p["readers"]["emit"], h), linear(p["writers"]["emit"], h)
    w_read = [weighting(for_read[i], before.w_read[0, i], memory) for i in range(2)]
    w_write = [weighting(for_write[i], before.w_write[0, i], memory) for i in range(2)]
    r = np.stack(w_read) @ memory
    new = memory
    for w, y in zip(w_write, for_write, strict=True):
        new = new * (1 - np.outer(w, sigmoid(y[M + 6 : 2 * M + 6])))
    for w, y in zip(w_write, for_write, strict=True):
        new = new + np.outer(w, y[2 * M + 6 :])
    np.testing.assert_allclose(state.w_read[0], w_read, atol=1e-5)
    np.testing.assert_allclose(state.w_write[0], w_write, atol=1e-5)
    np.testing.assert_allclose(state.r[0], r, atol=1e-5)
    np.testing.assert_allclose(state.memory[0], new, atol=1e-5)
    expected = linear(p["out"], np.concatenate([h, r.reshape(-1)]))
    np.testing.assert_allclose(logits[0], expected, atol=1e-5)


def test_what_is_written_is_read_at_the_next_step_and_not_before():
    params, merge = make()
    step = jax.jit(lambda state, x: merge(params).cell(state, x)[0])
    state = merge(params).cell.init_state(1)
    x = sequences(1, 1)[:, 0]
    changed = state._replace(memory=state.memory.at[0, 0].add(1.0))
    after, after_changed = step(state, x), step(changed, x)
    assert np.abs(after.memory - state.memory).max() > 1e-3  # something is written
    np.testing.assert_allclose(after.r, read(after.w_read, state.memory), atol=1e-7)
    assert np.abs(after_changed.r - after.r).max() > 0.1


def test_the_first_state():
    params, merge = make()
    state = merge(params).cell.init_state(2)
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
    params, merge = make(model=model)
    x = sequences()
    run = jax.jit(lambda x: merge(params)(x))
    alone, among_others = run(x[:1, :4]), run(x)
    np.testing.assert_allclose(among_others[:1, :4], alone, atol=1e-6)


@pytest.mark.parametrize("controller", ["lstm", "feed_forward"])
def test_the_scan_is_the_cell_step_by_step(controller):
    config = NTMConfig(controller=controller, width=6, slots=N, slot_width=M, read_heads=2)
    params, merge = make(config)
    x, step = sequences(), jax.jit(lambda state, x: merge(params).cell(state, x))
    logits, heads = run_ntm(merge(params).cell, x)
    state = merge(params).cell.init_state(len(x))
    for t in range(x.shape[1]):
        state, y = step(state, x[:, t])
        np.testing.assert_allclose(logits[:, t], y, atol=1e-6)
        np.testing.assert_allclose(heads.read[:, t], state.w_read, atol=1e-6)
        np.testing.assert_allclose(heads.write[:, t], state.w_write, atol=1e-6)
    np.testing.assert_allclose(merge(params)(x), logits, atol=1e-6)


@pytest.mark.parametrize("controller", ["lstm", "feed_forward"])
def test_gradients_in_double_precision(controller):
    """Start from a random memory: at an unwritten one the cosine is too steep for differences."""
    config = NTMConfig(controller=controller, width=4, slots=N, slot_width=M, write_heads=2)
    with jax.enable_x64(True):
        params, merge = make(config)
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
        memory = jnp.array(np.random.default_rng(0).normal(size=(2, N, M)))
        x = jnp.asarray(sequences(2, 3), jnp.float64).swapaxes(0, 1)

        @jax.jit
        def total(params):
            cell = merge(params).cell
            first = jax.tree.map(lambda s: s.astype(jnp.float64), cell.init_state(2))
            state, y = jax.lax.scan(cell, first._replace(memory=memory), x)
            return jnp.sin(y).sum() + jnp.sin(state.memory).sum()

        check_grads(total, (params,), order=1, modes=["rev"], atol=1e-5, rtol=1e-5)
