import jax.numpy as jnp

from bert_jax.nn.compute import Compute, cast_kernels


def test_norms_keep_float32():
    params = {
        "attention": {"out": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}},
        "attention_norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)},
    }
    cast = cast_kernels(params, "bfloat16")
    assert {x.dtype.name for x in cast["attention"]["out"].values()} == {"bfloat16"}
    assert {x.dtype.name for x in cast["attention_norm"].values()} == {"float32"}


def test_settings_are_static():
    assert hash(Compute()) == hash(Compute(dtype="float32"))
    assert Compute() != Compute(remat=True)
