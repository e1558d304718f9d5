"""The translation objective: label smoothing, and what the loss counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.lineage.config import Seq2SeqConfig, TransformerConfig
from bert_jax.lineage.subwords import END, PAD, START
from bert_jax.lineage.translation import (
    build_translator,
    decoder_input,
    make_translation_objective,
    smoothed_cross_entropy,
)
from bert_jax.nn.execution import Execution

MODELS = {
    "seq2seq": Seq2SeqConfig(embedding_size=8, hidden_size=8, vocab_size=12, init_range=0.8),
    "transformer": TransformerConfig(
        hidden_size=8, num_encoder_layers=1, num_decoder_layers=1, num_attention_heads=2,
        intermediate_size=16, vocab_size=12, max_positions=20,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def made(request):
    init, merge = build_translator(MODELS[request.param])
    return merge, jax.jit(init)(jax.random.key(3))


def test_the_decoder_sees_start_and_what_came_before():
    np.testing.assert_array_equal(decoder_input(jnp.array([[7, END, PAD]])), [[START, 7, END]])


def test_label_smoothing_by_hand():
    logits, labels = jnp.log(jnp.array([[[0.7, 0.2, 0.1]]])), jnp.array([[0]])

    loss = smoothed_cross_entropy(logits, labels, 0.3)

    expected = -0.7 * np.log(0.7) - 0.3 * np.mean(np.log([0.7, 0.2, 0.1]))
    np.testing.assert_allclose(loss, [[expected]], rtol=1e-5)


def test_the_loss_counts_target_tokens_and_end_but_no_padding(made):
    merge, params = made
    objective = make_translation_objective(merge, 0.0, Execution())

    def total(batch):
        def one_device(_):
            counts = objective.counts(batch)
            return objective.loss(params, batch, counts, None)

        loss, metrics = jax.vmap(one_device, axis_name="data")(jnp.zeros(1))
        return float(loss[0]), {k: (float(a[0]), float(b[0])) for k, (a, b) in metrics.items()}

    short = {"source": jnp.array([[4, 5, END]]), "target": jnp.array([[6, END]])}
    padded = {"source": jnp.array([[4, 5, END, 0], [0] * 4]),
              "target": jnp.array([[6, END, 0], [0] * 3])}  # fmt: skip

    loss, metrics = total(short)
    padded_loss, padded_metrics = total(padded)

    assert loss == pytest.approx(padded_loss, abs=1e-5)
    assert metrics["nll"][1] == padded_metrics["nll"][1] == 2
    assert metrics["tokens"][0] == padded_metrics["tokens"][0] == 5
    assert metrics["nll"][0] / 2 == pytest.approx(loss, abs=1e-6)
