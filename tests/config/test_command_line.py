"""Named runs with some of their values changed on the command line."""

import dataclasses
import re

import pytest

from bert_jax.config.command_line import choose_run, next_step, split_docstring


@dataclasses.dataclass(frozen=True)
class Run:
    """A configuration."""

    steps: int
    name: str = ""


def long() -> Run:
    """A run of a day.

    On a text of one hundred megabytes or so with a vocabulary of 4,096
    words.
    """
    return Run(steps=1000)


RUNS = {"short": lambda: Run(steps=1), "long": long}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["long"], Run(1000, "long")),
        (["short", "--steps", "2"], Run(2, "short")),
        (["long", "--name", "mine"], Run(1000, "mine")),
    ],
)
def test_a_run_has_the_name_and_the_values_that_were_given(monkeypatch, arguments, expected):
    monkeypatch.setattr("sys.argv", ["script.py", *arguments])
    assert choose_run(RUNS, "script.py", "Runs.") == expected


def test_help_shows_what_each_run_is(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["script.py", "--help"])
    with pytest.raises(SystemExit):
        choose_run(RUNS, "script.py", "Runs things.")
    output = capsys.readouterr().out
    for text in ("script.py", "Runs things.", "short", "A run of a day."):
        assert text in output


def test_help_breaks_lines_only_between_words(monkeypatch, capsys):
    """tyro breaks a line at a comma within a number too, and keeps indented lines apart."""
    monkeypatch.setattr("sys.argv", ["script.py", "--help"])
    for columns in range(50, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit):
            choose_run(RUNS, "script.py", "Runs things.")
        words = re.sub(r"[│\s]+", " ", capsys.readouterr().out)
        assert "so with a vocabulary of 4096 words." in words


def test_help_ends_with_the_examples_of_the_docstring(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["script.py", "long", "--help"])
    docstring = (
        "Run things.\n\nSlowly.\n\nExamples:\n    python script.py long\n    python script.py x\n"
    )
    with pytest.raises(SystemExit) as ended:
        choose_run(RUNS, "script.py", docstring)
    output = capsys.readouterr().out
    assert not ended.value.code
    assert output.endswith("\n\nExamples:\n  python script.py long\n  python script.py x\n")
    assert "A run of a day." in output
    assert split_docstring(docstring)[0] == "Run things.\n\nSlowly."
    assert split_docstring("Run things.") == ("Run things.", [])


def test_the_next_step_is_quoted_for_a_shell():
    line = next_step("predict.py", "my runs/it's", "--top-k", "3", purpose="to see more")
    assert line == """next, to see more: python predict.py 'my runs/it'"'"'s' --top-k 3"""
    assert next_step("translate.py", "x") == "next: python translate.py x"
