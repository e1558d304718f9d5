"""Options in groups: the same names and values as without, and help from the docstrings."""

import dataclasses
from typing import Annotated, Literal

import pytest
import tyro

from bert_jax.config import MayDiffer
from bert_jax.config.option_groups import as_help, field_docs, group_options, ungroup
from bert_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Loop:
    """Length of a run."""

    steps: int = 10
    """Steps in the whole run,
    of which all count."""


@dataclasses.dataclass(frozen=True)
class Inner:
    """Inner part."""

    depth: int = 1
    """Depth."""


@dataclasses.dataclass(frozen=True)
class Outer:
    """Part with a part."""

    inner: Inner = Inner()
    """The inner part."""
    rate: float = 0.5
    """Rate."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything."""

    text: tyro.conf.Positional[str]
    """Text."""
    loop: Annotated[Loop, tyro.conf.arg(name="")]
    """The loop."""
    model: Outer
    """The model."""
    kind: MayDiffer[Literal["a", "b"]] = "a"
    """Kind of 1,000 things."""
    output: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """Where to write."""
    layers: tuple[Inner, ...] = (Inner(), Inner(2))
    """All layers."""

    def __post_init__(self):
        if self.output == "bad":
            raise ConfigError("bad output", "a good one", "choose another")


TOPICS = {"length": ("loop",), "in and out": ("text", "output")}
DEFAULT = Config("x", Loop(20), Outer())


def parse(*arguments: str) -> Config:
    return ungroup(tyro.cli(group_options(DEFAULT, TOPICS), args=[*arguments]))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], DEFAULT),
        (["y", "--steps", "3", "-o", "z"], Config("y", Loop(3), Outer(), output="z")),
        (["--model.inner.depth", "4", "--kind", "b"],
         Config("x", Loop(20), Outer(Inner(4)), "b")),
        (["--layers.1.depth", "7"], Config("x", Loop(20), Outer(), layers=(Inner(), Inner(7)))),
    ],
)  # fmt: skip
def test_options_keep_their_names_and_defaults(arguments, expected):
    assert parse(*arguments) == expected


def test_invalid_values_are_errors_for_users():
    with pytest.raises(ConfigError, match="bad output"):
        parse("--output", "bad")


def test_each_topic_is_a_group_in_order_and_what_has_none_comes_last(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        parse("--help")
    output = capsys.readouterr().out
    order = ["length options", "--steps", "of which all count", "in and out options", "--output",
             "more options", "--kind", "model options", "--model.inner.depth"]  # fmt: skip
    places = [output.index(text) for text in order]
    assert places == sorted(places)


def test_a_class_gives_options_without_defaults_too():
    @dataclasses.dataclass(frozen=True)
    class Required:
        output: str
        """Where to write."""

    parsed = tyro.cli(group_options(Required, {}), args=["--output", "x"])
    assert ungroup(parsed) == Required("x")


def test_docs_of_fields_are_one_line_each_without_commas_in_numbers():
    assert field_docs(Loop) == {"steps": "Steps in the whole run, of which all count."}
    assert field_docs(Config)["kind"] == "Kind of 1000 things."
    assert as_help("A line\n    of text.\n\n    Another.") == "A line of text.\n\nAnother."
