"""Read and write Hugging Face model directories: config.json, weights, tokenizer; no pickles."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_dtypes  # noqa: F401  # registers bfloat16 with NumPy; many files hold it
import numpy as np
import safetensors
import safetensors.numpy
from flax.serialization import msgpack_restore

from bert_jax.config import BertConfig
from bert_jax.errors import CheckpointError, ConfigError, one_line
from bert_jax.filesystem import read_json_object, write_text
from bert_jax.interop.config_json import make_config_json, read_config
from bert_jax.interop.parameter_names import (
    from_flat,
    from_flax_names,
    from_torch_names,
    to_flat,
    to_torch_names,
)
from bert_jax.interop.sentence_transformers import read_sentence_pooling, sentence_files
from bert_jax.models.architectures import ARCHITECTURES, WITH_LABELS, architecture
from bert_jax.models.functional import build
from bert_jax.models.pooling import SentencePooling
from bert_jax.tokenizer.tokenizer import Tokenizer

WEIGHTS_FILE = "model.safetensors"
METADATA_FILE = "bert_jax.json"  # fields that config.json has no place for
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5")


class PretrainedModel(NamedTuple):
    """The parts of a model as a directory holds them, read or to be written."""

    config: BertConfig
    """The encoder's configuration."""
    architecture: str
    """One of `models.architectures.ARCHITECTURES`."""
    params: dict[str, Any]
    """Parameters as a nested dict of float32 arrays, heads included."""
    tokenizer: Tokenizer
    labels: tuple[str, ...] = ()
    """Names of the outputs, in order; empty for a model without labels."""
    problem_type: str | None = None
    """Hugging Face's name for the kind of classification or regression."""
    task: dict[str, Any] | None = None
    """Kind of task and longest input, for predictions; None if it was not fine-tuned here."""
    sentence: SentencePooling | None = None
    """How one vector is made of a text, in a directory of sentence-transformers."""


def write_directory(folder: str | Path, model: PretrainedModel, card: str = "") -> None:
    """Write a directory that `transformers` and `bert_jax.load` open, and replace an old one.

    With `model.sentence`, sentence-transformers opens it too.

    Args:
        folder: the directory to write; it changes only once all files are complete.
        model: the model to write.
        card: the text of README.md; empty writes none.
    """
    folder = Path(folder)
    new = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    tensors = to_torch_names(to_flat(model.params))
    if model.architecture == "BertModel":
        tensors = {name.removeprefix("bert."): x for name, x in tensors.items()}
    # `save` instead of `save_file`, which writes a file that only its owner can read.
    (new / WEIGHTS_FILE).write_bytes(safetensors.numpy.save(tensors, metadata={"format": "pt"}))
    config_text = make_config_json(
        model.config, model.architecture, model.labels, model.tokenizer.pad_id, model.problem_type
    )
    (new / "config.json").write_text(config_text, encoding="utf-8")
    model.tokenizer.save(new, model.config.max_position_embeddings)
    if model.sentence:
        width, positions = model.config.hidden_size, model.config.max_position_embeddings
        for name, text in sentence_files(model.sentence, width, positions).items():
            write_text(new / name, text)
    metadata = {
        "task": model.task,
        "tokenizer_sha256": model.tokenizer.sha256,
        "weights_sha256": _sha256(new / WEIGHTS_FILE),
    }
    metadata_text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
    (new / METADATA_FILE).write_text(metadata_text, "utf-8")
    if card:
        (new / "README.md").write_text(card, encoding="utf-8")
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def read_directory(folder: str | Path, log: Callable[[str], None] = print) -> PretrainedModel:
    """Read a directory that `write_directory`, transformers or sentence-transformers wrote.

    Weights are read from `model.safetensors`, whole or in parts, or the old `flax_model.msgpack`.
    An unknown head is dropped with a warning, which leaves the encoder as a `BertModel`.

    Args:
        folder: the directory.
        log: called with each warning.

    Raises:
        ConfigError: config.json, weights or tokenizer are invalid or do not belong together.
        CheckpointError: the weights are missing, damaged, or a pickle.
    """
    folder = Path(folder)
    parsed = read_config(folder / "config.json")
    metadata_path = folder / METADATA_FILE
    metadata = read_json_object(metadata_path) if metadata_path.exists() else {}
    tokenizer = Tokenizer.load(folder)
    config, name, labels = parsed.config, parsed.architecture, parsed.labels
    check_vocabulary(tokenizer, config, str(folder))
    _check_hash(f"{folder}: the tokenizer", tokenizer.sha256, metadata.get("tokenizer_sha256"))
    flat = _read_weights(folder, metadata.get("weights_sha256"))
    if name not in ARCHITECTURES:
        log(f"warning: {folder}: the head of {name} is not supported and is dropped")
        name = "BertModel"
    if name in WITH_LABELS and not labels:  # Hugging Face omits two default labels
        labels = ("LABEL_0", "LABEL_1")
    _drop_tied_copies(flat, folder)
    num_labels = len(labels) if name in WITH_LABELS else 0
    pooling = "bert.pooler.dense.kernel" in flat or name != "BertModel"
    model = architecture(name, num_labels, pooling)
    shapes = jax.eval_shape(build(config, model)[0], jax.random.key(0))
    params = from_flat(flat, shapes, config, str(folder))
    task = metadata.get("task")
    return PretrainedModel(
        config, name, params, tokenizer, labels, parsed.problem_type,
        task if isinstance(task, dict) else None, read_sentence_pooling(folder, log),
    )  # fmt: skip


def check_vocabulary(tokenizer: Tokenizer, config: BertConfig, source: str) -> None:
    """Raise a `ConfigError` if the tokenizer has more tokens than the model has embeddings."""
    size = config.vocab_size or 0
    if tokenizer.vocab_size > size:
        raise ConfigError(
            f"{source}: the tokenizer has {tokenizer.vocab_size} tokens, config.json {size}",
            "at most one token for each embedding",
            "use the tokenizer with which the model was trained",
        )


def _read_weights(folder: Path, sha256: str | None) -> dict[str, np.ndarray]:
    path, index = folder / WEIGHTS_FILE, folder / f"{WEIGHTS_FILE}.index.json"
    if path.exists():
        if sha256 is not None:
            _check_hash(str(path), _sha256(path), sha256)
        return from_torch_names(_read_safetensors(path))
    if index.exists():
        parts = read_json_object(index).get("weight_map")
        names = set(parts.values()) if isinstance(parts, dict) else set()
        if not names or not all(isinstance(n, str) and Path(n).name == n for n in names):
            raise ConfigError(
                f"{index}: weight_map does not map to file names",
                "file names in the same directory",
                "download it again",
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
            f"{folder} has its weights as {pickled[0]} only, which can run code when it is read",
            WEIGHTS_FILE,
            "if you trust it, load it with transformers and write it again with save_pretrained",
        )
    raise CheckpointError(f"{folder} holds no weights", WEIGHTS_FILE, "download the whole model")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise _damaged(path, error, "a complete safetensors file") from None


def _read_msgpack(path: Path) -> dict[str, np.ndarray]:
    try:
        nested = msgpack_restore(path.read_bytes())
        leaves = jax.tree_util.tree_flatten_with_path(nested)[0]
        return {
            jax.tree_util.keystr(keys, simple=True, separator="."): np.asarray(x)
            for keys, x in leaves
        }
    except Exception as error:  # msgpack raises errors of many types
        raise _damaged(path, error, "a complete Flax checkpoint") from None


def _drop_tied_copies(flat: dict[str, np.ndarray], folder: Path) -> None:
    """Drop the second copies of tied arrays that some writers keep; raise if they differ."""
    bias = flat.pop("cls.predictions.decoder.bias", None)
    if bias is not None:
        flat.setdefault("cls.predictions.bias", bias)
    decoder = flat.pop("cls.predictions.decoder.kernel", None)
    word = flat.get("bert.embeddings.word_embeddings.embedding")
    if decoder is not None and word is not None and not np.array_equal(decoder.T, word):
        raise ConfigError(
            f"{folder}: cls.predictions.decoder differs from the word embedding",
            "tied embeddings, as in BERT",
            "load the encoder alone: name BertModel in config.json's architectures",
        )


def _check_hash(name: str, actual: str, expected: str | None) -> None:
    if expected is not None and actual != expected:
        raise ConfigError(
            f"{name} has hash {actual[:16]}…",
            f"{str(expected)[:16]}…, as recorded in {METADATA_FILE}",
            "restore the original files; they were changed after the model was written",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, error: Exception, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read: {one_line(error)}", expected, "download the file again"
    )
