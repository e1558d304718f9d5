"""Hugging Face directories, both ways: config.json, weights and tokenizer; never a pickle."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_dtypes  # noqa: F401  # NumPy learns bfloat16, which many files hold
import numpy as np
import safetensors
import safetensors.numpy
from flax.serialization import msgpack_restore

from bert_jax.config import BertConfig
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import CheckpointError, ConfigError, one_line
from bert_jax.interop.config_json import config_json, read_config, read_json_object
from bert_jax.interop.names import (
    from_flat,
    from_flax_names,
    from_torch_names,
    to_flat,
    torch_names,
)
from bert_jax.models.architectures import ARCHITECTURES, WITH_LABELS, architecture
from bert_jax.models.functional import build

WEIGHTS = "model.safetensors"
OURS = "bert_jax.json"  # what config.json has no place for
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5")


class Exported(NamedTuple):
    """A model as a directory holds it."""

    config: BertConfig
    architecture: str
    params: dict[str, Any]
    tokenizer: Tokenizer
    labels: tuple[str, ...] = ()
    problem_type: str | None = None
    task: dict[str, Any] | None = None
    """What `tasks` needs to predict; None where the model comes from elsewhere."""


def write_directory(folder: str | Path, model: Exported, card: str = "") -> None:
    """Writes a directory that `transformers` and `load` open; an old one is replaced whole.

    Args:
        folder: where to.
        model: what to write.
        card: the text of README.md.
    """
    folder = Path(folder)
    new = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    tensors = torch_names(to_flat(model.params))
    if model.architecture == "BertModel":
        tensors = {name.removeprefix("bert."): x for name, x in tensors.items()}
    # Bytes, not `save_file`: that would leave a file that nobody else can read.
    (new / WEIGHTS).write_bytes(safetensors.numpy.save(tensors, metadata={"format": "pt"}))
    described = config_json(
        model.config, model.architecture, model.labels, model.tokenizer.pad_id, model.problem_type
    )
    (new / "config.json").write_text(described, encoding="utf-8")
    model.tokenizer.save(new, model.config.max_position_embeddings)
    ours = {
        "task": model.task,
        "tokenizer_sha256": model.tokenizer.sha256,
        "weights_sha256": _sha256(new / WEIGHTS),
    }
    (new / OURS).write_text(json.dumps(ours, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if card:
        (new / "README.md").write_text(card, encoding="utf-8")
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def read_directory(folder: str | Path, say: Callable[[str], None] = print) -> Exported:
    """Reads a directory that `write_directory`, transformers or sentence-transformers wrote.

    Weights are `model.safetensors`, whole or in parts, or the old `flax_model.msgpack`. A head
    that this code does not know is left out, aloud: the encoder is then a `BertModel`.

    Raises:
        ConfigError: a config.json, weights or tokenizer that cannot work or do not fit together.
        CheckpointError: weights that are damaged, or only there as a pickle.
    """
    folder = Path(folder)
    described = read_config(folder / "config.json")
    ours = read_json_object(folder / OURS) if (folder / OURS).exists() else {}
    tokenizer = Tokenizer.load(folder)
    config, name, labels = described.config, described.architecture, described.labels
    check_vocabulary(tokenizer, config, str(folder))
    _check_hash(f"{folder}: the tokenizer", tokenizer.sha256, ours.get("tokenizer_sha256"))
    flat = _read_weights(folder, ours.get("weights_sha256"))
    if name not in ARCHITECTURES:
        say(f"{folder}: the head of {name} is unknown here; the encoder alone is loaded")
        name = "BertModel"
    if name in WITH_LABELS and not labels:  # Hugging Face leaves two labels out
        labels = ("LABEL_0", "LABEL_1")
    _mend_tied(flat, folder)
    num_labels = len(labels) if name in WITH_LABELS else 0
    pooling = "bert.pooler.dense.kernel" in flat or name != "BertModel"
    model = architecture(name, num_labels, pooling)
    shapes = jax.eval_shape(build(config, model)[0], jax.random.key(0))
    params = from_flat(flat, shapes, config, str(folder))
    task = ours.get("task")
    return Exported(
        config, name, params, tokenizer, labels, described.problem_type,
        task if isinstance(task, dict) else None,
    )  # fmt: skip


def check_vocabulary(tokenizer: Tokenizer, config: BertConfig, where: str) -> None:
    """Refuses a tokenizer with more tokens than the model has embeddings."""
    size = config.vocab_size or 0
    if tokenizer.vocab_size > size:
        raise ConfigError(
            f"{where}: the tokenizer has {tokenizer.vocab_size} tokens, config.json {size}",
            "a vocabulary that the model's embeddings hold",
            "give the tokenizer with which the model was trained",
        )


def _read_weights(folder: Path, sha256: str | None) -> dict[str, np.ndarray]:
    path, index = folder / WEIGHTS, folder / f"{WEIGHTS}.index.json"
    if path.exists():
        if sha256 is not None:
            _check_hash(str(path), _sha256(path), sha256)
        return from_torch_names(_read_safetensors(path))
    if index.exists():
        parts = read_json_object(index).get("weight_map")
        names = set(parts.values()) if isinstance(parts, dict) else set()
        if not names or not all(isinstance(n, str) and Path(n).name == n for n in names):
            raise ConfigError(
                f"{index}: weight_map is no map to file names", "file names", "fetch it again"
            )
        tensors: dict[str, np.ndarray] = {}
        for name in sorted(names):
            tensors |= _read_safetensors(folder / name)
        return from_torch_names(tensors)
    flax_path = folder / "flax_model.msgpack"
    if flax_path.exists():
        return from_flax_names(_read_msgpack(flax_path))
    pickled = [p.name for p in sorted(folder.iterdir()) if p.suffix in PICKLED]
    if pickled:
        raise CheckpointError(
            f"{folder} holds its weights as {pickled[0]} only, which can run code when it is read",
            f"{WEIGHTS}",
            "open it with transformers on a machine of your own trust, and save_pretrained it",
        )
    raise CheckpointError(f"{folder} holds no weights", WEIGHTS, "fetch the whole model")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise _damaged(path, error, "a safetensors file, complete") from None


def _read_msgpack(path: Path) -> dict[str, np.ndarray]:
    try:
        nested = msgpack_restore(path.read_bytes())
        leaves = jax.tree_util.tree_flatten_with_path(nested)[0]
        return {
            jax.tree_util.keystr(keys, simple=True, separator="."): np.asarray(x)
            for keys, x in leaves
        }
    except Exception as error:  # msgpack has many ways to fail
        raise _damaged(path, error, "a Flax checkpoint in one file") from None


def _mend_tied(flat: dict[str, np.ndarray], folder: Path) -> None:
    """Drops the second copies that some writers keep of tied arrays, and checks them."""
    bias = flat.pop("cls.predictions.decoder.bias", None)
    if bias is not None:
        flat.setdefault("cls.predictions.bias", bias)
    decoder = flat.pop("cls.predictions.decoder.kernel", None)
    word = flat.get("bert.embeddings.word_embeddings.embedding")
    if decoder is not None and word is not None and not np.array_equal(decoder.T, word):
        raise ConfigError(
            f"{folder}: cls.predictions.decoder is not the word embedding",
            "tied embeddings, as BERT has them",
            "load the encoder alone: name BertModel in config.json's architectures",
        )


def _check_hash(what: str, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted:
        raise ConfigError(
            f"{what} has hash {found[:16]}…",
            f"{str(wanted)[:16]}…, as {OURS} says",
            "restore the directory's files; they were changed after they were written",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, error: Exception, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read: {one_line(error)}", expected, "fetch the file again"
    )
