import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import BertConfig
from bert_jax.models.functional import build, count_parameters, merge_pretrained

CONFIG = BertConfig(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=8, vocab_size=400,
)  # fmt: skip


def flat(params):
    return {
        "/".join(key.key for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }


def test_paths_and_shapes():
    init, _ = build(CONFIG)
    shapes = {k: v.shape for k, v in flat(jax.eval_shape(init, jax.random.key(0))).items()}
    norm = {"scale": (16,), "bias": (16,)}
    assert shapes == {
        "bert/embeddings/word": (400, 16),
        "bert/embeddings/segment": (2, 16),
        "bert/embeddings/position": (8, 16),
        **{f"bert/embeddings/norm/{k}": v for k, v in norm.items()},
        "bert/layers/attention/qkv/kernel": (2, 16, 3, 2, 8),
        "bert/layers/attention/qkv/bias": (2, 3, 2, 8),
        "bert/layers/attention/out/kernel": (2, 2, 8, 16),
        "bert/layers/attention/out/bias": (2, 16),
        **{f"bert/layers/attention_norm/{k}": (2, *v) for k, v in norm.items()},
        "bert/layers/feed_forward/up/kernel": (2, 16, 32),
        "bert/layers/feed_forward/up/bias": (2, 32),
        "bert/layers/feed_forward/down/kernel": (2, 32, 16),
        "bert/layers/feed_forward/down/bias": (2, 16),
        **{f"bert/layers/feed_forward_norm/{k}": (2, *v) for k, v in norm.items()},
        "bert/pooler/kernel": (16, 16),
        "bert/pooler/bias": (16,),
        "mlm/dense/kernel": (16, 16),
        "mlm/dense/bias": (16,),
        **{f"mlm/norm/{k}": v for k, v in norm.items()},
        "mlm/bias": (400,),
        "nsp/dense/kernel": (16, 2),
        "nsp/dense/bias": (2,),
    }


def test_base_has_the_papers_size_and_needs_no_memory_to_count_it():
    init, _ = build(BertConfig(vocab_size=30522))
    shapes = jax.eval_shape(init, jax.random.key(0))
    assert count_parameters(shapes["bert"]) == 109_482_240  # Google's bert-base-uncased
    assert count_parameters(shapes) == 110_106_428  # with both heads


def test_initial_values():
    params = flat(jax.jit(build(CONFIG)[0])(jax.random.key(0)))
    for path, leaf in params.items():
        if path.endswith("bias"):
            assert not leaf.any(), path
        elif path.endswith("scale"):
            assert (leaf == 1).all(), path
        else:
            assert leaf.dtype == jnp.float32
            assert jnp.abs(leaf).max() <= 0.04, path
            assert abs(leaf.std() - 0.0176) < 4 * 0.0176 / np.sqrt(2 * leaf.size), path


def test_initial_values_are_a_function_of_the_key():
    init = jax.jit(build(CONFIG)[0])
    same = init(jax.random.key(3)), init(jax.random.key(3)), init(jax.random.key(4))
    first, second, other = (tree["bert"]["embeddings"]["word"] for tree in same)
    np.testing.assert_array_equal(first, second)
    assert (first != other).mean() > 0.99


def test_merge_keeps_the_parameters_and_refuses_unknown_ones():
    init, merge = build(CONFIG)
    params = jax.jit(init)(jax.random.key(0))
    model = merge(params)
    assert model.bert.pooler.kernel[...] is params["bert"]["pooler"]["kernel"]
    with pytest.raises(ValueError, match="not available in state"):
        merge({**params, "unknown": jnp.ones(3)})


def test_pretrained_parameters_are_merged_by_name():
    new = {
        "bert": {"layers": {"kernel": 1, "bias": 2}, "pooler": {"kernel": 3}},
        "nsp": {"bias": 4},
    }
    trained = {"bert": {"layers": {"kernel": 10, "bias": 20}}, "classifier": {"bias": 50}}
    assert merge_pretrained(new, trained) == {
        "bert": {"layers": {"kernel": 10, "bias": 20}, "pooler": {"kernel": 3}},
        "nsp": {"bias": 4},
    }
    assert merge_pretrained(new, {}) == new
