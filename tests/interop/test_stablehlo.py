"""StableHLO files compute the same outputs, also in a process that imports JAX alone."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from bert_jax.interop.stablehlo import make_inference_function, write_stablehlo
from bert_jax.models.architectures import ARCHITECTURES
from tests.interop.test_huggingface import make

ALONE = """
import sys, pathlib, jax, numpy as np
run = jax.export.deserialize(bytearray(pathlib.Path(sys.argv[1]).read_bytes())).call
inputs = np.load(sys.argv[2])
outputs = run(inputs["ids"], inputs["mask"], inputs["segment"])
np.savez(sys.argv[3], *[np.asarray(x) for x in outputs])
assert "bert_jax" not in sys.modules
"""


def inputs(rows, length):
    rng = np.random.default_rng(length)
    index, ends = np.arange(length)[None], rng.integers(2, length + 1, (rows, 1))
    mask = (index < ends).astype(np.int32)
    segment = ((index >= ends // 2) & (index < ends)).astype(np.int32)
    return rng.integers(0, 37, (rows, length)).astype(np.int32), mask, segment


@pytest.mark.parametrize("name", ARCHITECTURES)
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
