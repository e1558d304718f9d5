"""Google's TF1 checkpoints: `bert_model.ckpt`, `bert_config.json`, `vocab.txt`.

Needs the [tf] extra, which brings TensorFlow to read the file; nothing of it is run.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from bert_jax.data.tokenizer import Casing, Tokenizer, read_vocab
from bert_jax.errors import CheckpointError, ConfigError, one_line
from bert_jax.interop.config_json import bert_config, read_json_object
from bert_jax.interop.huggingface import Exported, check_vocabulary
from bert_jax.interop.names import Flat, from_flat
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build

SKIPPED = ("global_step", "adam_m", "adam_v", "_power")


def read_checkpoint(
    prefix: str | Path, config_file: Path, vocab: Path, casing: Casing, hidden_act: str | None
) -> Exported:
    """Reads a checkpoint of google-research/bert, slots of the optimizer and `global_step` aside.

    Args:
        prefix: the path without `.index`, such as "uncased_L-12_H-768_A-12/bert_model.ckpt".
        config_file: bert_config.json.
        vocab: vocab.txt.
        casing: whether the vocabulary is lower-cased; the files do not say so.
        hidden_act: overrules the configuration: its "gelu" is the exact form in the checkpoints of
            2018, and the tanh approximation in code since February 2019.

    Raises:
        ConfigError: no TensorFlow, or parts that do not fit together.
        CheckpointError: the checkpoint cannot be read.
    """
    flat = from_tf_names(_read(str(prefix)))
    tokenizer = Tokenizer(read_vocab(vocab), casing)
    _check_casing(tokenizer, vocab)
    raw = read_json_object(config_file)
    config = bert_config(raw | ({"hidden_act": hidden_act} if hidden_act else {}), config_file)
    check_vocabulary(tokenizer, config, str(vocab))
    has_heads = "cls.predictions.bias" in flat and "cls.seq_relationship.kernel" in flat
    name = "BertForPreTraining" if has_heads else "BertModel"
    shapes = jax.eval_shape(build(config, architecture(name))[0], jax.random.key(0))
    params = from_flat(flat, shapes, config, str(prefix))
    return Exported(config, name, params, tokenizer)


def from_tf_names(variables: dict[str, np.ndarray]) -> Flat:
    """The original's variables in the flat form of `names`."""
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
    """Refuses to keep capitals where none is in the vocabulary: each would be [UNK]."""
    words = [token for token in tokenizer.vocab if not (token[0] == "[" and token[-1] == "]")]
    has_small, has_capitals = (
        any(change(w) != w for w in words) for change in (str.upper, str.lower)
    )
    if has_small and not has_capitals and not tokenizer.casing.lowercase:
        raise ConfigError(
            f"{vocab} has no capital letter, but the text is not lower-cased",
            "lower-casing where the vocabulary is uncased",
            "pass --lowercase",
        )


def _read(prefix: str) -> dict[str, Any]:
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ConfigError(
            f"a TF1 checkpoint needs TensorFlow, which is not here: {error}",
            "the [tf] extra",
            "pip install 'bert_jax[tf]', in an environment of its own if need be",
        ) from None
    try:
        reader = tf.train.load_checkpoint(prefix)
        names = [n for n in reader.get_variable_to_shape_map() if not any(p in n for p in SKIPPED)]
        return {name: np.asarray(reader.get_tensor(name)) for name in names}
    except Exception as error:  # TensorFlow has many ways to fail
        raise CheckpointError(
            f"{prefix} cannot be read: {one_line(error)}",
            "the path of a TF1 checkpoint without its .index",
            "check the path, or fetch the files again",
        ) from None
