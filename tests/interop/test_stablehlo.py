"""StableHLO files compute the same outputs, also in a process that imports JAX alone."""

import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from bert_jax.interop.huggingface import write_directory
from bert_jax.interop.stablehlo import make_inference_function, write_stablehlo
from bert_jax.models.task_heads import BERT_MODELS
from tests.interop import test_modernbert as modernbert
from tests.interop.test_huggingface import TOLERANCE, make, outputs_of, transformers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ALONE = """
import sys, pathlib, jax, numpy as np
run = jax.export.deserialize(bytearray(pathlib.Path(sys.argv[1]).read_bytes())).call
inputs = np.load(sys.argv[2])
outputs = run(inputs["ids"], inputs["mask"], inputs["segment"])
np.savez(sys.argv[3], *[np.asarray(x) for x in outputs])
assert "bert_jax" not in sys.modules
"""


def inputs(rows, length):
    """Return random inputs: any mask that keeps the last token, any segments."""
    rng = np.random.default_rng(length)
    ids = rng.integers(0, 37, (rows, length), np.int32)
    mask, segment = rng.integers(0, 2, (2, rows, length), np.int32)
    mask[:, -1] = 1
    return ids, mask, segment


@pytest.mark.parametrize("name", BERT_MODELS)
def test_any_batch_and_length(name, tmp_path):
    model = make(name)
    write_stablehlo(model, tmp_path / "model.stablehlo")
    exported = jax.export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    for rows, length in ((1, 5), (3, 24)):
        given = inputs(rows, length)
        expected = jax.jit(make_inference_function(model))(*given)
        actual = exported.call(*given)
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("name", BERT_MODELS)
def test_the_outputs_are_those_of_transformers_for_any_mask(name, tmp_path):
    model = make(name)
    write_directory(tmp_path / "model", model)
    theirs = getattr(transformers, name).from_pretrained(tmp_path / "model").eval()
    ids, mask, segment = inputs(4, 12)
    mask[0], mask[1] = np.arange(12) >= 5, np.arange(12) < 5  # padding on the left, on the right
    ours = jax.jit(make_inference_function(model))(ids, mask, segment)
    expected = outputs_of(theirs, ids, mask, segment)
    assert len(ours) == len(expected)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=TOLERANCE, rtol=0)


def test_the_file_runs_without_this_package(tmp_path):
    model = make("BertForSequenceClassification")
    write_stablehlo(model, tmp_path / "m")
    given = inputs(2, 7)
    np.savez(tmp_path / "in.npz", **dict(zip(("ids", "mask", "segment"), given, strict=True)))
    command = [
        sys.executable,
        "-c",
        ALONE,
        *(str(tmp_path / n) for n in ("m", "in.npz", "out.npz")),
    ]
    subprocess.run(command, check=True, cwd=tmp_path)
    (expected,) = jax.jit(make_inference_function(model))(*given)
    with np.load(tmp_path / "out.npz") as outputs:
        np.testing.assert_allclose(outputs["arr_0"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("ModernBertModel", "cls"),
        ("ModernBertForMaskedLM", "cls"),
        ("ModernBertForSequenceClassification", "cls"),
        ("ModernBertForSequenceClassification", "mean"),
        ("ModernBertForQuestionAnswering", "cls"),
    ],
)
def test_a_model_without_segments_takes_two_inputs(name, pooling, tmp_path):
    config = replace(modernbert.CONFIG, classifier_pooling=pooling)
    model = modernbert.make(name, config)
    write_directory(tmp_path / "model", model)
    theirs = getattr(transformers, name).from_pretrained(tmp_path / "model").eval()
    write_stablehlo(model, tmp_path / "model.stablehlo")
    exported = jax.export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    ids, mask, _ = inputs(4, 24)
    ids %= config.vocab_size
    mask[0], mask[1] = np.arange(24) >= 5, np.arange(24) < 5
    if name == "ModernBertForSequenceClassification" and pooling == "cls":
        mask[:, 0] = 1
    actual, expected = exported.call(ids, mask), outputs_of(theirs, ids, mask)
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        if a.shape[:2] == mask.shape:  # padding may see no token in its window
            a, b = np.asarray(a)[mask > 0], b[mask > 0]
        np.testing.assert_allclose(a, b, atol=TOLERANCE, rtol=0)
