"""BERT against a NumPy transcription, and packed rows against single sequences."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import BertConfig
from bert_jax.models.bert import Bert
from bert_jax.models.functional import build
from bert_jax.nn.execution import Execution, device_platform
from bert_jax.nn.layout import gather_positions, row_layout
from bert_jax.tasks.losses import masked_language_model_sums, next_sentence_sums

CONFIG = BertConfig(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=16, vocab_size=50, initializer_range=0.2,
)  # fmt: skip
INIT, MERGE = build(CONFIG)
T = 16
LENGTHS = np.array([[[3, 2], [4, 3], [2, 0]], [[6, 5], [0, 0], [0, 0]]], np.int32)
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(1, 50, (2, T)).astype(np.int32)
# Two predictions in each of the four sequences; the rest of the second row is padding.
POSITIONS = np.array([[1, 4, 5, 9, 12, 13], [2, 10, 0, 0, 0, 0]], np.int32)
WEIGHTS = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]], np.float32)
LABELS = RNG.integers(0, 50, (2, 6)).astype(np.int32)
NSP = np.array([[0, 1, 1], [1, 0, 0]], np.int32)


@functools.cache
def params():
    """Initialize the parameters, with noise so that no bias or scale is trivially 0 or 1."""
    rng = np.random.default_rng(1)
    start = jax.jit(INIT)(jax.random.key(0))
    return jax.tree.map(lambda p: p + rng.normal(0, 0.05, p.shape).astype(np.float32), start)


@functools.cache
def compiled(execution):
    """Compile (params, batch) -> gradients of the summed losses; outputs and both loss sums."""

    def loss(params, tokens, lengths, positions, labels, weights, nsp_labels):
        layout = row_layout(lengths, T)
        mlm, nsp = MERGE(params)(tokens, layout, positions, execution=execution)
        sums = masked_language_model_sums(mlm, labels, weights)
        nsp_sums = next_sentence_sums(nsp, nsp_labels, layout.lengths)
        return sums[0] + nsp_sums[0], (mlm, nsp, sums, nsp_sums)

    return jax.jit(jax.grad(loss, has_aux=True))


def unpacked():
    """Return the same four sequences, each in a row of its own."""
    rows = {name: [] for name in ("tokens", "lengths", "positions", "labels", "weights", "nsp")}
    for b, j in ((0, 0), (0, 1), (0, 2), (1, 0)):
        start = LENGTHS[b, :j].sum()
        size = LENGTHS[b, j].sum()
        tokens = np.zeros(T, np.int32)
        tokens[:size] = TOKENS[b, start : start + size]
        inside = (POSITIONS[b] >= start) & (POSITIONS[b] < start + size) & (WEIGHTS[b] > 0)
        positions, labels, weights = np.zeros(6, np.int32), np.zeros(6, np.int32), np.zeros(6)
        n = inside.sum()
        positions[:n], labels[:n], weights[:n] = POSITIONS[b][inside] - start, LABELS[b][inside], 1
        lengths, nsp = np.zeros((3, 2), np.int32), np.zeros(3, np.int32)
        lengths[0], nsp[0] = LENGTHS[b, j], NSP[b, j]
        row = (tokens, lengths, positions, labels, weights.astype(np.float32), nsp)
        for name, value in zip(rows, row, strict=True):
            rows[name].append(value)
    return [np.stack(rows[name]) for name in rows]


@pytest.mark.parametrize(
    ("execution", "atol"),
    [
        (Execution(), 1e-5),
        pytest.param(
            Execution(dtype="bfloat16", attention="cudnn"),
            0.1,
            marks=pytest.mark.skipif(
                device_platform() != "cuda",
                reason="no NVIDIA GPU, or jax without CUDA: pip install -e '.[cuda12]'",
            ),
        ),
    ],
    ids=["xla", "cudnn"],
)
def test_packed_equals_unpacked(execution, atol):
    step = compiled(execution)
    # two empty rows are added, so that both batches have the same shape
    batch = (TOKENS, LENGTHS, POSITIONS, LABELS, WEIGHTS, NSP)
    batch = [np.concatenate([part, np.zeros_like(part)]) for part in batch]
    grads, (mlm, nsp, sums, nsp_sums) = step(params(), *batch)
    grads_1, (mlm_1, nsp_1, sums_1, nsp_sums_1) = step(params(), *unpacked())
    np.testing.assert_allclose(
        np.concatenate([mlm[0], mlm[1, :2]]), mlm_1[:, :2].reshape(8, -1), atol=atol
    )
    np.testing.assert_allclose(np.concatenate([nsp[0], nsp[1, :1]]), nsp_1[:, 0], atol=atol)
    for packed, alone in ((sums, sums_1), (nsp_sums, nsp_sums_1)):
        np.testing.assert_allclose(packed, alone, rtol=atol)
    assert sums[1] == 8
    assert nsp_sums[1] == 4
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), grads, grads_1)
    assert min(np.abs(g).max() for g in jax.tree.leaves(grads)) > 1e-3  # every parameter counts


# --- An independent transcription -------------------------------------------------------------


def numpy_bert(p, tokens, segments):
    """Compute hidden states, pooled vector and logits of one sequence by the paper's equations."""

    def norm(x, q):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12) * q["scale"] + q["bias"]

    p = jax.tree.map(lambda x: np.asarray(x, np.float64), p)
    bert, erf = p["bert"], np.vectorize(math.erf)
    e = bert["embeddings"]
    x = norm(e["word"][tokens] + e["segment"][segments] + e["position"][: len(tokens)], e["norm"])
    for i in range(2):
        layer = jax.tree.map(lambda leaf, i=i: leaf[i], bert["layers"])
        qkv, out = layer["attention"]["qkv"], layer["attention"]["out"]
        heads = []
        for h in range(3):
            q, k, v = (x @ qkv["kernel"][:, n, h] + qkv["bias"][n, h] for n in range(3))
            scores = np.exp(q @ k.T / np.sqrt(8))
            heads.append(scores / scores.sum(-1, keepdims=True) @ v)
        attended = np.concatenate(heads, -1) @ out["kernel"].reshape(24, 24) + out["bias"]
        x = norm(x + attended, layer["attention_norm"])
        up, down = layer["feed_forward"]["up"], layer["feed_forward"]["down"]
        y = x @ up["kernel"] + up["bias"]
        y = y * (1 + erf(y / np.sqrt(2))) / 2
        x = norm(x + y @ down["kernel"] + down["bias"], layer["feed_forward_norm"])
    pooled = np.tanh(x[0] @ bert["pooler"]["kernel"] + bert["pooler"]["bias"])
    dense = p["mlm"]["dense"]
    y = x @ dense["kernel"] + dense["bias"]
    y = norm(y * (1 + erf(y / np.sqrt(2))) / 2, p["mlm"]["norm"])
    mlm = y @ e["word"].T + p["mlm"]["bias"]
    return x, pooled, mlm, pooled @ p["nsp"]["dense"]["kernel"] + p["nsp"]["dense"]["bias"]


def test_equals_a_numpy_transcription():
    @jax.jit
    def run(params):
        model, layout = MERGE(params), row_layout(jnp.asarray(LENGTHS), T)
        hidden = model.bert(jnp.asarray(TOKENS), layout)
        return (
            hidden,
            model.bert.pool(gather_positions(hidden, layout.starts)),
            *model(jnp.asarray(TOKENS), layout, jnp.asarray(POSITIONS)),
        )

    hidden, pooled, mlm, nsp = run(params())
    start = 0
    for j, predictions in ((0, [0, 1]), (1, [2, 3]), (2, [4, 5])):
        first, second = LENGTHS[0, j]
        part = slice(start, start + first + second)
        expected = numpy_bert(params(), TOKENS[0, part], [0] * first + [1] * second)
        np.testing.assert_allclose(hidden[0, part], expected[0], atol=1e-5)
        np.testing.assert_allclose(pooled[0, j], expected[1], atol=1e-5)
        positions = POSITIONS[0, predictions] - start
        np.testing.assert_allclose(mlm[0, predictions], expected[2][positions], atol=1e-5)
        np.testing.assert_allclose(nsp[0, j], expected[3], atol=1e-5)
        start += first + second


@pytest.mark.parametrize("execution", [Execution(), Execution(unroll=True, remat=True)], ids=str)
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_last_layer_at_some_positions_is_the_whole_one_there(num_layers, execution):
    config = dataclasses.replace(CONFIG, num_hidden_layers=num_layers)
    init, merge = build(config, Bert)
    layout, positions = row_layout(jnp.asarray(LENGTHS), T), jnp.asarray(POSITIONS)

    def some(params):
        return merge(params)(jnp.asarray(TOKENS), layout, positions=positions, execution=execution)

    def all_then_some(params):
        return gather_positions(
            merge(params)(jnp.asarray(TOKENS), layout, execution=execution), positions
        )

    def values(compute_hidden):
        weights = jnp.cos(jnp.arange(24.0))
        score = lambda params: jnp.einsum("BPD,D->", compute_hidden(params), weights)  # noqa: E731
        return jax.jit(lambda params: (compute_hidden(params), jax.grad(score)(params)))

    params = jax.jit(init)(jax.random.key(0))
    actual, expected = values(some)(params), values(all_then_some)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), actual, expected)
    assert np.abs(actual[0] - actual[0][:, ::-1]).max() > 0.1


def test_the_embedding_is_one_parameter_with_both_gradients():
    def score(params, positions):
        mlm, _ = MERGE(params)(jnp.asarray(TOKENS), row_layout(jnp.asarray(LENGTHS), T), positions)
        return mlm[:, :, 7].sum()  # reads row 7 of the embedding only, as output

    grads = jax.jit(jax.grad(score))(params(), POSITIONS)
    word = np.abs(grads["bert"]["embeddings"]["word"]).max(-1)
    assert 7 not in TOKENS[0, :14]
    assert word[7] > 1e-2  # as output
    assert (word[TOKENS[0, :14]] > 1e-6).all()  # as input
    unseen = np.setdiff1d(np.arange(50), [*TOKENS.ravel(), 7])
    assert not word[unseen].any()


def test_without_a_key_nothing_is_random_and_with_one_everything_is():
    @jax.jit
    def run(params, key):
        tokens, positions = jnp.asarray(TOKENS), jnp.asarray(POSITIONS)
        return MERGE(params)(tokens, row_layout(jnp.asarray(LENGTHS), T), positions, key=key)[0]

    keys = jax.random.split(jax.random.key(0, impl="philox4x32"), 2)
    np.testing.assert_array_equal(run(params(), keys[0]), run(params(), keys[0]))
    assert (run(params(), keys[0]) != run(params(), keys[1])).all()
