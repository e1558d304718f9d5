"""Read and write Hugging Face's config.json; of its fields only an allow-list has any effect."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.config import EncoderConfig
from bert_jax.errors import ConfigError
from bert_jax.filesystem import read_json_object
from bert_jax.interop.families import FAMILIES, family_of
from bert_jax.interop.family import ACTIVATIONS, Family, Unsupported


class ParsedConfig(NamedTuple):
    """The fields of a config.json that this code uses."""

    path: Path
    config: EncoderConfig
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
    kind = raw.get("model_type")
    if "model_type" not in raw:
        raise ConfigError(
            f"{path}: model_type = None",
            f"one of {', '.join(map(repr, FAMILIES))}",
            'if it is a BERT, add "model_type": "bert" to the file',
        )
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise _unsupported(path, raw, "model_type", f"one of {', '.join(map(repr, FAMILIES))}")
    config = parse_fields(raw, FAMILIES[kind], path)
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


def parse_fields(raw: dict[str, Any], family: Family, path: Path) -> EncoderConfig:
    """Return the encoder's configuration from config.json, or Google's bert_config.json."""
    for field, value in family.required.items():
        if raw.get(field, value) not in (value, None):
            raise _unsupported(path, raw, field, repr(value))
    try:
        fields = family.read(raw)
    except Unsupported as error:
        raise _unsupported(path, raw, error.field, error.expected) from None
    values: dict[str, Any] = {}
    for field in dataclasses.fields(family.config):
        name = family.fields.get(field.name, field.name)
        if name not in fields or name == "model_type":
            continue
        value = fields[name]
        if value is None and field.default is None:
            continue
        values[field.name] = _parse_value(raw, field, value, family, path)
    if values.get("vocab_size") is None:
        raise _unsupported(path, raw, "vocab_size", "the number of tokens")
    try:
        return family.config(**values)
    except ConfigError as error:
        wrong, expected, fix = error.lines
        raise ConfigError(f"{path}: {wrong}", expected, fix) from None


def _parse_value(
    raw: dict[str, Any], field: dataclasses.Field, value: Any, family: Family, path: Path
) -> Any:
    """Return a field's value for the configuration, whose class checks its range."""
    name = family.fields.get(field.name, field.name)
    if field.name in family.activations:
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise _unsupported(path, raw, name, f"one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]
    kinds, expected = (int, float), "a number"
    if isinstance(field.default, bool):
        kinds, expected = (bool,), "true or false"
    elif isinstance(field.default, str):
        kinds, expected = (str,), "a text"
    elif field.type in (int, int | None):
        kinds, expected = (int,), "an integer"
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds != (bool,)):
        raise _unsupported(path, raw, name, expected)
    return value


def make_config_json(
    config: EncoderConfig,
    architecture: str,
    labels: tuple[str, ...] = (),
    token_ids: Mapping[str, int] | None = None,
    problem_type: str | None = None,
    dtype: str = "float32",
) -> str:
    """Return the text of a config.json that `transformers` opens.

    Args:
        config: the encoder's configuration.
        architecture: one of `models.architectures.ARCHITECTURES`.
        labels: names of the outputs, in order.
        token_ids: ids of special tokens by the names of their fields; None: padding has 0.
        problem_type: Hugging Face's name for the kind of outputs.
        dtype: of the weights.
    """
    family = family_of(config)
    activations = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    values: dict[str, Any] = {"architectures": [architecture], "model_type": config.model_type}
    values |= dataclasses.asdict(config)
    values |= {name: activations[values[name]] for name in family.activations}
    values = {family.fields.get(name, name): value for name, value in values.items()}
    default_ids = {name: 0 for name in family.token_ids if name == "pad_token_id"}
    values |= {**family.write(config), **(token_ids or default_ids), "dtype": dtype}
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
        f"{path}: {field} = {_shorten(raw.get(field))}", expected, "convert a plain model"
    )


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
