"""Options in groups by topic: a configuration's fields, as the help of its script shows them.

tyro makes a group of every nested dataclass. Configurations are flat, so their fields are put into
one nested dataclass for each topic, which is taken apart again after parsing; names of options stay
what they are.
"""

import ast
import dataclasses
import functools
import inspect
import re
import textwrap
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tyro

Topics = Mapping[str, Sequence[str]]
"""Names of a configuration's fields by topic, the most used first; those in none come last."""

MORE = "more"
_BUILD = "_build"


def group_options(config: Any, topics: Topics) -> type:
    """Return a dataclass with an option for each field of a configuration, in groups.

    Args:
        config: a configuration, whose values are the defaults, or its class.
        topics: the groups.
    """
    fields = _fields(config, bare=True)
    named = {name for names in topics.values() for name in names}
    rest = [name for name in fields if name not in named]
    groups: list[tuple[str, Any]] = []
    for number, (topic, names) in enumerate({**topics, MORE: rest}.items()):
        if names:
            group = _dataclass("Group", [fields[name] for name in names])
            about = tyro.conf.arg(name=topic, help="")
            groups.append((f"group_{number}", Annotated[group, about]))  # type: ignore[valid-type]

    def build(options: Any) -> Any:
        values: dict[str, Any] = {}
        for group in dataclasses.fields(options):
            values |= _values(getattr(options, group.name))
        return _class(config)(**values)

    return _dataclass("Options", groups, build)


def ungroup(options: Any) -> Any:
    """Return the configuration whose options were parsed.

    Raises:
        ConfigError: its values are invalid.
    """
    return getattr(options, _BUILD)()


def _class(config: Any) -> type:
    return config if isinstance(config, type) else type(config)


def _dataclass(name: str, fields: Sequence[tuple], build: Any = None) -> type:
    namespace = {_BUILD: build} if build else {}
    return dataclasses.make_dataclass(name, fields, namespace=namespace, frozen=True, kw_only=True)


def _values(options: Any) -> dict[str, Any]:
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {name: ungroup(x) if hasattr(x, _BUILD) else x for name, x in values.items()}


def _fields(config: Any, bare: bool) -> dict[str, tuple]:
    """Return fields for `make_dataclass` by name: as in a configuration, but with help and default.

    Args:
        config: a configuration, or its class.
        bare: the names of the options have no prefix.
    """
    cls, docs = _class(config), field_docs(_class(config))
    hints = typing.get_type_hints(cls, include_extras=True)
    fields: dict[str, tuple] = {}
    for field in dataclasses.fields(cls):
        default = _default(field) if config is cls else getattr(config, field.name)
        has_no_name = any(getattr(x, "name", None) == "" for x in _metadata(hints[field.name]))
        about = tyro.conf.arg(
            help=docs.get(field.name), prefix_name=False if bare and not has_no_name else None
        )
        if dataclasses.is_dataclass(default):
            inner = [*_fields(default, bare and has_no_name).values()]
            made = _dataclass("Nested", inner, _builder(type(default)))  # type: ignore[arg-type]
            kind = Annotated[(made, *_metadata(hints[field.name]), about)]  # type: ignore[valid-type]
            fields[field.name] = (field.name, kind)
        else:
            kind = Annotated[hints[field.name], about]
            has_default = default is not dataclasses.MISSING
            fields[field.name] = (
                (field.name, kind, dataclasses.field(default=default))
                if has_default
                else (field.name, kind)
            )
    return fields


def _builder(cls: type) -> Any:
    return lambda options: cls(**_values(options))


def _metadata(hint: Any) -> tuple:
    return getattr(hint, "__metadata__", ())


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@functools.cache
def field_docs(cls: type) -> dict[str, str]:
    """Return the docstrings of a class's fields, each on one line."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(body, ast.ClassDef)
        for field, doc in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(doc, ast.Expr)
                and isinstance(doc.value, ast.Constant)
            ):
                docs[field.target.id] = as_help(str(doc.value.value))
    return docs


def as_help(docstring: str) -> str:
    """Return a docstring for tyro, a line for each paragraph.

    tyro keeps some lines apart, and wraps at commas too: numbers lose theirs (4096).
    """
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(docstring))
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
