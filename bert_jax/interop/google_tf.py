"""Read Google's TF1 checkpoints of BERT: `bert_model.ckpt`, `bert_config.json`, `vocab.txt`.

Needs the [tf] extra: TensorFlow reads the file and computes nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bert_jax.errors import CheckpointError, ConfigError, one_line, warn
from bert_jax.filesystem import read_json_object
from bert_jax.interop.bert import BERT
from bert_jax.interop.config_json import parse_fields
from bert_jax.interop.detect import describe_unused, has_pooler, largest_pretraining
from bert_jax.interop.huggingface import PretrainedModel, check_vocabulary
from bert_jax.interop.parameter_names import Flat, from_flat, to_flat
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.tokenizer.tokenizer import Casing, Tokenizer
from bert_jax.tokenizer.vocab_file import read_vocab

SKIPPED = ("global_step", "adam_m", "adam_v", "_power")  # state of the optimizer


def read_tf_checkpoint(
    prefix: str | Path,
    config_file: Path,
    vocab: Path,
    casing: Casing,
    hidden_act: str | None,
    log: Callable[[str], None] = warn,
) -> PretrainedModel:
    """Read a checkpoint of google-research/bert, without the optimizer state and `global_step`.

    Args:
        prefix: the path without `.index`, such as "uncased_L-12_H-768_A-12/bert_model.ckpt".
        config_file: bert_config.json.
        vocab: vocab.txt.
        casing: lower-casing and accent stripping, which the files do not state.
        hidden_act: replaces the activation of the configuration, whose "gelu" is the exact form in
            the checkpoints of 2018, and the tanh approximation in code since February 2019.
        log: called with a warning about variables without a place.

    Raises:
        ConfigError: TensorFlow is not installed, or the files do not belong together.
        CheckpointError: the checkpoint cannot be read.
    """
    flat = from_tf_names(_read(str(prefix)))
    tokenizer = Tokenizer(read_vocab(vocab, log), casing)
    _check_casing(tokenizer, vocab)
    raw = read_json_object(config_file)
    config = parse_fields(
        raw | ({"hidden_act": hidden_act} if hidden_act else {}), BERT, config_file
    )
    check_vocabulary(tokenizer, config, str(vocab))
    name = largest_pretraining(config, flat)
    module = architecture(name, pooling=has_pooler(config, flat))
    shapes = jax.eval_shape(build(config, module)[0], jax.random.key(0))
    params = from_flat(flat, shapes, config, str(prefix))
    used = jax.eval_shape(lambda params: to_flat(params, config), shapes)
    for line in describe_unused(name, flat, used):
        log(f"{prefix}: {line}")
    return PretrainedModel(config, name, params, tokenizer)


def from_tf_names(variables: dict[str, np.ndarray]) -> Flat:
    """Convert variables of the original code to the flat form of `interop.parameter_names`."""
    flat: Flat = {}
    for name, x in variables.items():
        if any(part in name for part in SKIPPED):
            continue
        if name.startswith("cls/seq_relationship/"):
            leaf = "kernel" if name.endswith("weights") else "bias"
            flat[f"cls.seq_relationship.{leaf}"] = x.T if leaf == "kernel" else x
        elif name == "cls/predictions/output_bias":
            flat["cls.predictions.bias"] = x
        else:
            name = name.replace("/layer_", "/layer/").replace("/", ".")
            name = name.replace("LayerNorm.gamma", "LayerNorm.scale")
            name = name.replace("LayerNorm.beta", "LayerNorm.bias")
            flat[f"{name}.embedding" if name.endswith("_embeddings") else name] = x
    return flat


def _check_casing(tokenizer: Tokenizer, vocab: Path) -> None:
    """Raise if text stays cased but the vocabulary has no capitals: each would become [UNK]."""
    words = [token for token in tokenizer.vocab if not (token[0] == "[" and token[-1] == "]")]
    has_small, has_capitals = (
        any(change(w) != w for w in words) for change in (str.upper, str.lower)
    )
    if has_small and not has_capitals and not tokenizer.casing.lowercase:
        raise ConfigError(
            f"{vocab} has no capital letter, but the text is not lower-cased",
            "lower-casing for an uncased vocabulary",
            "pass --lowercase",
        )


def _read(prefix: str) -> dict[str, Any]:
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ConfigError(
            f"reading a TF1 checkpoint needs TensorFlow, which is not installed: {error}",
            "the [tf] extra",
            "pip install 'bert_jax[tf]', in an environment of its own if need be",
        ) from None
    try:
        reader = tf.train.load_checkpoint(prefix)
        names = [n for n in reader.get_variable_to_shape_map() if not any(p in n for p in SKIPPED)]
        return {name: np.asarray(reader.get_tensor(name)) for name in names}
    except Exception as error:  # TensorFlow raises errors of many types
        raise CheckpointError(
            f"{prefix} cannot be read: {one_line(error)}",
            "the path of a TF1 checkpoint without its .index",
            "check the path, or download the files again",
        ) from None
