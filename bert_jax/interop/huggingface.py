"""Read and write Hugging Face model directories: config.json, weights, tokenizer; no pickles."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy
from flax import nnx

from bert_jax.config import EncoderConfig
from bert_jax.errors import CheckpointError, ConfigError, UserError, warn
from bert_jax.filesystem import (
    current_folder,
    read_json_object,
    replace_folder,
    write_bytes,
    write_text,
)
from bert_jax.interop.config_json import make_config_json, read_config, read_labels
from bert_jax.interop.detect import (
    WITH_MLM,
    choose_architecture,
    describe_choice,
    has_pooler,
    number_of_labels,
    untied_decoder,
)
from bert_jax.interop.families import family_of
from bert_jax.interop.family import Family
from bert_jax.interop.manifest import (
    METADATA_FILE,
    check_hash,
    make_metadata,
    read_metadata,
    verify_files,
)
from bert_jax.interop.parameter_names import Flat, from_flat, to_flat, to_torch_names
from bert_jax.interop.sentence_transformers import read_sentence_pooling, sentence_files
from bert_jax.interop.weights import WEIGHTS_FILE, WeightsDtype, read_weights, round_weights
from bert_jax.models.architectures import ENCODERS, WITH_LABELS, architecture, head_of, with_encoder
from bert_jax.models.functional import build
from bert_jax.models.pooling import SentencePooling
from bert_jax.tokenizer.tokenizer import Tokenizer

MAX_READS = 20  # of a directory that is replaced again and again while it is read


class PretrainedModel(NamedTuple):
    """The parts of a model as a directory holds them, read or to be written."""

    config: EncoderConfig
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
    """Pooling of a text to one vector, in a directory of sentence-transformers."""

    @property
    def has_pooler(self) -> bool:
        """True if the encoder has a pooler."""
        return "pooler" in with_encoder(self.params)["bert"]

    @property
    def module(self) -> Callable[..., nnx.Module]:
        """The module class that the parameters belong to, for `models.functional.build`."""
        num_labels = len(self.labels) if self.architecture in WITH_LABELS else 0
        return architecture(self.architecture, num_labels, self.has_pooler)


def write_directory(
    folder: str | Path, model: PretrainedModel, card: str = "", dtype: WeightsDtype = "float32"
) -> None:
    """Write a directory that `transformers` and `bert_jax.load` open, and replace an old one.

    With `model.sentence`, sentence-transformers opens it too.

    Args:
        folder: the directory to write; it changes only once all files are complete, and a process
            that ends early leaves the old one.
        model: the model to write.
        card: the text of README.md; empty writes none.
        dtype: type of the weights in the file, which are rounded to it.

    Raises:
        ConfigError: a weight is too large for the type.
    """
    folder = Path(folder).resolve()  # a link stays a link
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    new = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        _write_files(new, model, card, dtype)
        replace_folder(new, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _write_files(folder: Path, model: PretrainedModel, card: str, dtype: WeightsDtype) -> None:
    family, tokenizer = family_of(model.config), model.tokenizer
    tensors = round_weights(to_torch_names(to_flat(model.params, model.config)), dtype)
    if model.architecture in ENCODERS:
        tensors = {name.removeprefix(family.prefix): x for name, x in tensors.items()}
    # `save` instead of `save_file`, which writes a file that only its owner can read.
    content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    write_bytes(folder / WEIGHTS_FILE, content)
    token_ids = {k: getattr(tokenizer, f"{role}_id") for k, role in family.token_ids.items()}
    config_text = make_config_json(
        model.config, model.architecture, model.labels, token_ids, model.problem_type, dtype
    )
    write_text(folder / "config.json", config_text)
    positions = model.config.max_position_embeddings
    tokenizer.save(folder, positions, segments=model.config.has_segments)
    if model.sentence:
        width = model.config.hidden_size
        for name, text in sentence_files(model.sentence, width, positions).items():
            write_text(folder / name, text)
    if card:
        write_text(folder / "README.md", card)
    metadata = make_metadata(folder, model.task, tokenizer.sha256)
    write_text(folder / METADATA_FILE, metadata)


def find_directory(path: Path) -> Path | None:
    """Return the Hugging Face directory at a path, or in a run there; None for a run without one.

    Raises:
        ConfigError: neither a directory nor a run.
    """
    exported = current_folder(path / "model")
    if (exported / "config.json").exists():
        return exported
    if not (path / "config.json").exists():
        missing = "it has no config.json" if path.is_dir() else "there is no such folder"
        raise ConfigError(
            f"{path} is not a model: {missing}",
            "a run of pretrain.py or finetune.py, or a Hugging Face directory",
            "train it (python demo.py makes runs/demo), or hf download NAME --local-dir DIR",
        )
    fields = {"model_type", "architectures", "hidden_size"}
    return path if fields & read_json_object(path / "config.json").keys() else None


def read_directory(
    folder: str | Path, log: Callable[[str], None] = warn, labels: bool = True
) -> PretrainedModel:
    """Read a directory that `write_directory`, transformers or sentence-transformers wrote.

    The architecture is the one in config.json, but for a pretraining model whose weights have more
    heads than its name says, and if the file has no name. Weights without a place are dropped with
    a warning.

    Args:
        folder: the directory; one that is replaced while it is read is read again.
        log: called with each warning.
        labels: False ignores the labels in config.json, which an encoder does not need.

    Raises:
        ConfigError: config.json, weights or tokenizer are invalid or do not belong together.
        CheckpointError: the weights are missing, damaged, or a pickle.
    """
    folder = Path(folder)
    for _ in range(MAX_READS):
        current, lines = current_folder(folder), []
        version = _version(current)
        try:
            model = _read_files(current, lines.append, labels)
        except (UserError, OSError):
            if _version(current_folder(folder)) == version:
                raise
        else:
            if _version(current_folder(folder)) == version:
                for line in lines:
                    log(line)
                return model
    raise CheckpointError(
        f"{folder} was replaced {MAX_READS} times while it was read",
        "a directory that stays as it is for a moment",
        "try again once its writer is done",
    )


def _version(folder: Path) -> tuple[int, int] | None:
    """Return what differs between a directory and the one that replaces it: inode and time."""
    try:
        stat = folder.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_ctime_ns


def _read_files(folder: Path, log: Callable[[str], None], labels: bool) -> PretrainedModel:
    metadata = read_metadata(folder)
    verify_files(folder, metadata)
    parsed = read_config(folder / "config.json")
    tokenizer = Tokenizer.load(folder, log)
    config = parsed.config
    check_vocabulary(tokenizer, config, str(folder))
    if "tokenizer_sha256" in metadata:
        check_hash(f"{folder}: the tokenizer", tokenizer.sha256, metadata["tokenizer_sha256"])
    family = family_of(config)
    flat = read_weights(folder, family)
    _drop_tied_copies(flat, family)
    name = choose_architecture(parsed, flat)
    if untied_decoder(config) in flat and head_of(name) in WITH_MLM:
        raise ConfigError(
            f"{folder}: {family.decoder} differs from the word embedding",
            f"tied embeddings, as in {config.title}",
            f'load the encoder alone: "architectures": ["{config.family}Model"] in config.json',
        )
    names = read_labels(parsed, log) if labels and name in WITH_LABELS else ()
    if name in WITH_LABELS and not names:
        names = tuple(f"LABEL_{i}" for i in range(number_of_labels(flat)))
    module = architecture(name, len(names), has_pooler(config, flat))
    shapes = jax.eval_shape(build(config, module)[0], jax.random.key(0))
    params = from_flat(flat, shapes, config, str(folder))
    used = jax.eval_shape(lambda params: to_flat(params, config), shapes)
    for line in describe_choice(parsed, name, flat, used):
        log(f"{folder}: {line}")
    task = metadata.get("task")
    return PretrainedModel(
        config, name, params, tokenizer, names, parsed.problem_type,
        task if isinstance(task, dict) else None, read_sentence_pooling(folder, log),
    )  # fmt: skip


def check_vocabulary(tokenizer: Tokenizer, config: EncoderConfig, source: str) -> None:
    """Raise a `ConfigError` if the tokenizer has more tokens than the model has embeddings."""
    size = config.vocab_size or 0
    if tokenizer.vocab_size > size:
        raise ConfigError(
            f"{source}: the tokenizer has {tokenizer.vocab_size} tokens, config.json {size}",
            "at most one token for each embedding",
            "use the tokenizer with which the model was trained",
        )


def _drop_tied_copies(flat: Flat, family: Family) -> None:
    """Drop the second copies of tied arrays that some writers keep; a different array stays."""
    (own_bias,), copy = family.theirs("mlm.bias"), f"{family.decoder}.bias"
    if own_bias != copy and (bias := flat.pop(copy, None)) is not None:
        flat.setdefault(own_bias, bias)
    decoder, (word,) = f"{family.decoder}.kernel", family.theirs("bert.embeddings.word")
    if decoder in flat and word in flat and np.array_equal(flat[decoder].T, flat[word]):
        del flat[decoder]
