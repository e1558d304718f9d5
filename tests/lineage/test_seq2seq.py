"""Properties of LSTM encoder-decoders, and the equations of one of them in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.lineage.config import GNMTConfig, Seq2SeqConfig
from bert_jax.lineage.lstm import LSTMState
from bert_jax.lineage.lstm_decoders import Memory
from bert_jax.lineage.seq2seq import Seq2Seq, reverse_tokens
from bert_jax.models.functional import build
from tests.lineage.date_model import forward, load_into

BASE = Seq2SeqConfig(embedding_size=5, hidden_size=6, vocab_size=11, init_range=0.5)
GNMT = GNMTConfig(embedding_size=5, hidden_size=6, num_layers=3, vocab_size=11, init_range=0.5)
SOURCE = np.array([[4, 5, 6, 3, 0, 0], [7, 8, 9, 10, 5, 3]])
TARGET = np.array([[2, 4, 5, 6, 7], [2, 9, 8, 7, 6]])


def variant(**values):
    return dataclasses.replace(BASE, **values)


TIED = variant(bidirectional=True, attention="general", input_feeding=True, tie_embeddings=True)
TIED_GNMT = dataclasses.replace(GNMT, embedding_size=6, tie_embeddings=True)

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
    "scaled": variant(attention="scaled", bidirectional=True),
    "tied": TIED,
    "gnmt": GNMT,
    "tied gnmt": TIED_GNMT,
    "gnmt, residual words": dataclasses.replace(TIED_GNMT, residual_words=True),
}


def model(config, seed=0):
    init, merge = build(config, Seq2Seq)
    return merge(jax.jit(init)(jax.random.key(seed)))


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

    memory = nnx.jit(lambda m, s: m.encode(s, s != 0))(m, source)
    state = m.init_state(memory, 99)
    step = nnx.jit(lambda m, *inputs: m.step(*inputs))
    for t in range(TARGET.shape[1]):
        state, scores, alignment = step(m, memory, state, jnp.array(TARGET[:, t]), jnp.array(t))
        np.testing.assert_allclose(scores, full[:, t], atol=1e-5)
        if getattr(config, "attention", "additive") != "none":
            np.testing.assert_allclose(alignment.sum(axis=1), 1, atol=1e-5)
            np.testing.assert_array_equal(alignment[0, 4:], 0)


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


def test_gnmt_attends_by_the_bottom_layer_of_the_step_before():
    m, source = model(GNMT), jnp.array(SOURCE)
    memory = m.encode(source, source != 0)
    state = m.init_state(memory, 0)

    _, _, first = m.step(memory, state, jnp.array([2, 2]), jnp.array(0))
    _, _, other_word = m.step(memory, state, jnp.array([9, 9]), jnp.array(0))
    bottom = state.layers[0]
    moved = state._replace(layers=[LSTMState(bottom.c, bottom.h + 1.0), *state.layers[1:]])
    _, _, other_state = m.step(memory, moved, jnp.array([2, 2]), jnp.array(0))

    np.testing.assert_array_equal(first, other_word)
    assert np.abs(first - other_state).max() > 1e-4


@pytest.mark.parametrize("config", [TIED, TIED_GNMT])
def test_one_embedding_is_read_times_its_root_and_written_as_it_is(config):
    if config.kind == "seq2seq":  # s̃ is as wide as the embedding; the feed of the untied model, H
        config = dataclasses.replace(config, hidden_size=5)
    tied, untied = model(config), model(dataclasses.replace(config, tie_embeddings=False))
    embedding = tied.encoder.embedding[...]
    nnx.update(untied, nnx.state(tied, nnx.Param))
    untied.encoder.embedding[...] = embedding * embedding.shape[1] ** 0.5
    untied.decoder.embedding[...] = untied.encoder.embedding[...]
    untied.decoder.output.kernel[...] = embedding.T

    np.testing.assert_allclose(logits(tied), logits(untied), atol=1e-5)
    read = model(dataclasses.replace(config, vocab_size=5000)).encoder.embed(jnp.arange(5000))
    np.testing.assert_allclose(read.std(), 1, atol=0.02)


@pytest.mark.parametrize("config", [TIED, TIED_GNMT])
def test_residual_words_are_added_to_every_direction_and_not_to_padding(config):
    config = dataclasses.replace(config, embedding_size=6)
    plain, residual = model(config), model(dataclasses.replace(config, residual_words=True))
    source = jnp.array(SOURCE)

    without, with_words = (m.encode(source, source != 0) for m in (plain, residual))

    words = np.where((SOURCE != 0)[..., None], plain.encoder.embed(source), 0)
    for direction in np.split(np.asarray(with_words.h - without.h), without.h.shape[-1] // 6, -1):
        np.testing.assert_allclose(direction, words, atol=1e-5)
    assert [s.h.tolist() for s in with_words.last] == [s.h.tolist() for s in without.last]


def test_residual_connections_of_gnmt_start_at_the_third_layer():
    silent = {name: model(GNMT) for name in ("second", "third")}
    for i, m in enumerate(silent.values(), 1):
        m.decoder.cells[i].x_kernel[...] *= 0
        m.decoder.cells[i].h_kernel[...] *= 0
        m.decoder.cells[i].bias[...] -= 100  # every gate closed, whatever the state
    outputs = {}
    for name, m in silent.items():
        source = jnp.array(SOURCE)
        memory = m.encode(source, source != 0)
        state = m.init_state(memory, 0)
        state, out, _ = m.decoder.step(memory, state, jnp.ones((2, 5)), key=None)
        outputs[name] = (np.asarray(out[:, :6]), [np.asarray(s.h) for s in state.layers])

    out, layers = outputs["third"]  # silent and bypassed: the second layer's output passes
    np.testing.assert_allclose(out, layers[1], atol=1e-6)
    out, layers = outputs["second"]  # silent and not bypassed: the third sees nothing from below
    np.testing.assert_allclose(out, layers[2], atol=1e-6)


def test_all_layers_of_gnmt_see_the_context():
    m = model(GNMT)
    h = jnp.ones((1, 2, 6))
    last = [LSTMState(jnp.zeros((1, 6)), jnp.zeros((1, 6)))] * 3
    memories = [
        Memory(x, m.decoder.project_keys(x), jnp.ones((1, 2), bool), last) for x in (h, 2 * h)
    ]

    states = [m.step(y, m.init_state(y, 0), jnp.array([4]), jnp.array(0))[0] for y in memories]
    for i in range(1, 3):  # cut off what comes from below: only the context is left
        m.decoder.cells[i].x_kernel[:6] = 0.0
    above = [m.step(y, m.init_state(y, 0), jnp.array([4]), jnp.array(0))[0] for y in memories]

    assert np.abs(states[0].layers[0].h - states[1].layers[0].h).max() > 1e-4
    for i in range(1, 3):
        assert np.abs(above[0].layers[i].h - above[1].layers[i].h).max() > 1e-4


def test_the_date_model_is_its_equations_in_numpy():
    """The book's model (gates f, g, i, o; no attentional layer; only h is passed on) in NumPy."""
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

    expected, expected_alignment = forward(weights, source, TARGET)
    decode = load_into(weights)
    scores, alignment = decode(source, TARGET)

    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(alignment, expected_alignment, atol=1e-5)
