"""Initial values of kernels: their standard deviation, their seeds, and what stays as it was."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from bert_jax.config import (
    BertConfig,
    LoopConfig,
    ModernBertConfig,
    OptimizerConfig,
    PretrainConfig,
)
from bert_jax.errors import ConfigError
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.models.initial import start_kernels

OUTPUTS = ("attention/out/kernel", "feed_forward/down/kernel")


def make_config(**options):
    model = BertConfig(
        vocab_size=50, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=256, max_position_embeddings=128, initializer_range=0.07,
    )  # fmt: skip
    loop = LoopConfig(steps=10)
    return PretrainConfig("data", model, OptimizerConfig(), loop, **options)


def start(**options):
    config = make_config(**options)
    params = start_kernels(build(config.model)[0](jax.random.key(0)), config)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {"/".join(key.key for key in path): np.asarray(x) for path, x in leaves}


@pytest.fixture(scope="module")
def default():
    return start()


def test_by_default_they_are_berts(default):
    params = build(make_config().model)[0](jax.random.key(0))
    for x, drawn in zip(default.values(), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(x, drawn)


def test_fan_in_scales_the_same_draws_by_the_width_that_a_kernel_reads(default):
    started = start(kernel_start="fan_in")
    for name, x in started.items():
        if name.endswith("/kernel"):
            fan_in = 256 if "down" in name else 64
            np.testing.assert_allclose(x.std() * np.sqrt(fan_in), 1, rtol=0.1, err_msg=name)
            ratio = x / default[name]
            np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-5)
        else:
            np.testing.assert_array_equal(x, default[name])


@pytest.mark.parametrize("kernel_start", ["normal", "fan_in"])
def test_zero_outputs_are_those_that_end_attention_and_feed_forward(kernel_start):
    usual, zeroed = (start(kernel_start=kernel_start, zero_outputs=zero) for zero in (False, True))
    changed = {name for name in usual if (usual[name] != zeroed[name]).any()}
    assert changed == {f"bert/layers/{name}" for name in OUTPUTS}
    assert not any(zeroed[name].any() for name in changed)


def test_modernberts_kernels_start_smaller_where_a_block_ends_and_fan_in_suits_them_too():
    model = ModernBertConfig(
        vocab_size=50, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=256, initializer_range=0.07,
    )  # fmt: skip
    init, _ = build(model, architecture("ModernBertForMaskedLM"))
    drawn = init(jax.random.key(0))
    layers = drawn["bert"]["layers"]
    for part, ends in (("out", True), ("qkv", False)):
        expected = 0.88 * 0.07 / (np.sqrt(6) if ends else 1)
        assert layers["attention"][part]["kernel"].std() == pytest.approx(expected, rel=0.05)
    config = replace(make_config(kernel_start="fan_in"), model=model)
    leaves = jax.tree_util.tree_leaves_with_path(start_kernels(drawn, config))
    for path, x in leaves:
        name = "/".join(key.key for key in path)
        if name.endswith("/kernel"):
            fan_in = 256 if "down" in name else 64
            np.testing.assert_allclose(x.std() * np.sqrt(fan_in), 1, rtol=0.1, err_msg=name)


def test_fan_in_needs_draws_to_scale():
    config = make_config()
    still = replace(config.model, initializer_range=0.0)
    with pytest.raises(ConfigError, match=r"initializer_range = 0\.0"):
        replace(config, model=still, kernel_start="fan_in")
