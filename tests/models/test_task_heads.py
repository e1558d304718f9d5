"""The dropout before a task's output layer, and the pooler that a head may keep."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from bert_jax.models.architectures import WITH_LABELS, WITH_POOLER, architecture
from bert_jax.models.functional import build
from bert_jax.models.task_heads import BERT_MODELS
from bert_jax.nn.layout import row_layout
from tests.tasks.tiny import CONFIG, random_params

STILL = replace(CONFIG, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@pytest.mark.parametrize("name", [x for x in BERT_MODELS if x in WITH_LABELS])
def test_a_classifiers_dropout_is_its_own_or_that_of_hidden_layers(name):
    def outputs(config):
        merge = build(config, architecture(name, 3))[1]
        layout = row_layout(jnp.array([[[4, 0]]]), 8)
        tokens = jnp.arange(8)[None] + 5
        run = jax.jit(lambda params, key: merge(params)(tokens, layout, key=key))
        return run(random_params(name, 3), jax.random.key(0))

    still = outputs(STILL)
    assert (outputs(replace(STILL, classifier_dropout=0.5)) != still).any()
    assert (outputs(replace(STILL, classifier_dropout=0.0)) == still).all()
    rates = [
        build(config, architecture(name, 3))[1](random_params(name, 3)).dropout_rate
        for config in (CONFIG, replace(CONFIG, classifier_dropout=0.0))
    ]
    assert rates == [0.1, 0.0]


@pytest.mark.parametrize("name", BERT_MODELS)
def test_a_pooler_is_there_if_it_is_asked_for_or_needed(name):
    def has_pooler(pooling):
        init, _ = build(CONFIG, architecture(name, 3, pooling))
        params = jax.eval_shape(init, jax.random.key(0))
        return "pooler" in params.get("bert", params)

    needed = name in WITH_POOLER
    assert [has_pooler(pooling) for pooling in (True, False)] == [True, needed]
    assert has_pooler(None) == (needed or name == "BertModel")
