import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.config import BertConfig, OptimizerConfig
from bert_jax.lineage.config import TransformerConfig
from bert_jax.lineage.transformer import Transformer
from bert_jax.models.functional import build
from bert_jax.training.optimizers import (
    decayed,
    inverse_sqrt_schedule,
    make_optimizer,
    original_schedule,
    scale_by_layer_trust_ratio,
    scale_by_original_adam,
    warmup_linear_schedule,
    warmup_warning,
)
from tests.extras import need

CONFIG = OptimizerConfig(
    name="original", learning_rate=0.1, warmup_steps=0, weight_decay=0.5, eps=1e-6, clip_norm=None
)


def test_the_originals_schedule_by_hand():
    rate = original_schedule(1.0, 4, 10)
    # warm-up 0, ¼, ½, ¾; then decay as if counted from step 0: the peak is never reached
    expected = [0, 0.25, 0.5, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0]
    np.testing.assert_allclose([rate(step) for step in range(12)], expected, atol=1e-6)


def test_the_joined_schedule_by_hand():
    rate = warmup_linear_schedule(1.0, 4, 10)
    expected = [0, 0.25, 0.5, 0.75, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0]
    np.testing.assert_allclose([rate(step) for step in range(12)], expected, atol=1e-6)
    np.testing.assert_allclose(warmup_linear_schedule(1.0, 0, 10)(0), 1)


@pytest.mark.parametrize("schedule", ["linear", "inverse_sqrt", "constant", "wsd", "original"])
def test_a_warm_up_that_does_not_end_is_reported_with_the_highest_rate_of_the_run(schedule):
    name = {"name": "original"} if schedule == "original" else {"schedule": schedule}
    config = OptimizerConfig(learning_rate=0.5, warmup_steps=40, **name)
    _, rate = make_optimizer(config, 20)
    highest = max(float(rate(step)) for step in range(20))
    warning = warmup_warning(config, 20)
    assert "the warm-up of 40 steps does not end within the run's 20" in warning
    assert f"reaches {highest:.3g} at most, not 0.5" in warning
    assert "--optimizer.warmup-steps 2," in warning
    assert warmup_warning(config, 40)
    assert warmup_warning(config, 41) is None
    assert warmup_warning(OptimizerConfig(warmup_steps=0), 1) is None


def test_two_updates_of_the_originals_adam_by_hand():
    params = {"kernel": jnp.array([2.0]), "bias": jnp.array([2.0])}
    optimizer, _ = make_optimizer(CONFIG, steps=10)
    state = optimizer.init(params)
    # m = 0.1 g, v = 0.001 g², no correction: 0.4 / (√0.016 + ε) = 3.1622527 whatever decays;
    # the kernel adds 0.5 · 2 before the rate 0.1 is applied, the bias does not.
    grads = {"kernel": jnp.array([4.0]), "bias": jnp.array([4.0])}
    updates, state = optimizer.update(grads, state, params)
    first = 0.4 / (np.sqrt(0.016) + 1e-6)
    np.testing.assert_allclose(updates["kernel"], [-0.1 * (first + 1)], rtol=1e-6)
    np.testing.assert_allclose(updates["bias"], [-0.1 * first], rtol=1e-6)
    # again with g = 0: m = 0.36, v = 0.015984, and the rate has gone down to 0.09
    params = optax.apply_updates(params, updates)
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, grads), state, params)
    second = 0.36 / (np.sqrt(0.015984) + 1e-6)
    np.testing.assert_allclose(updates["bias"], [-0.09 * second], rtol=1e-6)
    expected = [-0.09 * (second + 0.5 * params["kernel"][0])]
    np.testing.assert_allclose(updates["kernel"], expected, rtol=1e-6)


def test_epsilon_is_outside_the_root():
    optimizer = scale_by_original_adam(0.0, 0.0, 1.0)
    update, _ = optimizer.update(jnp.array([3.0]), optimizer.init(jnp.zeros(1)))
    np.testing.assert_allclose(update, [3 / (3 + 1)])


def test_clipping_is_by_the_norm_of_everything():
    config = dataclasses.replace(CONFIG, clip_norm=1.0, weight_decay=0.0)
    optimizer, _ = make_optimizer(config, steps=10)
    params = {"kernel": jnp.zeros(1), "bias": jnp.zeros(1)}
    _, state = optimizer.update(
        {"kernel": jnp.array([3.0]), "bias": jnp.array([4.0])}, optimizer.init(params), params
    )
    moments = optax.tree_utils.tree_get(state, "mu")
    np.testing.assert_allclose([moments["kernel"][0], moments["bias"][0]], [0.06, 0.08], rtol=1e-5)


def test_decay_is_chosen_by_path():
    init, _ = build(BertConfig(vocab_size=10, hidden_size=8, num_attention_heads=2))
    chosen = decayed(jax.eval_shape(init, jax.random.key(0)))
    names = {
        "/".join(key.key for key in path)
        for path, applies in jax.tree_util.tree_leaves_with_path(chosen)
        if applies
    }
    assert names == {
        "bert/embeddings/word", "bert/embeddings/segment", "bert/embeddings/position",
        "bert/layers/attention/qkv/kernel", "bert/layers/attention/out/kernel",
        "bert/layers/feed_forward/up/kernel", "bert/layers/feed_forward/down/kernel",
        "bert/pooler/kernel", "mlm/dense/kernel", "nsp/dense/kernel",
    }  # fmt: skip


def test_adamw_is_optax_adamw():
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=2, weight_decay=0.5, clip_norm=None)
    ours, schedule = make_optimizer(config, steps=10)
    theirs = optax.adamw(schedule, 0.9, 0.999, 1e-6, weight_decay=0.5)
    params = {"kernel": jnp.array([1.0, -2.0])}
    states = ours.init(params), theirs.init(params)
    for step in range(4):
        grads = {"kernel": jnp.array([0.3, 0.1 * step])}
        (a, state_a), (b, state_b) = (
            optimizer.update(grads, state, params)
            for optimizer, state in zip((ours, theirs), states, strict=True)
        )
        np.testing.assert_allclose(a["kernel"], b["kernel"], rtol=1e-6)
        params, states = optax.apply_updates(params, a), (state_a, state_b)


def test_rmsprop_with_momentum_is_torchs():
    torch = need("torch")
    config = OptimizerConfig(
        name="rmsprop", learning_rate=0.1, warmup_steps=0, schedule="constant", b1=0.9, b2=0.95,
        eps=1e-2, weight_decay=0.0, clip_norm=None, clip_value=0.5,
    )  # fmt: skip
    ours, schedule = make_optimizer(config, steps=4)
    theirs_w = torch.tensor([1.0, -2.0], requires_grad=True)
    theirs = torch.optim.RMSprop([theirs_w], lr=0.1, alpha=0.95, eps=1e-2, momentum=0.9)
    params = {"kernel": jnp.array([1.0, -2.0])}
    state = ours.init(params)
    for step in range(4):
        grads = np.array([0.3, 4.0 - 3 * step], np.float32)
        updates, state = ours.update({"kernel": jnp.array(grads)}, state, params)
        params = optax.apply_updates(params, updates)
        theirs_w.grad = torch.tensor(grads.clip(-0.5, 0.5))
        theirs.step()
    np.testing.assert_allclose(params["kernel"], theirs_w.detach(), rtol=1e-6)
    np.testing.assert_allclose([schedule(0), schedule(4)], 0.1)


def test_the_transformer_s_schedule_is_the_paper_s():
    """Compare with Vaswani et al. 2017, equation 3, at base size; it counts steps from 1."""
    width, warmup = 512, 4000
    schedule = inverse_sqrt_schedule((width * warmup) ** -0.5, warmup)

    for t in (1, 100, 4000, 4001, 100_000):
        paper = width**-0.5 * min(t**-0.5, t * warmup**-1.5)
        assert float(schedule(t - 1)) == pytest.approx(paper, rel=1e-5)


def test_the_constant_schedule_by_hand():
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=2, schedule="constant")
    _, rate = make_optimizer(config, steps=4)
    np.testing.assert_allclose([rate(step) for step in range(5)], [0, 0.5, 1, 1, 1])


def test_the_schedule_with_a_stable_phase_by_hand():
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=2, schedule="wsd", decay_share=0.4)
    _, rate = make_optimizer(config, steps=10)
    expected = [0, 0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    np.testing.assert_allclose([rate(step) for step in range(11)], expected)
    late = dataclasses.replace(config, warmup_steps=8)  # the decay waits for the warm-up
    _, rate = make_optimizer(late, steps=10)
    np.testing.assert_allclose([rate(step) for step in (0, 4, 8, 9, 10)], [0, 0.5, 1, 0.5, 0])


def test_lambs_ratio_is_each_layers_own():
    params = {
        "layers": {
            "qkv": {"kernel": jnp.ones((2, 4, 3, 2, 2)).at[1].mul(10).at[:, :, 2].mul(3)},
            "norm": {"scale": jnp.full((2, 4), 7.0)},
        },
        "word": jnp.full((5, 4), 2.0),
    }
    updates = jax.tree.map(lambda p: jnp.full_like(p, 0.5), params)
    ratio = scale_by_layer_trust_ratio()
    scaled, _ = ratio.update(updates, ratio.init(params), params)
    # ‖w‖ / ‖u‖ times 0.5 gives back |w|, where everything under one norm is equal
    kernel = params["layers"]["qkv"]["kernel"]
    np.testing.assert_allclose(scaled["layers"]["qkv"]["kernel"], kernel, rtol=1e-5)
    np.testing.assert_allclose(scaled["word"], params["word"], rtol=1e-5)
    np.testing.assert_allclose(scaled["layers"]["norm"]["scale"], 0.5)
    zero = jax.tree.map(jnp.zeros_like, params)
    untouched, _ = ratio.update(updates, ratio.init(zero), zero)
    np.testing.assert_allclose(untouched["word"], 0.5)


def test_lambs_ratio_is_each_layers_own_in_the_translation_models_too():
    config = TransformerConfig(
        hidden_size=8, num_encoder_layers=2, num_decoder_layers=2, num_attention_heads=2,
        intermediate_size=12, vocab_size=11,
    )  # fmt: skip
    params = build(config, Transformer)[0](jax.random.key(0))
    # Layer 1 is larger by 3, values are larger by 5: each part's own ratio leaves that to see.
    stacks = ("encoder_layers", "decoder_layers")
    ones = jax.tree.map(jnp.ones_like, params)
    params = ones | {s: jax.tree.map(lambda x: x.at[1].mul(3), ones[s]) for s in stacks}
    kv = params["decoder_layers"]["cross"]["kv"]
    kv["kernel"] = kv["kernel"].at[:, :, 1].mul(5)  # [L, D, 2, H, K]
    updates = jax.tree.map(lambda p: jnp.full_like(p, 0.5), params)
    ratio = scale_by_layer_trust_ratio()
    scaled, _ = ratio.update(updates, ratio.init(params), params)
    for param, update, decays in zip(
        *map(jax.tree.leaves, (params, scaled, decayed(params))), strict=True
    ):
        np.testing.assert_allclose(update, param if decays else 0.5, rtol=1e-5)


def test_lambs_ratio_is_each_factors_own_in_a_gated_layer():
    params = {
        "first_layer": {"gated": {"kernel": jnp.ones((4, 2, 3)).at[:, 1].mul(5)}},
        "layers": {"gated": {"kernel": jnp.ones((2, 4, 2, 3)).at[:, :, 1].mul(5).at[1].mul(3)}},
    }
    updates = jax.tree.map(lambda p: jnp.full_like(p, 0.5), params)
    ratio = scale_by_layer_trust_ratio()
    scaled, _ = ratio.update(updates, ratio.init(params), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), scaled, params)


def test_lambs_ratio_is_one_for_each_array_that_is_no_stack():
    params = {"encoder": {"cells": {"0": {"x_kernel": jnp.ones((2, 3)).at[1].mul(3)}}}}
    updates = jax.tree.map(lambda p: jnp.full_like(p, 0.5), params)
    ratio = scale_by_layer_trust_ratio()
    scaled, _ = ratio.update(updates, ratio.init(params), params)
    assert len(np.unique(scaled["encoder"]["cells"]["0"]["x_kernel"])) == 1


@pytest.mark.parametrize("name", ["original", "adamw", "lamb", "muon", "rmsprop"])
def test_it_goes_downhill(name):
    optimizer, _ = make_optimizer(
        OptimizerConfig(name=name, learning_rate=0.05, warmup_steps=5), 60
    )
    params = {"kernel": jnp.array([3.0, -2.0]), "bias": jnp.array([1.0])}

    def height(params):
        return jnp.square(params["kernel"] - 1).sum() + jnp.square(params["bias"] + 1).sum()

    @jax.jit
    def step(_, carry):
        params, state = carry
        updates, state = optimizer.update(jax.grad(height)(params), state, params)
        return optax.apply_updates(params, updates), state

    end, _ = jax.lax.fori_loop(0, 60, step, (params, optimizer.init(params)))
    assert height(end) < 0.3 * height(params)
