"""Read and write Hugging Face's config.json; of its fields only an allow-list has any effect."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.config import BertConfig
from bert_jax.errors import ConfigError
from bert_jax.filesystem import read_json_object

ACTIVATIONS = {  # Hugging Face's names → ours
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu",
}  # fmt: skip
REQUIRED_VALUES = {  # what the model computes; any other value is refused
    "model_type": "bert", "position_embedding_type": "absolute", "is_decoder": False,
    "add_cross_attention": False, "is_encoder_decoder": False, "tie_word_embeddings": True,
    "pruned_heads": {}, "chunk_size_feed_forward": 0,
}  # fmt: skip


class ParsedConfig(NamedTuple):
    """The fields of a config.json that this code uses."""

    path: Path
    config: BertConfig
    architecture: str | None
    """The first name in `architectures`; None if there is none."""
    problem_type: str | None
    raw: dict[str, Any]
    """The whole file, for `read_labels`."""


def read_config(path: Path) -> ParsedConfig:
    """Read a config.json; other fields are ignored.

    Raises:
        ConfigError: the file is not JSON, brings code of its own (`auto_map`), describes a
            different kind of model, or has an invalid size.
    """
    raw = read_json_object(path)
    if "auto_map" in raw:
        raise _unsupported(
            path, raw, "auto_map", "a model without custom code, because none is run"
        )
    if "model_type" not in raw:
        raise ConfigError(
            f"{path}: model_type = None",
            "'bert'",
            'if it is a BERT, add "model_type": "bert" to the file',
        )
    config = parse_bert_config(raw, path)
    names = raw.get("architectures")
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if names is not None and not is_list:
        raise _unsupported(path, raw, "architectures", "a list of names")
    problem = raw.get("problem_type")
    return ParsedConfig(
        path,
        config,
        names[0] if names else None,
        problem if isinstance(problem, str) else None,
        raw,
    )


def parse_bert_config(raw: dict[str, Any], path: Path) -> BertConfig:
    """Return the encoder's configuration from config.json, or Google's bert_config.json."""
    for field, value in REQUIRED_VALUES.items():
        if raw.get(field, value) not in (value, None):
            raise _unsupported(path, raw, field, repr(value))
    values: dict[str, Any] = {}
    for field in dataclasses.fields(BertConfig):
        if field.name not in raw:
            continue
        value = raw[field.name]
        kind = (int,) if field.type in (int, int | None) else (int, float)
        if value is None and field.default is None:
            continue
        if field.name == "hidden_act":
            if not isinstance(value, str) or value not in ACTIVATIONS:
                raise _unsupported(path, raw, field.name, f"one of {', '.join(ACTIVATIONS)}")
            value = ACTIVATIONS[value]
        elif isinstance(value, bool) or not isinstance(value, kind):
            expected = "an integer" if kind == (int,) else "a number"
            raise _unsupported(path, raw, field.name, expected)
        values[field.name] = value
    if values.get("vocab_size") is None:
        raise _unsupported(path, raw, "vocab_size", "the number of tokens")
    try:
        return BertConfig(**values)
    except ConfigError as error:
        wrong, expected, fix = error.lines
        raise ConfigError(f"{path}: {wrong}", expected, fix) from None


def make_config_json(
    config: BertConfig,
    architecture: str,
    labels: tuple[str, ...] = (),
    pad_id: int = 0,
    problem_type: str | None = None,
    dtype: str = "float32",
) -> str:
    """Return the text of a config.json that `transformers` opens."""
    activations = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    values: dict[str, Any] = {"architectures": [architecture], "model_type": "bert"}
    values |= dataclasses.asdict(config) | {"hidden_act": activations[config.hidden_act]}
    values |= {"position_embedding_type": "absolute", "pad_token_id": pad_id, "dtype": dtype}
    if labels:
        values["id2label"] = {str(i): label for i, label in enumerate(labels)}
        values["label2id"] = {label: i for i, label in enumerate(labels)}
    if problem_type:
        values["problem_type"] = problem_type
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def read_labels(parsed: ParsedConfig, log: Callable[[str], None]) -> tuple[str, ...]:
    """Return the names of the outputs, in order; empty if the file has none.

    `id2label` decides; a `label2id` that is not its inverse is logged and ignored.

    Raises:
        ConfigError: the names are not numbered 0 … n−1, or one occurs twice.
    """
    path, raw = parsed.path, parsed.raw
    given, inverse = raw.get("id2label"), raw.get("label2id")
    if given is None and isinstance(inverse, dict):
        given = {str(i): label for label, i in inverse.items()}
    if given is None:
        count = raw.get("num_labels", 0)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 1 << 20:
            raise ConfigError(
                f"{path}: num_labels = {_shorten(count)}", "a number of labels", "fix the file"
            )
        return tuple(f"LABEL_{i}" for i in range(count))
    is_map = isinstance(given, dict) and all(isinstance(label, str) for label in given.values())
    if not is_map or set(given) != {str(i) for i in range(len(given))}:
        raise ConfigError(
            f"{path}: id2label = {_shorten(given)}",
            "a label for each of 0 … n-1",
            "fix the file",
        )
    labels = tuple(given[str(i)] for i in range(len(given)))
    first = {label: i for i, label in reversed(list(enumerate(labels)))}
    again = next((i for i, label in enumerate(labels) if first[label] != i), None)
    if again is not None:
        raise ConfigError(
            f"{path}: id2label names both {first[labels[again]]} and {again} {labels[again]!r}",
            "different names for different outputs",
            "rename one of them in id2label",
        )
    if inverse is not None and inverse != first:
        log(f"{path}: label2id = {_shorten(inverse)} is not the inverse of id2label, which is used")
    return labels


def _unsupported(path: Path, raw: dict[str, Any], field: str, expected: str) -> ConfigError:
    return ConfigError(
        f"{path}: {field} = {_shorten(raw.get(field))}", expected, "convert a plain BERT model"
    )


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
