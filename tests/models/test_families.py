"""Families of BERT's layers on packed rows against single sequences; their dropout."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.families import configuration
from bert_jax.models.architectures import architecture, architecture_of
from bert_jax.models.functional import build
from bert_jax.nn.execution import Execution
from bert_jax.nn.layout import row_layout

T = 16
LENGTHS = np.array([[[5, 4], [3, 0]]], np.int32)
TOKENS = np.random.default_rng(0).integers(5, 30, (1, T)).astype(np.int32)
FAMILIES = ["distilbert", "roberta", "electra", "albert"]


@functools.cache
def params(config, name, num_labels=0):
    init, _ = build(config, architecture(name, num_labels))
    start = jax.jit(init)(jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda p: p + rng.normal(0, 0.05, p.shape).astype(np.float32), start)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_packed_equals_unpacked(model_type):
    config = configuration(model_type, num_hidden_layers=2)
    name = architecture_of(config, "ForSequenceClassification")
    _, merge = build(config, architecture(name, 3))

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(params, tokens, lengths):
        model, layout = merge(params), row_layout(lengths, T)
        logits, hidden = model(tokens, layout), model.bert(tokens, layout)
        is_text = (layout.lengths > 0)[..., None]
        return (jnp.where(is_text, logits, 0) * jnp.arange(3.0)[None, None]).sum(), (logits, hidden)

    single, lengths = np.zeros((2, T), np.int32), np.zeros((2, 2, 2), np.int32)
    single[0, :9], single[1, :3] = TOKENS[0, :9], TOKENS[0, 9:12]
    lengths[:, 0] = LENGTHS[0]
    given = params(config, name, 3)
    (loss, (logits, hidden)), grads = run(given, TOKENS, LENGTHS)
    (loss_1, (logits_1, hidden_1)), grads_1 = run(given, single, lengths)
    np.testing.assert_allclose(logits[0], logits_1[:, 0], atol=2e-5)
    np.testing.assert_allclose(hidden[0, :9], hidden_1[0, :9], atol=2e-5)
    np.testing.assert_allclose(hidden[0, 9:12], hidden_1[1, :3], atol=2e-5)
    np.testing.assert_allclose(loss, loss_1, atol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-5), grads, grads_1)
    assert min(np.abs(g).max() for g in jax.tree.leaves(grads)) > 1e-4  # every parameter counts


@pytest.mark.parametrize("model_type", FAMILIES)
def test_in_bfloat16_the_layers_get_bfloat16(model_type):
    config = configuration(model_type, num_hidden_layers=1)
    name = architecture_of(config, "Model")
    _, merge = build(config, architecture(name))
    execution, layout = Execution(dtype=jnp.bfloat16), row_layout(jnp.asarray(LENGTHS), T)
    hidden = jax.eval_shape(
        lambda p: merge(p)(jnp.asarray(TOKENS), layout, execution=execution), params(config, name)
    )
    assert hidden.dtype == jnp.bfloat16


def outputs(config, head, key):
    name = architecture_of(config, head)
    _, merge = build(config, architecture(name, 3 if "Classification" in head else 0))
    still = dataclasses.replace(config.with_dropout(0.0, 0.0))
    given = params(still, name, 3 if "Classification" in head else 0)
    layout = row_layout(jnp.asarray(LENGTHS), T)
    return np.asarray(
        jax.jit(lambda p, key: merge(p)(jnp.asarray(TOKENS), layout, key=key))(given, key)
    )


def test_each_dropout_of_distilbert_is_of_its_own_head():
    config = configuration("distilbert", num_hidden_layers=1).with_dropout(0.0, 0.0)
    heads = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
    rates = ("seq_classif_dropout", "hidden_dropout_prob", "qa_dropout")
    for head in heads:
        expected = outputs(config, head, None)
        for rate in rates:
            changed = dataclasses.replace(config, **{rate: 0.5})
            assert (outputs(changed, head, None) == expected).all()
            is_random = (outputs(changed, head, jax.random.key(0)) != expected).any()
            own = dict(zip(heads, rates, strict=True))[head]
            assert is_random == (rate in (own, "hidden_dropout_prob"))


def test_another_dropout_is_that_of_all_heads():
    config = configuration("distilbert")
    assert config.with_dropout(None) == config
    changed = config.with_dropout(0.3, 0.2)
    assert (changed.hidden_dropout_prob, changed.attention_probs_dropout_prob) == (0.3, 0.2)
    assert (changed.seq_classif_dropout, changed.qa_dropout) == (0.3, 0.3)
    assert configuration("roberta").with_dropout(0.3).head_dropout_prob == 0.3
