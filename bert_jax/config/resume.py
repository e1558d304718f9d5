"""Fields that may differ when a run is resumed, declared where the field is declared."""

import dataclasses
import json
import typing
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from bert_jax.config.files import flatten

T = TypeVar("T")
_MAY_DIFFER = "may differ on resume"

MayDiffer = Annotated[T, _MAY_DIFFER]
"""Type of a field that may differ on resume: it does not decide the updates of the weights.

Some such fields are paths, whose contents are compared by hash instead.

Example:
    >>> class LoopConfig:
    ...     steps: int
    ...     log_every: MayDiffer[int] = 10
"""


def resume_identity(config: Any) -> dict[str, str]:
    """Return the values that a run and its checkpoints must agree on, by flat name, as text."""
    free = fields_that_may_differ(config)
    return {name: value for name, value in flatten(config).items() if name not in free}


def fields_that_may_differ(config: Any) -> set[str]:
    """Return the flat names, such as "loop.log_every", of the fields declared `MayDiffer`."""
    prefixes = tuple(f"{name}." for name in _names_declared(config, ""))
    return {name for name in flatten(config) if f"{name}.".startswith(prefixes)}


def default_identity(config: Any) -> dict[str, str]:
    """Return the defaults of the fields that have one, by flat name, as text.

    They are the values of a run that was begun before a field existed.
    """
    defaults: dict[str, str] = {}
    flat = flatten(config)  # dataclasses in a tuple, such as phases, have longer names there
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            inner = default_identity(value)
            defaults |= {f"{field.name}.{name}": text for name, text in inner.items()}
        elif field.default is not dataclasses.MISSING and field.name in flat:
            defaults[field.name] = json.dumps(field.default, ensure_ascii=False)
    return defaults


def _names_declared(config: Any, prefix: str) -> Iterator[str]:
    """Yield the names of the fields declared `MayDiffer`, nested configurations as a whole."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        name, value = f"{prefix}{field.name}", getattr(config, field.name)
        if _MAY_DIFFER in getattr(hints[field.name], "__metadata__", ()):
            yield name
        elif dataclasses.is_dataclass(value):
            yield from _names_declared(value, f"{name}.")
