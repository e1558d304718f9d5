"""Equality to Google's own code: outputs, ten training losses and final weights.

Those numbers come from google-research/bert (its `modeling.py`, the heads of `run_pretraining.py`,
and `optimization.py`) and are not part of the repository. `tests/golden/bert_tiny.npz` replaces
them: this project's code computed it while the comparison with the original held.
"""

import json
import os
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import BertConfig, OptimizerConfig
from bert_jax.interop.google_tf import from_tf_names, read_tf_checkpoint
from bert_jax.interop.parameter_names import from_flat
from bert_jax.models.functional import build
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.losses import MLM_EPSILON, masked_language_model_sums, next_sentence_sums
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing
from bert_jax.training.optimizers import make_optimizer
from tests.extras import need

SHARED = Path(os.environ.get("BERT_JAX_SHARED", Path(__file__).parent.parent.parent / "shared"))
TOLERANCE = 1e-5


@pytest.fixture(scope="module", autouse=True)
def full_precision():
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module")
def golden():
    path = SHARED / "golden" / "google_bert.npz"
    if not path.exists():
        pytest.skip(
            "numbers of Google's own code are not part of the repository: if you have them, "
            "set BERT_JAX_SHARED to the folder of golden/google_bert.npz; "
            "tests/golden/bert_tiny.npz replaces them"
        )
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model(golden):
    raw = json.loads((SHARED / "golden" / "google_bert_config.json").read_text())
    assert raw["hidden_act"] == "gelu"  # which is the tanh approximation in that code
    config = BertConfig(**(raw | {"hidden_act": "gelu_tanh"}))
    return config, build(config)[1]


def assert_close(actual, expected, name=""):
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE, rtol=0, err_msg=name)


def from_tensorflow(arrays, prefix, config):
    """Convert the original's variables to our parameters."""
    start = f"{prefix}/"
    mine = {k.removeprefix(start): x for k, x in arrays.items() if k.startswith(start)}
    shapes = jax.eval_shape(build(config)[0], jax.random.key(0))
    return from_flat(from_tf_names(mine), shapes, config, prefix)


def segment_lengths(golden, step):
    is_real, segment = golden["mask"][step], golden["seg"][step]
    lengths = [((segment == s) & (is_real == 1)).sum(axis=-1) for s in (0, 1)]
    return np.stack(lengths, axis=-1)[:, None].astype(np.int32)  # [B, 1, 2]


@pytest.mark.shared
def test_outputs_equal_the_originals(golden, model):
    config, merge = model

    @jax.jit
    def outputs(params, tokens, lengths, positions):
        bert, layout = merge(params), row_layout(lengths, 24)
        hidden = bert.bert(tokens, layout)
        mlm, nsp = bert(tokens, layout, positions)
        logp = jax.nn.log_softmax(mlm).reshape(16, -1), jax.nn.log_softmax(nsp[:, 0])
        return hidden, bert.bert.pool(hidden[:, 0]), *logp

    hidden, pooled, mlm, nsp = outputs(
        from_tensorflow(golden, "var", config),
        golden["ids"][0],
        segment_lengths(golden, 0),
        golden["pos"][0],
    )
    # In the original, padding attends to the text; its outputs are not used.
    is_real = golden["mask"][0] == 1
    assert_close(hidden[is_real], golden["seq0"][is_real])
    assert_close(pooled, golden["pool0"])
    is_predicted = golden["w"][0].ravel() == 1
    assert_close(mlm[is_predicted], golden["mlmlp0"][is_predicted])
    assert_close(nsp, golden["nsplp0"])


@pytest.mark.shared
def test_ten_training_steps_equal_the_originals(golden, model):
    config, merge = model
    optimizer, _ = make_optimizer(
        OptimizerConfig(name="original", learning_rate=1e-3, warmup_steps=3), steps=10
    )

    @jax.jit
    def step(params, opt_state, batch):
        def loss_fn(params):
            layout = row_layout(batch["lengths"], 24)
            mlm_logits, nsp_logits = merge(params)(batch["ids"], layout, batch["pos"])
            mlm_sum, mlm_count = masked_language_model_sums(mlm_logits, batch["lab"], batch["w"])
            nsp_sum, nsp_count = next_sentence_sums(nsp_logits, batch["nsp"], layout.lengths)
            mlm, nsp = mlm_sum / (mlm_count + MLM_EPSILON), nsp_sum / nsp_count
            return mlm + nsp, jnp.stack([mlm + nsp, mlm, nsp])

        grads, losses = jax.grad(loss_fn, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = jax.tree.map(jnp.add, params, updates)
        return params, opt_state, losses

    params = jax.tree.map(jnp.asarray, from_tensorflow(golden, "var", config))
    opt_state = optimizer.init(params)
    for i in range(10):
        batch = {name: golden[name][i] for name in ("ids", "pos", "lab", "w", "nsp")}
        batch["lengths"] = segment_lengths(golden, i)
        params, opt_state, losses = step(params, opt_state, batch)
        assert_close(losses, golden["losses"][i])
    expected = from_tensorflow(golden, "end", config)
    start = from_tensorflow(golden, "var", config)
    for (path, ours), theirs, before in zip(
        jax.tree_util.tree_leaves_with_path(params),
        jax.tree.leaves(expected),
        jax.tree.leaves(start),
        strict=True,
    ):
        name = jax.tree_util.keystr(path)
        assert_close(ours, theirs, name)
        assert np.abs(theirs - before).max() > 1e-4, f"{name} has not moved: nothing is compared"


def test_the_projects_own_golden_numbers():
    tiny = runpy.run_path(str(Path(__file__).parent / "golden" / "make_bert_tiny.py"))
    with np.load(tiny["PATH"]) as archive:
        arrays = dict(archive)
    start, end = (tiny["unflatten"](arrays, part) for part in ("start", "end"))
    batches = tiny["unflatten"](arrays, "batch")
    by_step = [{k: v[i] for k, v in batches.items()} for i in range(tiny["NUM_STEPS"])]
    for name, actual in jax.jit(tiny["outputs"])(start, by_step[0]).items():
        assert_close(actual, arrays[f"output/{name}"], name)
    optimizer, _ = make_optimizer(tiny["OPTIMIZER"], tiny["NUM_STEPS"])

    steps = list(tiny["train"](start, by_step, optimizer))
    for i, (losses, _) in enumerate(steps):
        assert_close(losses, arrays["losses"][i], f"losses of step {i}")
    expected, before = tiny["flatten"](end), tiny["flatten"](start)
    for name, ours in tiny["flatten"](steps[-1][1]).items():
        assert_close(ours, expected[name], name)
        assert np.abs(expected[name] - before[name]).max() > 1e-4, f"{name} has not moved"


@pytest.mark.shared
def test_the_original_checkpoint_is_read_without_its_slots(golden, model, tmp_path):
    need("tensorflow", "tf")
    config, _ = model
    vocab = [*SPECIAL_TOKENS, *(f"w{i}" for i in range(168))]
    (tmp_path / "vocab.txt").write_text("\n".join(vocab) + "\n")
    folder = SHARED / "golden"
    read = read_tf_checkpoint(
        folder / "google_bert.ckpt", folder / "google_bert_config.json", tmp_path / "vocab.txt",
        Casing(lowercase=True), "gelu_new",
    )  # fmt: skip
    assert (read.config, read.architecture) == (config, "BertForPreTraining")
    expected = from_tensorflow(golden, "var", config)
    jax.tree.map(np.testing.assert_array_equal, read.params, expected)
