"""Word dropout: the share of masked tokens, what stays, and where it applies."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.labelled.batching import collate
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.task import make_finetuning_objective
from bert_jax.tasks.word_dropout import WordDropout, drop_words
from tests.tasks import tiny
from tests.tasks.test_classification import examples

RULES = WordDropout(0.2, tiny.TOKENIZER.mask_id, (0, 2, 3))


def test_a_share_of_the_words_is_masked_and_special_tokens_stay():
    assert WordDropout.of(0.2, tiny.TOKENIZER) == RULES
    assert WordDropout.of(0.0, tiny.TOKENIZER) is None
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, tiny.CONFIG.vocab_size, (200, 100)))
    dropped = np.asarray(drop_words(jax.random.key(0), tokens, RULES))
    special = np.isin(tokens, RULES.kept)
    np.testing.assert_array_equal(dropped[special], np.asarray(tokens)[special])
    changed = dropped != np.asarray(tokens)
    assert set(dropped[changed]) == {RULES.mask_id}
    words = np.asarray(tokens)[~special] != RULES.mask_id
    rate = changed[~special][words].mean()
    assert abs(rate - 0.2) < 5 * np.sqrt(0.2 * 0.8 / words.sum())


def test_it_applies_in_training_only_and_none_changes_nothing():
    task, model = Classification(tiny.LABELS["classification"]), tiny.make("classification")
    still = replace(model.config, attention_probs_dropout_prob=0.0).with_dropout(0.0)
    _, merge = build(still, architecture(model.architecture, 3))
    rows = task.encode(examples("good", "bad", "bad"), tiny.TOKENIZER, 16)
    batch = jax.tree.map(jnp.asarray, collate(rows, [[0, 1], [2]], 2, 16))
    key = jax.random.key(0)

    params = jax.tree.map(jnp.asarray, model.params)

    def loss(word_dropout, key):
        objective = make_finetuning_objective(task, merge, DEFAULT_EXECUTION, word_dropout)
        return float(objective.loss(params, batch, objective.counts(batch), key)[0])

    half = RULES._replace(rate=0.5)
    assert loss(half, None) == loss(None, None)
    assert loss(half, key) != loss(None, key)
    masked = loss(RULES._replace(rate=1 - 2**-24), key)
    kept = jnp.isin(batch["tokens"], jnp.array(RULES.kept))
    batch = batch | {"tokens": jnp.where(kept, batch["tokens"], RULES.mask_id)}
    assert loss(None, None) == masked
