"""Muon: which arrays are matrices, their updates against NumPy, and training with it."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.config import BertConfig, ModernBertConfig, OptimizerConfig
from bert_jax.lineage.config import GNMTConfig, NTMConfig, Seq2SeqConfig, TransformerConfig
from bert_jax.lineage.ntm import NeuralTuringMachine, SequenceLSTM
from bert_jax.lineage.seq2seq import Seq2Seq
from bert_jax.lineage.transformer import Transformer
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.muon import hidden_matrices, matrix_axes
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import Objective, init_state, make_train_step

BERT = BertConfig(
    vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
    max_position_embeddings=16,
)  # fmt: skip
MODERNBERT = ModernBertConfig(
    vocab_size=20, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=12
)
MUON = OptimizerConfig(
    name="muon", learning_rate=0.004, muon_learning_rate=0.02, warmup_steps=0, schedule="constant",
    weight_decay=0.1, clip_norm=None,
)  # fmt: skip
IN_A_LAYER = {
    "attention/qkv/kernel", "attention/out/kernel", "feed_forward/up/kernel",
    "feed_forward/down/kernel",
}  # fmt: skip
ENCODER = {f"bert/layers/{name}" for name in IN_A_LAYER}
POOLED = ENCODER | {"bert/pooler/kernel"}
CELL = {"x_kernel", "h_kernel"}
MODERN_ENCODER = {
    f"bert/{stack}/{name.replace('up', 'gated')}"
    for name in IN_A_LAYER
    for stack in ("first_layer", "layers")
}


def by_name(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(key.key) for key in path): x for path, x in leaves}


def random_like(params, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), params)


@pytest.fixture(scope="module")
def params():
    return random_like(jax.eval_shape(build(BERT)[0], jax.random.key(0)), 0)


def updates_of(config, params, num_steps=1):
    """Return the last of several updates from random gradients, by name."""
    optimizer, _ = make_optimizer(config, 10)
    state, updates, update = optimizer.init(params), params, jax.jit(optimizer.update)
    for seed in range(1, num_steps + 1):
        updates, state = update(random_like(params, seed), state, params)
    return by_name(updates)


# --- Which arrays are matrices -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "model", "expected"),
    [
        (BERT, architecture("BertModel"), {name.removeprefix("bert/") for name in POOLED}),
        (BERT, architecture("BertForPreTraining"), POOLED | {"mlm/dense/kernel"}),
        (BERT, architecture("BertForMaskedLM"), ENCODER | {"mlm/dense/kernel"}),
        (BERT, architecture("BertForSequenceClassification", 3), POOLED),
        (BERT, architecture("BertForTokenClassification", 3), ENCODER),
        (BERT, architecture("BertForQuestionAnswering"), ENCODER),
        (
            MODERNBERT,
            architecture("ModernBertForMaskedLM"),
            MODERN_ENCODER | {"mlm/dense/kernel"},
        ),
        (
            MODERNBERT,
            architecture("ModernBertForSequenceClassification", 3),
            MODERN_ENCODER | {"head/dense/kernel"},
        ),
        (
            TransformerConfig(hidden_size=8, num_attention_heads=2, vocab_size=11),
            Transformer,
            {f"{stack}_layers/{name}" for name in IN_A_LAYER for stack in ("encoder", "decoder")}
            | {f"decoder_layers/cross/{name}/kernel" for name in ("q", "kv", "out")},
        ),
        (
            Seq2SeqConfig(attention="general", vocab_size=11),
            Seq2Seq,
            {f"{side}/cells/0/{name}" for name in CELL for side in ("encoder", "decoder")}
            | {"decoder/attention/w", "decoder/combine/kernel"},
        ),
        (
            GNMTConfig(num_layers=2, vocab_size=11),
            Seq2Seq,
            {f"{side}/cells/{i}/{name}" for name in CELL for side in ("encoder", "decoder")
             for i in range(2)}
            | {f"encoder/backward_cell/{name}" for name in CELL}
            | {"decoder/attention/w", "decoder/attention/u"},
        ),
        (
            NTMConfig(),
            partial(NeuralTuringMachine, in_width=9, out_width=8),
            {f"cell/controller/{name}" for name in CELL}
            | {f"cell/{heads}/emit/kernel" for heads in ("readers", "writers")},
        ),
        (
            NTMConfig(kind="lstm"),
            partial(SequenceLSTM, in_width=9, out_width=8),
            {f"cell/{name}" for name in CELL},
        ),
    ],
)  # fmt: skip
def test_hidden_matrices_are_chosen_by_path_in_every_model(config, model, expected):
    shapes = jax.eval_shape(build(config, model)[0], jax.random.key(0))
    assert {name for name, x in by_name(hidden_matrices(shapes)).items() if x} == expected
    optimizer, _ = make_optimizer(MUON, 10)
    updates, _ = jax.eval_shape(
        optimizer.update, shapes, jax.eval_shape(optimizer.init, shapes), shapes
    )
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, shapes)


def test_axes_of_a_fused_kernel_are_those_of_one_matrix_of_one_layer():
    config = TransformerConfig(hidden_size=8, num_attention_heads=2, vocab_size=11)
    shapes = jax.eval_shape(build(config, Transformer)[0], jax.random.key(0))
    decoder = matrix_axes(shapes)["decoder_layers"]
    assert decoder["attention"]["qkv"]["kernel"] == ((1,), (3, 4))  # [L, D, 3, H, K]
    assert decoder["attention"]["out"]["kernel"] == ((1, 2), (3,))  # [L, H, K, D]
    assert decoder["cross"]["q"]["kernel"] == ((1,), (2, 3))  # [L, D, H, K]
    assert decoder["cross"]["kv"]["kernel"] == ((1,), (3, 4))  # [L, D, 2, H, K]
    assert decoder["feed_forward"]["up"]["kernel"] == ((1,), (2,))  # [L, D, F]


def test_the_factors_of_a_gated_layer_are_matrices_of_their_own():
    shapes = jax.eval_shape(
        build(MODERNBERT, architecture("ModernBertModel"))[0], jax.random.key(0)
    )
    axes = matrix_axes(shapes)
    assert axes["layers"]["feed_forward"]["gated"]["kernel"] == ((1,), (3,))  # [L, D, 2, F]
    assert axes["first_layer"]["feed_forward"]["gated"]["kernel"] == ((0,), (2,))
    assert axes["first_layer"]["attention"]["qkv"]["kernel"] == ((0,), (2, 3))
    assert axes["first_layer"]["attention"]["out"]["kernel"] == ((0, 1), (2,))


# --- Updates -------------------------------------------------------------------------------------


def matrices(name, x):
    """Cut an array of a stacked BERT into its matrices [in, out], written out by hand."""
    x = np.asarray(x, np.float64)
    width = BERT.hidden_size
    if name.endswith("qkv/kernel"):
        return [x[layer, :, part].reshape(width, width) for layer in range(2) for part in range(3)]
    if name.endswith("out/kernel"):
        return [x[layer].reshape(width, width) for layer in range(2)]
    return list(x) if "layers" in name else [x]


def newton_schulz(x):
    """Return X after five steps of X ← aX + (bA + cA²)X with A = X Xᵀ (Jordan et al. 2024)."""
    if x.shape[0] > x.shape[1]:
        return newton_schulz(x.T).T
    x = x / np.linalg.norm(x)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


def test_the_update_of_each_layer_and_each_of_q_k_v_is_numpys(params):
    updates, start = updates_of(MUON, params, num_steps=2), by_name(params)
    gradients = [by_name(random_like(params, seed)) for seed in (1, 2)]
    for name, applies in by_name(hidden_matrices(params)).items():
        if not applies:
            continue
        cut = (
            matrices(name, x) for x in (updates[name], start[name], *(g[name] for g in gradients))
        )
        for update, weights, first, second in zip(*cut, strict=True):
            momentum = 0.95 * 0.05 * first + 0.05 * second
            nesterov = 0.95 * momentum / (1 - 0.95**3) + 0.05 * second / (1 - 0.95**2)
            fan_in, fan_out = update.shape
            direction = newton_schulz(nesterov) * np.sqrt(max(1, fan_out / fan_in))
            np.testing.assert_allclose(update, -0.02 * (direction + 0.1 * weights), atol=2e-6)


def test_singular_values_of_an_update_are_near_1(params):
    config = dataclasses.replace(MUON, muon_learning_rate=1.0, weight_decay=0.0)
    updates, masks = updates_of(config, params), by_name(hidden_matrices(params))
    for name in (name for name, applies in masks.items() if applies):
        for update in matrices(name, updates[name]):
            fan_in, fan_out = update.shape
            values = np.linalg.svd(update, compute_uv=False) / np.sqrt(max(1, fan_out / fan_in))
            assert values.min() > 0.5, name
            assert values.max() < 1.3, name


def test_all_other_parameters_get_exactly_the_update_of_adamw(params):
    ours = updates_of(MUON, params, num_steps=3)
    adamw = updates_of(dataclasses.replace(MUON, name="adamw"), params, num_steps=3)
    others = [name for name, applies in by_name(hidden_matrices(params)).items() if not applies]
    assert "bert/embeddings/word" in others
    for name in others:
        np.testing.assert_array_equal(ours[name], adamw[name], err_msg=name)


def test_weights_decay_at_their_own_rate_and_biases_and_norms_do_not(params):
    decayed = updates_of(MUON, params)
    free = updates_of(dataclasses.replace(MUON, weight_decay=0.0), params)
    start, masks = by_name(params), by_name(hidden_matrices(params))
    for name in start:
        rate = 0.0 if "norm" in name or name.endswith("bias") else 0.02 if masks[name] else 0.004
        decay = free[name] - decayed[name]
        np.testing.assert_allclose(decay, rate * 0.1 * start[name], atol=3e-7, err_msg=name)


def test_both_rates_follow_one_schedule_which_is_that_of_adam(params):
    config = dataclasses.replace(MUON, schedule="linear", warmup_steps=2)
    _, schedule = make_optimizer(config, 10)
    np.testing.assert_allclose([schedule(1), schedule(2), schedule(6)], [0.002, 0.004, 0.002])
    second, full = (updates_of(x, params, num_steps=2) for x in (config, MUON))  # at half of it
    for name, update in second.items():
        np.testing.assert_allclose(update, full[name] / 2, atol=1e-6)


def test_a_matrix_without_a_gradient_stays(params):
    optimizer, _ = make_optimizer(dataclasses.replace(MUON, weight_decay=0.0), 10)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    assert not any(x.any() for x in jax.tree.leaves(updates))


# --- Training ------------------------------------------------------------------------------------


def regression():
    """Return a task: fit a hidden matrix and an output layer to rows of numbers."""

    def loss(params, batch, counts, key):
        hidden = jnp.tanh(batch["x"] @ params["hidden"]["kernel"] + params["bias"])
        error = jnp.square(hidden @ params["output"]["kernel"] - batch["y"]).sum()
        return error / counts["rows"], {}

    return Objective(
        lambda batch: batch, lambda batch: {"rows": jnp.float32(batch["x"].shape[0])}, loss
    )


def regression_start():
    rng = np.random.default_rng(0)
    return {
        "hidden": {"kernel": jnp.asarray(rng.normal(size=(6, 8)), jnp.float32)},
        "bias": jnp.zeros((1, 8)),
        "output": {"kernel": jnp.zeros((8, 2))},
    }


def train(state, optimizer, steps, parallel, accumulation_steps=1):
    """Return the state and the losses after some steps; each step has a batch of its own."""
    step = parallel.shard(make_train_step(regression(), optimizer, accumulation_steps))
    losses = []
    for i in steps:
        x = np.random.default_rng(i).normal(size=(16, 6)).astype(np.float32)
        y = np.tanh(x[:, :2] - x[:, 2:4])
        state, metrics = step(state, parallel.put_batch({"x": x, "y": y}))
        losses.append(float(parallel.get(metrics)["loss"][0]))
    return state, losses


def start(parallel):
    config = dataclasses.replace(MUON, learning_rate=0.01, clip_norm=1.0)
    optimizer, _ = make_optimizer(config, 100)
    state = init_state(regression_start(), optimizer, jax.random.key(0))
    return parallel.put_state(state), optimizer


def test_the_loss_falls():
    parallel = DataParallel("shard_map", 1)
    _, losses = train(*start(parallel), range(100), parallel)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.parametrize(
    ("mode", "num_devices", "accumulation_steps"),
    [("shard_map", 8, 1), ("pmap", 8, 1), ("shard_map", 1, 8)],
)
def test_devices_and_accumulation_change_no_update(mode, num_devices, accumulation_steps):
    one, many = DataParallel("shard_map", 1), DataParallel(mode, num_devices)
    expected, _ = train(*start(one), range(3), one)
    state, _ = train(*start(many), range(3), many, accumulation_steps)
    for a, b in zip(*(jax.tree.leaves(x.params) for x in (many.get(state), expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_checkpoint_resumes_bit_for_bit(tmp_path):
    parallel = DataParallel("shard_map", 8)
    state, optimizer = start(parallel)
    middle, _ = train(state, optimizer, range(3), parallel)
    checkpoints = Checkpoints(tmp_path, identity={}, keep_last=1, log=print)
    checkpoints.save(3, middle, {}, block=True)
    end, _ = train(middle, optimizer, range(3, 6), parallel)
    saved, _, _ = checkpoints.restore(start(parallel)[0])
    resumed, _ = train(saved, optimizer, range(3, 6), parallel)
    checkpoints.close()
    assert jax.tree.structure(resumed) == jax.tree.structure(end)
    for a, b in zip(jax.tree.leaves(resumed), jax.tree.leaves(end), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_compiles_before_there_are_arrays():
    shapes = jax.eval_shape(build(BERT)[0], jax.random.key(0))
    optimizer, _ = make_optimizer(MUON, 10)
    state = jax.eval_shape(optimizer.init, shapes)
    compiled = jax.jit(optimizer.update).lower(shapes, state, shapes).compile()
    params = random_like(shapes, 0)
    updates, _ = compiled(random_like(shapes, 1), optimizer.init(params), params)
    assert optax.tree.norm(updates) > 0
