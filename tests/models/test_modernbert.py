"""ModernBERT on packed rows against single sequences, and at some positions against all."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import ModernBertConfig
from bert_jax.errors import ConfigError
from bert_jax.models.architectures import architecture, architecture_of
from bert_jax.models.functional import build
from bert_jax.models.modernbert import MODERNBERT_MODELS
from bert_jax.nn.execution import Execution
from bert_jax.nn.layout import gather_positions, row_layout
from bert_jax.nn.windowed import computes_blocks

CONFIG = ModernBertConfig(
    hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=256, vocab_size=50, local_attention=8, initializer_range=0.2,
)  # fmt: skip
T = 160
LENGTHS = np.array([[[50, 9], [3, 90]], [[7, 0], [150, 0]]], np.int32)
TOKENS = np.random.default_rng(0).integers(1, 50, (2, T)).astype(np.int32)


@functools.cache
def params(config=CONFIG, name="ModernBertModel", num_labels=0):
    init, _ = build(config, architecture(name, num_labels))
    start = jax.jit(init)(jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda p: p + rng.normal(0, 0.05, p.shape).astype(np.float32), start)


def unpacked():
    """Return the four sequences, each in a row of its own."""
    tokens, lengths = np.zeros((4, T), np.int32), np.zeros((4, 2, 2), np.int32)
    for row, (b, j) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        start, size = LENGTHS[b, :j].sum(), LENGTHS[b, j].sum()
        tokens[row, :size] = TOKENS[b, start : start + size]
        lengths[row, 0] = LENGTHS[b, j]
    return tokens, lengths


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_packed_equals_unpacked(pooling):
    """In windows too: rows of 160 tokens are long enough for blocks."""
    assert computes_blocks(CONFIG.window, T)
    config = dataclasses.replace(CONFIG, classifier_pooling=pooling)
    name = "ModernBertForSequenceClassification"
    _, merge = build(config, architecture(name, 3))

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(params, tokens, lengths):
        model, layout = merge(params), row_layout(lengths, T)
        logits, hidden = model(tokens, layout), model.bert(tokens, layout)
        is_text = (layout.lengths > 0)[..., None]
        return (jnp.where(is_text, logits, 0) * jnp.arange(3.0)[None, None]).sum(), (logits, hidden)

    given = params(config, name, 3)
    (loss, (logits, hidden)), grads = run(given, TOKENS, LENGTHS)
    (loss_1, (logits_1, hidden_1)), grads_1 = run(given, *unpacked())
    np.testing.assert_allclose(logits.reshape(4, 3), logits_1[:, 0], atol=2e-5)
    for row, (b, j) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        start, size = LENGTHS[b, :j].sum(), LENGTHS[b, j].sum()
        np.testing.assert_allclose(hidden[b, start : start + size], hidden_1[row, :size], atol=2e-5)
    np.testing.assert_allclose(loss, loss_1, atol=5e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-5), grads, grads_1)
    assert min(np.abs(g).max() for g in jax.tree.leaves(grads)) > 1e-3  # every parameter counts


@pytest.mark.parametrize(
    ("num_layers", "num_positions", "execution"),
    [
        (1, 5, Execution()),
        (2, 140, Execution()),  # the last layer has a window, and so many queries in blocks
        (3, 5, Execution(unroll=True, remat=True)),
        (4, 5, Execution()),  # the last layer has none
    ],
)
def test_the_last_layer_at_some_positions_is_the_whole_one_there(
    num_layers, num_positions, execution
):
    config = dataclasses.replace(CONFIG, num_hidden_layers=num_layers)
    _, merge = build(config, architecture("ModernBertModel"))
    layout = row_layout(jnp.asarray(LENGTHS), T)
    positions = jnp.asarray(np.random.default_rng(2).integers(0, T, (2, num_positions)))

    def some(params):
        return merge(params)(jnp.asarray(TOKENS), layout, positions=positions, execution=execution)

    def all_then_some(params):
        return gather_positions(merge(params)(jnp.asarray(TOKENS), layout), positions)

    def values(compute):
        score = lambda p: (compute(p) * jnp.cos(jnp.arange(16.0))[None, None]).sum()  # noqa: E731
        return jax.jit(lambda p: (compute(p), jax.grad(score)(p)))(params(config))

    actual, expected = values(some), values(all_then_some)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), actual, expected)


def test_without_a_key_nothing_is_random_and_every_rate_counts():
    layout = row_layout(jnp.asarray(LENGTHS), T)
    name = "ModernBertForTokenClassification"

    def outputs(key, **rates):
        config = dataclasses.replace(CONFIG, num_hidden_layers=2, **rates)
        _, merge = build(config, architecture(name, 3))
        still = dataclasses.replace(CONFIG, num_hidden_layers=2)
        run = jax.jit(lambda p, key: merge(p)(jnp.asarray(TOKENS), layout, key=key))
        return np.asarray(run(params(still, name, 3), key))

    expected = outputs(None)
    for rate in ("embedding_dropout", "attention_dropout", "mlp_dropout", "classifier_dropout"):
        assert (outputs(None, **{rate: 0.5}) == expected).all()
        assert (outputs(jax.random.key(0), **{rate: 0.5}) != expected).any()
    assert (outputs(jax.random.key(0)) == expected).all()


def test_only_the_biases_that_are_asked_for_are_there():
    def biases(**fields):
        init, _ = build(
            dataclasses.replace(CONFIG, **fields), architecture("ModernBertForMaskedLM")
        )
        leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(init, jax.random.key(0)))
        names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
        return {name.removesuffix(".bias") for name in names if name.endswith("bias")}

    def owners(**fields):
        return {name.rpartition(".")[2] for name in biases(**fields)}

    assert biases() == {"mlm"}
    assert biases(decoder_bias=False) == set()
    assert biases(decoder_bias=False, classifier_bias=True) == {"mlm.dense"}
    assert owners(attention_bias=True) == {"mlm", "qkv", "out"}
    assert owners(mlp_bias=True) == {"mlm", "gated", "down"}
    assert len(biases(norm_bias=True)) == 1 + 6  # embeddings, 2 + 1 of layers, final, head


def test_every_architecture_has_a_name_of_its_family():
    heads = [name.removeprefix("ModernBert") for name in MODERNBERT_MODELS]
    assert [architecture_of(CONFIG, head) for head in heads] == list(MODERNBERT_MODELS)
    with pytest.raises(ConfigError, match="there is no ModernBertForPreTraining"):
        architecture_of(CONFIG, "ForPreTraining")


def test_a_trace_has_every_state_and_the_weights_that_the_window_allows():
    _, merge = build(CONFIG, architecture("ModernBertModel"))
    layout = row_layout(jnp.asarray(LENGTHS), T)

    @jax.jit
    def run(params):
        model = merge(params)
        return model.trace(jnp.asarray(TOKENS), layout), model(jnp.asarray(TOKENS), layout)

    (states, weights), hidden = run(params())
    assert (states.shape, weights.shape) == ((5, 2, T, 16), (4, 2, 2, T, T))
    np.testing.assert_allclose(states[-1], hidden, atol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert weights[1, 0, :, 20, 24].min() > 0
    assert weights[1, 0, :, 20, 25].max() == 0  # beyond the window of layer 1
    assert weights[0, 0, :, 20, 25].min() > 0
    assert weights[0, 0, :, 20, 59].max() == 0  # the next sequence
