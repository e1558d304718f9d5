import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.config import BertConfig
from bert_jax.nn.embeddings import Embeddings
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.nn.layout import row_layout

SHAPE = {"hidden_size": 8, "num_attention_heads": 1, "max_position_embeddings": 6}


def test_word_segment_and_position_are_summed_and_normalized():
    embeddings = Embeddings(BertConfig(vocab_size=11, **SHAPE), nnx.Rngs(0))
    layout = row_layout(jnp.array([[[2, 1], [2, 0]]], jnp.int32), 6)
    tokens = jnp.array([[3, 10, 4, 3, 4, 0]])
    out = jax.jit(lambda: embeddings(tokens, layout, key=None, execution=DEFAULT_EXECUTION))()
    word, segment, position = (
        np.asarray(p[...]) for p in (embeddings.word, embeddings.segment, embeddings.position)
    )
    total = word[[3, 10, 4, 3, 4]] + segment[[0, 0, 1, 0, 0]] + position[[0, 1, 2, 0, 1]]
    total = (total - total.mean(-1, keepdims=True)) / total.std(-1, keepdims=True)
    np.testing.assert_allclose(out[0, :5], total, atol=1e-5)


def test_dropout_comes_after_the_norm():
    embeddings = Embeddings(
        BertConfig(vocab_size=11, hidden_dropout_prob=0.5, **SHAPE), nnx.Rngs(0)
    )
    layout = row_layout(jnp.array([[[3, 3]]], jnp.int32), 6)
    tokens = jnp.array([[3, 10, 4, 3, 4, 5]])
    plain, dropped = (
        jax.jit(lambda key: embeddings(tokens, layout, key=key, execution=DEFAULT_EXECUTION))(key)
        for key in (None, jax.random.key(0, impl="philox4x32"))
    )
    np.testing.assert_allclose(dropped, jnp.where(dropped == 0, 0, 2 * plain), rtol=1e-6)
    assert (dropped == 0).any()


def test_the_size_of_the_vocabulary_must_be_known():
    with pytest.raises(ValueError, match="vocab_size = None"):
        Embeddings(BertConfig(**SHAPE), nnx.Rngs(0))
