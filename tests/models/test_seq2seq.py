import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.config import GNMTConfig, Seq2SeqConfig
from bert_jax.models.functional import build
from bert_jax.models.lstm_decoders import Attention, Memory
from bert_jax.models.seq2seq import Seq2Seq, reverse_tokens
from bert_jax.nn.linear import uniform
from bert_jax.nn.recurrent import LSTMState
from tests.models.date_model import forward, load_into

BASE = Seq2SeqConfig(embedding_size=5, hidden_size=6, vocab_size=11, init_range=0.5)
GNMT = GNMTConfig(embedding_size=5, hidden_size=6, num_layers=3, vocab_size=11, init_range=0.5)
SOURCE = np.array([[4, 5, 6, 3, 0, 0], [7, 8, 9, 10, 5, 3]])
TARGET = np.array([[2, 4, 5, 6, 7], [2, 9, 8, 7, 6]])


def variant(**values):
    return dataclasses.replace(BASE, **values)


VARIANTS = {
    "plain": variant(attention="none"),
    "reversed": variant(attention="none", reverse_source=True),
    "peeky": variant(attention="none", peeky=True),
    "dot": variant(),
    "book": variant(attentional_layer=False, reverse_source=True),
    "general": variant(attention="general", bidirectional=True),
    "additive": variant(attention="additive", bidirectional=True, num_layers=2),
    "feeding": variant(input_feeding=True),
    "feeding the context": variant(input_feeding=True, attentional_layer=False),
    "deep": variant(num_layers=3, residual=True),
    "gnmt": GNMT,
}


def model(config, seed=0):
    init, bind = build(config, Seq2Seq)
    return bind(jax.jit(init)(jax.random.key(seed)))


def logits(m, source=SOURCE, target=TARGET):
    return run(m, jnp.array(source), jnp.array(target))


@nnx.jit
def run(m, source, target):
    return m(source, source != 0, target)


@pytest.fixture(scope="module", params=VARIANTS)
def made(request):
    m = model(VARIANTS[request.param])
    return m, logits(m), VARIANTS[request.param]


def test_a_target_token_changes_nothing_before_it(made):
    m, before, _ = made
    changed = TARGET.copy()
    changed[:, 2] = 1

    after = logits(m, target=changed)

    np.testing.assert_allclose(after[:, :2], before[:, :2], atol=1e-6)
    assert np.abs(after[:, 2] - before[:, 2]).max() > 1e-4


def test_padding_and_neighbours_change_nothing(made):
    m, together, _ = made

    alone = logits(m, source=SOURCE[:1, :4], target=TARGET[:1])

    np.testing.assert_allclose(together[0], alone[0], atol=1e-5)


def test_the_source_matters_and_its_order_too(made):
    m, before, _ = made
    swapped = SOURCE.copy()
    swapped[:, [0, 1]] = swapped[:, [1, 0]]

    assert np.abs(logits(m, source=swapped) - before).max() > 1e-4


def test_step_by_step_is_all_at_once(made):
    m, full, config = made
    source = jnp.array(SOURCE)

    memory = nnx.jit(lambda m, s: m.remember(s, s != 0))(m, source)
    state = m.start(memory, 99)
    step = nnx.jit(lambda m, *inputs: m.step(*inputs))
    for t in range(TARGET.shape[1]):
        state, found, weights = step(m, memory, state, jnp.array(TARGET[:, t]), jnp.array(t))
        np.testing.assert_allclose(found, full[:, t], atol=1e-5)
        if getattr(config, "attention", "additive") != "none":
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
            np.testing.assert_array_equal(weights[0, 4:], 0)


def test_attention_by_hand():
    attend = Attention("dot", 2, 2, uniform(0.1), nnx.Rngs(0))
    h = jnp.array([[[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]])
    mask = jnp.array([[True, True, False]])

    context, weights = attend(jnp.array([[1.0, 0.5]]), attend.keys(h), h, mask)

    np.testing.assert_allclose(weights, [[0.5, 0.5, 0.0]], atol=1e-6)
    np.testing.assert_allclose(context, [[0.5, 1.0]], atol=1e-6)


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
def test_the_order_of_the_memory_does_not_matter_to_attention(score):
    attend = Attention(score, 4, 4, uniform(1.0), nnx.Rngs(0))
    rng = np.random.default_rng(0)
    h, s = jnp.array(rng.normal(size=(1, 5, 4)), jnp.float32), jnp.ones((1, 4))
    mask, order = jnp.array([[True, False, True, True, True]]), np.array([3, 1, 4, 0, 2])

    context, weights = attend(s, attend.keys(h), h, mask)
    shuffled, other = attend(s, attend.keys(h[:, order]), h[:, order], mask[:, order])

    np.testing.assert_allclose(context, shuffled, atol=1e-6)
    np.testing.assert_allclose(weights[:, order], other, atol=1e-6)


def test_scores_are_luong_s_and_bahdanau_s():
    rng = np.random.default_rng(0)
    h, s = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 4))
    general = Attention("general", 4, 3, uniform(1.0), nnx.Rngs(0))
    additive = Attention("additive", 4, 3, uniform(1.0), nnx.Rngs(0))
    mask = jnp.ones((2, 5), bool)

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)

    w = np.asarray(general.w[...])
    expected = softmax(np.stack([[s[b] @ (w.T @ h[b, i]) for i in range(5)] for b in range(2)]))
    _, found = general(jnp.float32(s), general.keys(jnp.float32(h)), jnp.float32(h), mask)
    np.testing.assert_allclose(found, expected, atol=1e-5)

    w, u, v = (np.asarray(x[...]) for x in (additive.w, additive.u, additive.v))
    scores = [[v[:, 0] @ np.tanh(s[b] @ w + h[b, i] @ u) for i in range(5)] for b in range(2)]
    _, found = additive(jnp.float32(s), additive.keys(jnp.float32(h)), jnp.float32(h), mask)
    np.testing.assert_allclose(found, softmax(np.array(scores)), atol=1e-5)


def test_reversing_leaves_padding_where_it_is():
    mask = jnp.array([[True, True, True, False]])

    np.testing.assert_array_equal(reverse_tokens(jnp.array([[1, 2, 3, 0]]), mask), [[3, 2, 1, 0]])


def test_a_residual_stack_of_silent_cells_is_the_identity():
    m = model(variant(num_layers=3, residual=True))
    for cell in list(m.encoder.cells)[1:]:
        cell.x_kernel[...] *= 0
        cell.h_kernel[...] *= 0
    first = model(variant(num_layers=1))
    first.encoder.embedding[...] = m.encoder.embedding[...]
    for name in ("x_kernel", "h_kernel", "bias"):
        getattr(first.encoder.cells[0], name)[...] = getattr(m.encoder.cells[0], name)[...]
    source = jnp.array(SOURCE)

    deep, _ = m.encoder(source, source != 0, key=None)
    shallow, _ = first.encoder(source, source != 0, key=None)

    np.testing.assert_allclose(deep, shallow, atol=1e-6)


def test_widths_of_gnmt_s_layers():
    m = model(GNMT)

    assert [c.x_kernel.shape[0] for c in m.encoder.cells] == [5, 12, 6]
    assert [c.x_kernel.shape[0] for c in m.decoder.cells] == [5 + 6, 6 + 6, 6 + 6]
    assert m.encoder.backward_cell.x_kernel.shape == (5, 24)
    assert m.decoder.output.kernel.shape == (6, 11)  # the top layer alone


def test_gnmt_reads_by_the_bottom_layer_of_the_step_before():
    m, source = model(GNMT), jnp.array(SOURCE)
    memory = m.remember(source, source != 0)
    state = m.start(memory, 0)

    _, _, first = m.step(memory, state, jnp.array([2, 2]), jnp.array(0))
    _, _, other_word = m.step(memory, state, jnp.array([9, 9]), jnp.array(0))
    bottom = state.layers[0]
    moved = state._replace(layers=[LSTMState(bottom.c, bottom.h + 1.0), *state.layers[1:]])
    _, _, other_state = m.step(memory, moved, jnp.array([2, 2]), jnp.array(0))

    np.testing.assert_array_equal(first, other_word)
    assert np.abs(first - other_state).max() > 1e-4


def test_residual_connections_of_gnmt_start_at_the_third_layer():
    silent = {name: model(GNMT) for name in ("second", "third")}
    for i, m in enumerate(silent.values(), 1):
        m.decoder.cells[i].x_kernel[...] *= 0
        m.decoder.cells[i].h_kernel[...] *= 0
        m.decoder.cells[i].bias[...] -= 100  # every gate shut, whatever the state
    seen = {}
    for name, m in silent.items():
        source = jnp.array(SOURCE)
        memory = m.remember(source, source != 0)
        state = m.start(memory, 0)
        state, out, _ = m.decoder.step(memory, state, jnp.ones((2, 5)), key=None)
        seen[name] = (np.asarray(out[:, :6]), [np.asarray(s.h) for s in state.layers])

    out, layers = seen["third"]  # silent, and passed by: the second layer's output comes through
    np.testing.assert_allclose(out, layers[1], atol=1e-6)
    out, layers = seen["second"]  # silent, and not passed by: the third sees nothing from below
    np.testing.assert_allclose(out, layers[2], atol=1e-6)


def test_all_layers_of_gnmt_see_the_context():
    m = model(GNMT)
    h = jnp.ones((1, 2, 6))
    last = [LSTMState(jnp.zeros((1, 6)), jnp.zeros((1, 6)))] * 3
    memories = [Memory(x, m.decoder.keys(x), jnp.ones((1, 2), bool), last) for x in (h, 2 * h)]

    states = [m.step(y, m.start(y, 0), jnp.array([4]), jnp.array(0))[0] for y in memories]
    for i in range(1, 3):  # cut off what comes from below: only the context is left
        m.decoder.cells[i].x_kernel[:6] = 0.0
    above = [m.step(y, m.start(y, 0), jnp.array([4]), jnp.array(0))[0] for y in memories]

    assert np.abs(states[0].layers[0].h - states[1].layers[0].h).max() > 1e-4
    for i in range(1, 3):
        assert np.abs(above[0].layers[i].h - above[1].layers[i].h).max() > 1e-4


def test_the_date_model_is_its_equations_in_numpy():
    """The book's wiring (gates f, g, i, o; no attentional layer; only h handed on), transcribed."""
    rng = np.random.default_rng(0)
    sizes = {"embed": (11, 5), "Wx": (5, 24), "Wh": (6, 24), "b": (24,)}
    weights = {
        f"{side}_{name}": rng.normal(size=shape).astype(np.float32)
        for side in ("encoder", "decoder")
        for name, shape in sizes.items()
    }
    weights["output_W"] = rng.normal(size=(12, 11)).astype(np.float32)
    weights["output_b"] = rng.normal(size=11).astype(np.float32)
    source = rng.integers(1, 11, size=(2, 7))

    expected, expected_weights = forward(weights, source, TARGET)
    decode = load_into(weights)
    found, found_weights = decode(source, TARGET)

    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found_weights, expected_weights, atol=1e-5)
