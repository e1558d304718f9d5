"""The step's results on several devices and accumulation steps, and with NaN in the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import BertConfig, MaskingConfig, OptimizerConfig
from bert_jax.errors import ConfigError
from bert_jax.models.functional import build
from bert_jax.nn.execution import Execution
from bert_jax.tasks.masking import MaskingRules, masked_counts
from bert_jax.tasks.pretraining import make_pretraining_objective, mean_metrics
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import (
    Objective,
    StepMetrics,
    init_state,
    make_eval_step,
    make_train_step,
    sum_over_devices,
)
from tests.training.batches import random_batch

MODEL = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=32, max_position_embeddings=32, hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0, initializer_range=0.2,
)  # fmt: skip


def train(mode, num_devices, accumulation_steps, steps=3):
    parallel = DataParallel(mode, num_devices)
    init, merge = build(MODEL)
    masking = MaskingConfig(rate=0.4, final_rate=0.1)
    rules = MaskingRules(masking, 50, cls_id=2, sep_id=3, mask_id=4)
    objective = make_pretraining_objective(
        merge, jax.random.key(0), rules, np.zeros(50, bool), Execution()
    )
    optimizer, _ = make_optimizer(OptimizerConfig(learning_rate=0.01, warmup_steps=0), steps + 1)
    step = make_train_step(objective, optimizer, accumulation_steps)
    state = parallel.put_state(
        init_state(jax.jit(init)(jax.random.key(2)), optimizer, jax.random.key(1))
    )
    step, losses, norms = parallel.shard(step), [], []
    for i in range(steps):
        batch = random_batch(16, 32, 3, 50, seed=i)
        counts = masked_counts(32, masking.at(i, steps))
        batch["mask_counts"] = counts[batch["lengths"].sum(axis=-1)]
        state, metrics = step(state, parallel.put_batch(batch))
        metrics = parallel.get(metrics)
        losses.append(mean_metrics(metrics)["mlm_loss"])
        norms.append(metrics["grad_norm"][0])
    evaluate = parallel.shard(make_eval_step(objective), donate=False)
    evaluated = mean_metrics(parallel.get(evaluate(state.params, parallel.put_batch(batch))))
    return np.array(losses), np.array(norms), parallel.get(state.params), evaluated


@pytest.fixture(scope="module")
def one_device():
    return train("shard_map", 1, 1)


@pytest.mark.parametrize(
    ("mode", "num_devices", "accumulation_steps"),
    [("shard_map", 8, 1), ("pmap", 8, 1), ("shard_map", 1, 8), ("pmap", 2, 4)],
)
def test_sharding_a_batch_does_not_change_training(
    one_device, mode, num_devices, accumulation_steps
):
    losses, norms, params, evaluated = train(mode, num_devices, accumulation_steps)
    np.testing.assert_allclose(losses, one_device[0], rtol=1e-5)
    np.testing.assert_allclose(norms, one_device[1], rtol=1e-4)
    jax.tree_util.tree_map_with_path(assert_near, params, one_device[2])
    assert evaluated == pytest.approx(one_device[3], rel=1e-5)


def assert_near(path, param, expected):
    """Compare all but the bias of keys: its gradient is 0 in theory, and Adam amplifies noise."""
    if "qkv" in jax.tree_util.keystr(path) and "bias" in jax.tree_util.keystr(path):
        param, expected = (np.delete(x, 1, axis=1) for x in (param, expected))  # [L, 3, H, K]
    np.testing.assert_allclose(param, expected, atol=2e-5)


def linear_objective():
    """Return a task whose loss is the mean of w · x; a NaN in the batch's x makes it NaN."""

    def loss(params, batch, counts, key):
        total = (params["w"] * batch["x"]).sum() / counts["rows"]
        return total, {"mean": (batch["x"].sum(), counts["rows"])}

    return Objective(
        lambda batch: batch, lambda batch: {"rows": jnp.float32(batch["x"].shape[0])}, loss
    )


def test_a_step_with_nan_changes_nothing_but_the_counters():
    parallel = DataParallel("shard_map", 8)
    optimizer, _ = make_optimizer(OptimizerConfig(warmup_steps=0), 10)
    step = make_train_step(linear_objective(), optimizer)
    step = parallel.shard(step, donate=False)
    good = {"x": np.arange(8, dtype=np.float32)}
    bad = {"x": np.where(np.arange(8) == 5, np.nan, 1).astype(np.float32)}
    before, _ = step(
        init_state({"w": jnp.float32(1)}, optimizer, jax.random.key(0)), parallel.put_batch(good)
    )
    after, _ = step(before, parallel.put_batch(bad))
    after, _ = step(after, parallel.put_batch(bad))
    assert int(after.step) == 3
    assert int(after.bad_steps) == 2
    for old, new in zip(
        jax.tree.leaves((before.params, before.opt_state)),
        jax.tree.leaves((after.params, after.opt_state)),
        strict=True,
    ):
        np.testing.assert_array_equal(old, new)
    recovered, _ = step(after, parallel.put_batch(good))
    assert int(recovered.bad_steps) == 0
    assert float(recovered.params["w"]) != float(after.params["w"])


@pytest.mark.parametrize("mode", ["shard_map", "pmap"])
def test_the_gradient_is_the_global_mean_not_n_times_it(mode):
    parallel = DataParallel(mode, 8)
    optimizer, _ = make_optimizer(OptimizerConfig(warmup_steps=0, clip_norm=None), 10)
    step = make_train_step(linear_objective(), optimizer)
    state = parallel.put_state(init_state({"w": jnp.float32(1)}, optimizer, jax.random.key(0)))
    batch = {"x": np.arange(16, dtype=np.float32)}
    _, metrics = parallel.shard(step)(state, parallel.put_batch(batch))
    assert parallel.get(metrics)["grad_norm"][0] == pytest.approx(7.5)


@pytest.mark.parametrize("mode", ["shard_map", "pmap"])
def test_gradients_summed_in_bfloat16_are_near_those_of_float32(mode):
    parallel = DataParallel(mode, 8)
    rng = np.random.default_rng(0)
    scales = np.logspace(-6, 2, 100, dtype=np.float32)
    grads = rng.standard_normal((8, 100)).astype(np.float32) * scales
    sums = {
        dtype: parallel.get(
            parallel.shard(
                lambda _, x, dtype=dtype: sum_over_devices({"w": x["g"].sum(0)}, dtype), False
            )(parallel.put_state(np.zeros(())), parallel.put_batch({"g": grads}))
        )["w"]
        for dtype in ("float32", "bfloat16")
    }
    np.testing.assert_allclose(sums["float32"], grads.sum(0), rtol=1e-4, atol=1e-7)
    assert sums["bfloat16"].dtype == np.float32
    errors = np.abs(sums["bfloat16"] - sums["float32"]) / np.abs(grads).sum(0)
    assert 0 < errors.max() <= 8 * 2.0**-8
    assert errors.mean() < 2.0**-9  # of a sum that is rounded once


def test_bfloat16_touches_gradients_alone():
    """Loss, metrics and the sum over microbatches stay float32; only one sum is in bfloat16."""
    parallel = DataParallel("shard_map", 2)
    optimizer, _ = make_optimizer(OptimizerConfig(warmup_steps=0), 10)
    step = make_train_step(linear_objective(), optimizer, 4, "bfloat16")
    state = parallel.put_state(init_state({"w": jnp.float32(1)}, optimizer, jax.random.key(0)))
    batch = parallel.put_batch({"x": np.arange(8, dtype=np.float32)})
    program = parallel.shard(step).lower(state, batch).as_text()
    sums = [part.split("}) :")[1].split("\n")[0] for part in program.split("all_reduce")[1:]]
    assert sum("bf16" in types for types in sums) == 1 < len(sums)
    _, metrics = parallel.shard(step)(state, batch)
    assert float(metrics["loss"][0]) == 3.5


def test_the_metrics_of_a_step_are_one_array():
    @jax.jit
    def compute(x):
        return StepMetrics.of({"a": (x, x + 1), "b": (2 * x, jnp.int32(5))})

    metrics = compute(jnp.float32(1.5))
    (array,) = jax.tree.leaves(metrics)
    assert array.shape == (2, 2)
    values = jax.device_get(metrics)
    assert list(values) == ["a", "b"]
    assert {name: pair.tolist() for name, pair in values.items()} == {"a": [1.5, 2.5], "b": [3, 5]}


def test_a_batch_that_cannot_be_cut_evenly_is_refused_with_the_next_size():
    with pytest.raises(ConfigError, match=r"batch_size = 30 .*\n.*multiple of 8 devices x 2"):
        DataParallel("shard_map", 8).check_batch_size(30, 2)
