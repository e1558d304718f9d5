"""Properties of the translation Transformer, and cached decoding."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.lineage.config import TransformerConfig
from bert_jax.lineage.transformer import Transformer, causal_mask, sinusoids
from bert_jax.models.functional import build, count_parameters
from bert_jax.nn.execution import DEFAULT_EXECUTION

CONFIG = TransformerConfig(
    hidden_size=16, num_encoder_layers=2, num_decoder_layers=2, num_attention_heads=2,
    intermediate_size=32, vocab_size=11,
)  # fmt: skip
SOURCE = np.array([[4, 5, 6, 3, 0, 0], [7, 8, 9, 10, 5, 3]])
TARGET = np.array([[2, 4, 5, 6, 7], [2, 9, 8, 7, 6]])


def model(norm_first=False, seed=0):
    config = dataclasses.replace(CONFIG, norm_first=norm_first)
    init, merge = build(config, Transformer)
    return merge(jax.jit(init)(jax.random.key(seed)))


def logits(m, source=SOURCE, target=TARGET):
    return run(m, jnp.array(source), jnp.array(target))


@nnx.jit
def run(m, source, target):
    return m(source, source != 0, target)


def test_numbers_of_parameters():
    """Numbers of the paper's base model, and of the tiny one that others report for Multi30k."""
    tiny = dataclasses.replace(
        CONFIG, hidden_size=128, num_encoder_layers=4, num_decoder_layers=4,
        num_attention_heads=4, intermediate_size=256, vocab_size=9712,
    )  # fmt: skip

    def count(config):
        return count_parameters(jax.eval_shape(build(config, Transformer)[0], jax.random.key(0)))

    assert count(tiny) == 2_568_192
    assert count(TransformerConfig(vocab_size=37_000)) == 63_082_496


def test_sinusoids_by_hand():
    expected = [[np.sin(t), np.cos(t), np.sin(t / 100), np.cos(t / 100)] for t in range(3)]
    np.testing.assert_allclose(sinusoids(3, 4), expected, atol=1e-6)


def test_causal_mask_by_hand():
    np.testing.assert_array_equal(causal_mask(3)[0, 0], [[1, 0, 0], [1, 1, 0], [1, 1, 1]])


def test_embeddings_are_scaled_before_positions_are_added():
    m = model()
    x = m.embed(jnp.array([[4, 4]]), key=None, execution=DEFAULT_EXECUTION)

    expected = np.asarray(m.embedding[...][4]) * 4.0 + np.asarray(sinusoids(2, 16))
    np.testing.assert_allclose(x[0], expected, atol=1e-6)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_target_token_changes_nothing_before_it(norm_first):
    m = model(norm_first)
    before = logits(m)
    for j in range(1, TARGET.shape[1]):
        changed = TARGET.copy()
        changed[:, j] = 1
        after = logits(m, target=changed)
        np.testing.assert_allclose(after[:, :j], before[:, :j], atol=1e-6)
        assert np.abs(after[:, j] - before[:, j]).max() > 1e-3


@pytest.mark.parametrize("norm_first", [False, True])
def test_padding_and_neighbours_change_nothing(norm_first):
    m = model(norm_first)
    together = logits(m)

    alone = logits(m, source=SOURCE[:1, :4], target=TARGET[:1])

    np.testing.assert_allclose(together[0], alone[0], atol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_cached_decoding_is_full_decoding(norm_first):
    m = model(norm_first)
    full = logits(m)
    source = jnp.array(SOURCE)

    memory = nnx.jit(lambda m, s: m.encode(s, s != 0))(m, source)
    state = m.init_state(memory, TARGET.shape[1] + 3)
    step = nnx.jit(lambda m, *inputs: m.step(*inputs))
    for t in range(TARGET.shape[1]):
        state, scores, alignment = step(m, memory, state, jnp.array(TARGET[:, t]), jnp.array(t))
        np.testing.assert_allclose(scores, full[:, t], atol=1e-5)
        np.testing.assert_allclose(alignment.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(alignment[0, 4:], 0)


def test_dropout_needs_a_key_and_changes_the_output():
    m, source, target = model(), jnp.array(SOURCE), jnp.array(TARGET)
    dropped = nnx.jit(lambda m: m(source, source != 0, target, key=jax.random.key(0)))(m)

    assert np.abs(dropped - logits(m)).max() > 1e-3
