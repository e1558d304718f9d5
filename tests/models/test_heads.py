import jax.numpy as jnp
import numpy as np
from flax import nnx

from bert_jax.config import BertConfig
from bert_jax.models.heads import MaskedLanguageHead, NextSentenceHead

CONFIG = BertConfig(hidden_size=8, num_attention_heads=1, vocab_size=20)


def test_logits_are_float32_and_use_the_embedding_that_is_passed_in():
    head = MaskedLanguageHead(CONFIG, nnx.Rngs(0))
    x = jnp.ones((1, 2, 8), jnp.bfloat16)
    embedding = jnp.zeros((20, 8)).at[3].set(head.norm(jnp.linspace(0, 1, 8)))
    head.bias[...] = jnp.arange(20.0)
    logits = head(x, embedding)
    assert logits.dtype == jnp.float32
    others = np.delete(np.arange(20), 3)
    np.testing.assert_array_equal(logits[0, 0, others], others)
    assert logits[0, 0, 3] != 3


def test_next_sentence_has_two_classes():
    head = NextSentenceHead(CONFIG, nnx.Rngs(0))
    x = jnp.arange(24.0).reshape(1, 3, 8)
    np.testing.assert_allclose(head(x), x @ head.dense.kernel[...], rtol=1e-5)
