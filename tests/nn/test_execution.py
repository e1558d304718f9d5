import jax.numpy as jnp
import pytest

from bert_jax.errors import ConfigError
from bert_jax.nn.execution import (
    KERNEL_PLATFORMS,
    Execution,
    cast_params,
    choose_execution,
    matmul_precision,
)


def test_norms_keep_float32():
    params = {
        "attention": {"out": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}},
        "attention_norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)},
    }
    cast = cast_params(params, "bfloat16")
    assert {x.dtype.name for x in cast["attention"]["out"].values()} == {"bfloat16"}
    assert {x.dtype.name for x in cast["attention_norm"].values()} == {"float32"}


def test_settings_are_static():
    assert hash(Execution()) == hash(Execution(dtype="float32"))
    assert Execution() != Execution(remat=True)


@pytest.mark.parametrize(
    ("requested", "platform", "dtype", "rate", "chosen", "in_evaluation"),
    [
        ("auto", "cuda", "bfloat16", 0.0, "cudnn", "cudnn"),
        ("cudnn", "cuda", "bfloat16", 0.0, "cudnn", "cudnn"),
        ("xla", "cuda", "bfloat16", 0.0, "xla", "xla"),
        ("splash", "tpu", "bfloat16", 0.0, "splash", "splash"),
        ("auto", "cuda", "float32", 0.0, "xla", "xla"),
        ("auto", "cuda", "bfloat16", 0.1, "xla", "cudnn"),
        ("xla", "cuda", "bfloat16", 0.1, "xla", "xla"),
        ("auto", "rocm", "bfloat16", 0.0, "xla", "xla"),
        ("auto", "tpu", "bfloat16", 0.0, "xla", "xla"),
        ("auto", "cpu", "float32", 0.1, "xla", "xla"),
    ],
)
def test_choice_of_the_kernel(requested, platform, dtype, rate, chosen, in_evaluation):
    execution = choose_execution(requested, platform=platform, dtype=dtype, dropout_rate=rate)
    assert execution == Execution(dtype, chosen, eval_attention=in_evaluation)
    assert execution.in_evaluation.attention == in_evaluation


def test_a_float32_model_multiplies_in_float32_unless_told_otherwise():
    assert matmul_precision("float32") == "float32"
    assert matmul_precision("bfloat16") == "default"
    assert matmul_precision("float32", "default") == "default"
    assert matmul_precision("bfloat16", "float32") == "float32"


@pytest.mark.parametrize("kernel", KERNEL_PLATFORMS)
def test_a_kernel_where_it_cannot_run_is_refused_with_every_reason(kernel):
    with pytest.raises(ConfigError, match=rf"{kernel}.* 'cpu', dtype 'float32', .*prob 0.1"):
        choose_execution(kernel, platform="cpu", dtype="float32", dropout_rate=0.1)
