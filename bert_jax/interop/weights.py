"""Read the weights of a Hugging Face directory in any of its formats but pickles; round them."""

from pathlib import Path
from typing import Literal

import jax
import ml_dtypes  # registers bfloat16 with NumPy; many files hold it
import numpy as np
import safetensors
from flax.serialization import msgpack_restore

from bert_jax.errors import CheckpointError, ConfigError, one_line
from bert_jax.filesystem import open_regular, read_json_object
from bert_jax.interop.family import Family
from bert_jax.interop.parameter_names import Flat, from_flax_names, from_torch_names

WEIGHTS_FILE = "model.safetensors"
READABLE = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5")


WeightsDtype = Literal["float32", "float16", "bfloat16"]
"""Types of numbers that weights are written in."""


def read_weights(folder: Path, family: Family) -> Flat:
    """Read `model.safetensors`, whole or in parts, or the old `flax_model.msgpack`.

    Raises:
        ConfigError: the index of the parts is invalid.
        CheckpointError: the weights are missing, damaged, a pickle, or the pointer of Git LFS.
    """
    path, index = folder / WEIGHTS_FILE, folder / f"{WEIGHTS_FILE}.index.json"
    if path.exists():
        return from_torch_names(_read_safetensors(path), family)
    if index.exists():
        parts = read_json_object(index).get("weight_map")
        names = list(parts.values()) if isinstance(parts, dict) else []
        if not names or not all(isinstance(n, str) and Path(n).name == n for n in names):
            raise ConfigError(
                f"{index}: weight_map does not map to file names",
                "file names in the same directory",
                "download it again",
            )
        tensors: dict[str, np.ndarray] = {}
        for name in sorted(set(names)):
            tensors |= _read_safetensors(folder / name)
        return from_torch_names(tensors, family)
    flax_path = folder / "flax_model.msgpack"
    if flax_path.exists():
        return from_flax_names(_read_msgpack(flax_path), family)
    pickled = [p.name for p in sorted(folder.iterdir()) if p.suffix in PICKLED]
    if pickled:
        raise CheckpointError(
            f"{folder} has its weights as {pickled[0]} only, which can run code when it is read",
            WEIGHTS_FILE,
            "if you trust it, load it with transformers and write it again with save_pretrained",
        )
    raise CheckpointError(f"{folder} holds no weights", WEIGHTS_FILE, "download the whole model")


def round_weights(tensors: dict[str, np.ndarray], dtype: WeightsDtype) -> dict[str, np.ndarray]:
    """Return float32 arrays as another type, rounded to the nearest.

    Raises:
        ConfigError: a number is too large for the type.
    """
    with np.errstate(over="ignore"):  # reported below
        rounded = {name: x.astype(dtype, copy=False) for name, x in tensors.items()}
    for name, x in rounded.items():
        if (np.isfinite(x) != np.isfinite(tensors[name])).any():
            raise ConfigError(
                f"{name} has {np.abs(tensors[name]).max():.4g}, which is too large for {dtype}",
                f"at most {float(ml_dtypes.finfo(dtype).max):.4g}",
                "choose bfloat16 or float32",
            )
    return rounded


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    open_regular(path, CheckpointError).close()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            dtypes = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            for name, dtype in dtypes.items():
                if dtype not in READABLE:
                    raise CheckpointError(
                        f"{path}: {name} has the dtype {dtype}",
                        "float32, float16 or bfloat16",
                        "load it with transformers as float32 and write it by save_pretrained",
                    )
            return {name: file.get_tensor(name) for name in dtypes}
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise _damaged(path, error, "a complete safetensors file") from None


def _read_msgpack(path: Path) -> dict[str, np.ndarray]:
    with open_regular(path, CheckpointError) as file:
        try:
            nested = msgpack_restore(file.read())
            leaves = jax.tree_util.tree_flatten_with_path(nested)[0]
            return {
                jax.tree_util.keystr(keys, simple=True, separator="."): np.asarray(x)
                for keys, x in leaves
            }
        except Exception as error:  # msgpack raises errors of many types
            raise _damaged(path, error, "a complete Flax checkpoint") from None


def _damaged(path: Path, error: Exception, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read: {one_line(error)}", expected, "download the file again"
    )
