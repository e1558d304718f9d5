"""Conversion of configurations to and from JSON, and to flat names."""

import dataclasses
import difflib
import json
import typing
from pathlib import Path
from typing import Annotated, Any

from bert_jax.errors import ConfigError, one_line
from bert_jax.filesystem import read_json_object


def to_json(config: Any) -> str:
    """Return a configuration as indented JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2, ensure_ascii=False) + "\n"


def from_dict(cls: type, values: dict[str, Any], where: str = "configuration") -> Any:
    """Build a configuration from plain values.

    Raises:
        ConfigError: a key is not a field (the nearest name is suggested), a field without a default
            is missing, or a value is invalid.
    """
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"remove {key!r}"
            raise ConfigError(f"{where}: unknown field {key!r}", f"fields of {cls.__name__}", hint)
    converted = {key: _convert(hints[key], value, where) for key, value in values.items()}
    try:
        return cls(**converted)
    except TypeError as error:  # a missing field, or a value that is not of the field's type
        raise ConfigError(
            f"{where}: {one_line(error)}",
            f"every field of {cls.__name__}, with a value of its type",
            "restore the values, or remove those that you changed",
        ) from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_convert(typing.get_args(hint)[0], item, where) for item in value)
    if typing.get_origin(hint) is Annotated:
        return _convert(typing.get_args(hint)[0], value, where)
    if isinstance(value, dict):  # one of several dataclasses
        return from_dict(_choose_class(typing.get_args(hint), value, where), value, where)
    return value


def _choose_class(members: tuple[type, ...], value: dict[str, Any], where: str) -> type:
    """Return the one of several dataclasses that a dict names by `kind` or `model_type`.

    The first one has no such field, or is named too.
    """
    fields = {field.name for member in members for field in dataclasses.fields(member)}
    name = "kind" if "kind" in fields else "model_type"
    by_name = {getattr(member, name, None): member for member in members}
    given = value.get(name)
    if given is None and name not in {field.name for field in dataclasses.fields(members[0])}:
        return members[0]
    if not isinstance(given, str) or given not in by_name:
        raise ConfigError(f"{where}: {name} = {given!r}", f"one of {tuple(by_name)}", f"fix {name}")
    return by_name[given]


def read_json(cls: type, path: Path) -> Any:
    """Read a configuration that `to_json` wrote.

    Raises:
        ConfigError: the file cannot be read, or does not hold this configuration.
    """
    return from_dict(cls, read_json_object(path), str(path))


def flatten(config: Any) -> dict[str, str]:
    """Return a configuration as flat names and JSON texts: `{"model.hidden_size": "768"}`."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
            for index, inner in enumerate(value):
                walk(f"{prefix}.{index}", inner)
        else:
            flat[prefix] = json.dumps(value, ensure_ascii=False)

    walk("", dataclasses.asdict(config))
    return flat
