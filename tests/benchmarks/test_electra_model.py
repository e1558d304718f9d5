"""Replaced-token detection: which tokens are replaced, and the loss of telling them."""

import math
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.electra_model import DETECTION_WEIGHT, fill, make_objectives
from bert_jax.config import MaskingConfig
from bert_jax.corpus.prepared import PreparedData
from bert_jax.nn.execution import DEFAULT_EXECUTION
from tests.nano import make_nano

VOCAB = 150


def test_values_go_to_masked_positions_and_padding_changes_nothing():
    tokens = jnp.array([[2, 4, 7, 4, 3], [2, 8, 9, 3, 0]])
    positions = jnp.array([[1, 3, 0], [2, 0, 0]])
    values = jnp.array([[11, 13, 99], [12, 99, 99]])
    weights = jnp.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    filled = fill(tokens, positions, values, weights)
    np.testing.assert_array_equal(filled, [[2, 11, 7, 13, 3], [2, 8, 12, 3, 0]])


@pytest.mark.parametrize("correct", [True, False])
def test_a_token_that_the_generator_guesses_is_an_original(prepared, tmp_path, correct):
    """Use a generator that is certain, right or wrong, and a detector that takes all for false."""
    data = PreparedData(prepared)
    masking = MaskingConfig(mask_share=1.0, random_share=0.0)
    config = replace(make_nano(prepared, tmp_path).with_vocab_size(VOCAB), masking=masking)
    rows = data.rows(32, "train")[np.arange(8)]
    batch = {n: jnp.asarray(x) for n, x in rows.items() if n != "is_random_next"}
    batch["epoch"] = jnp.zeros(8, jnp.int32)
    seen = {}

    def generate(tokens, layout, positions, *, key, execution):
        labels = prepared_batch["labels"] if correct else (prepared_batch["labels"] + 1) % VOCAB
        return 1e4 * jax.nn.one_hot(labels, VOCAB)

    def detect(tokens, layout, *, key, execution):
        seen["tokens"] = tokens
        return jnp.full(tokens.shape, 2.0)

    model = SimpleNamespace(generate=generate, detect=detect)
    training, _ = make_objectives(
        config, data.tokenizer, lambda params: model, jax.random.key(0), DEFAULT_EXECUTION
    )
    prepared_batch = training.prepare(batch)
    counts = training.counts(prepared_batch)
    loss, metrics = training.loss({}, prepared_batch, counts, jax.random.key(1))
    num_tokens, num_masked = (rows["tokens"] > 0).sum(), prepared_batch["weights"].sum()
    assert counts["tokens"] == num_tokens
    share = 0.0 if correct else float(num_masked / num_tokens)
    assert float(metrics["replaced"][0] / metrics["replaced"][1]) == pytest.approx(share)
    assert (np.asarray(seen["tokens"]) != rows["tokens"]).sum() == (0 if correct else num_masked)
    false, true = math.log1p(math.exp(2.0)), math.log1p(math.exp(-2.0))
    expected = DETECTION_WEIGHT * ((1 - share) * false + share * true) + (0 if correct else 1e4)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
