"""Weights in other people's files: what is not read, and what it is called."""

import json
import os
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop.bert import BERT
from bert_jax.interop.parameter_names import to_flat, to_torch_names
from bert_jax.interop.weights import read_weights, round_weights
from tests.tasks.tiny import CONFIG, random_params

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 438000000\n"


def write_safetensors(path, dtype, size):
    header = json.dumps({"x": {"dtype": dtype, "shape": [8], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_a_dtype_that_numpy_does_not_have_is_named(tmp_path, dtype):
    write_safetensors(tmp_path / "model.safetensors", dtype, 8)
    with pytest.raises(CheckpointError, match=rf"safetensors: x has the dtype {dtype}") as caught:
        read_weights(tmp_path, BERT)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize("name", ["model.safetensors", "flax_model.msgpack"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "pointer"])
def test_what_is_no_file_of_weights_is_refused_by_its_name(tmp_path, name, kind):
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(POINTER)
    reason = "is a Git LFS pointer" if kind == "pointer" else "no regular file"
    with pytest.raises(CheckpointError, match=rf"{name}.* {reason}"):
        read_weights(tmp_path, BERT)


def test_a_part_that_is_a_pipe_is_refused(tmp_path):
    index = {"weight_map": {"a": "part-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    os.mkfifo(tmp_path / "part-1.safetensors")
    with pytest.raises(CheckpointError, match=r"part-1\.safetensors.* no regular file"):
        read_weights(tmp_path, BERT)


@pytest.mark.parametrize("parts", [None, {}, [], {"a": "../b"}, {"a": ["b"]}, {"a": 1}])
def test_an_index_that_names_no_files_is_refused(tmp_path, parts):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(ConfigError, match="weight_map does not map to file names"):
        read_weights(tmp_path, BERT)


def test_the_prefix_of_data_parallel_models_is_stripped(tmp_path):
    flat = to_flat(random_params("BertForMaskedLM"), CONFIG)
    tensors = {f"module.{name}": x for name, x in to_torch_names(flat).items()}
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    read = read_weights(tmp_path, BERT)
    assert read.keys() == flat.keys()
    for name, x in flat.items():
        np.testing.assert_array_equal(read[name], x)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_number_that_is_too_large_is_named_and_one_that_was_infinite_is_kept(dtype):
    largest = float(ml_dtypes.finfo(dtype).max)
    kept = round_weights({"x": np.array([largest, -largest, np.inf, np.nan], np.float32)}, dtype)
    np.testing.assert_array_equal(kept["x"].astype(np.float64), [largest, -largest, np.inf, np.nan])
    too_large = np.array([1, -largest * 1.003], np.float32)
    with pytest.raises(ConfigError, match=rf"^y has .*too large for {dtype}\n.*at most") as caught:
        round_weights({"x": np.zeros(2, np.float32), "y": too_large}, dtype)
    assert str(caught.value).count("\n") == 2
