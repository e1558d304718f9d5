"""Command lines of the scripts: options by topic, help with examples, and the next command.

A script's docstring is its help: what it does in the first line, then details, and at the end

    Examples:
        python SCRIPT.py …

which the help shows last, where a terminal still shows them.
"""

import contextlib
import io
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, Union

import tyro

from bert_jax.config.completion import complete_after_python
from bert_jax.config.option_groups import Topics, as_help, group_options, ungroup

C = TypeVar("C")
EXAMPLES = re.compile(r"\n\s*Examples:\n((?:\s{4,}\S.*\n?)+)")
HELP = {"-h", "--help"}
COMPLETION = "--tyro-print-completion"
BOX = tuple("│╭╰|+")
_NO_TOPICS: Topics = MappingProxyType({})


def read_options(
    kind: type[C], script: str, docstring: str | None, topics: Topics = _NO_TOPICS
) -> C:
    """Parse `[--option value ...]` into a configuration.

    Args:
        kind: dataclass of the configuration.
        script: name of the script.
        docstring: the script's.
        topics: its fields in groups, for the help.

    Raises:
        ConfigError: a value is invalid.
    """
    return ungroup(_parse(group_options(kind, topics), script, docstring))


def choose_run(
    runs: Mapping[str, Callable[[], Any]],
    script: str,
    docstring: str | None,
    topics: Topics = _NO_TOPICS,
) -> Any:
    """Parse `NAME [--option value ...]`: return the named run with the given options applied.

    Args:
        runs: functions that build a configuration with a field `name`; the help shows their
            docstrings.
        script: name of the script.
        docstring: the script's.
        topics: the configuration's fields in groups, for the help.

    Raises:
        ConfigError: a value is invalid.
    """
    named = [
        Annotated[
            group_options(run(), topics),  # type: ignore[valid-type]
            tyro.conf.subcommand(name, description=as_help(run.__doc__ or "")),
        ]
        for name, run in runs.items()
    ]
    kind = Union[(*named, Annotated[None, tyro.conf.Suppress])]  # type: ignore[valid-type]
    config = ungroup(_parse(kind, script, docstring))
    chosen = next((argument for argument in sys.argv[1:] if argument in runs), "")
    return replace(config, name=config.name or chosen)


def is_given(option: str) -> bool:
    """Return whether the command line gives an option, as in `--steps 10` or `--steps=10`."""
    return any(argument.partition("=")[0] == option for argument in sys.argv[1:])


def next_step(*arguments: str | Path, purpose: str = "") -> str:
    """Return the line that ends a script: the command that is next, quoted for a shell.

    Args:
        arguments: of Python: a script, and its own.
        purpose: what it does, or needs.
    """
    about = f", {purpose}" if purpose else ""
    return f"next{about}: {shlex.join(['python', *map(str, arguments)])}"


def next_finetuning(encoder: str) -> str:
    """Return the line of a script that ends with an encoder to fine-tune."""
    labelled = ("--train", "train.tsv", "--dev", "dev.tsv")
    purpose = "with your own train.tsv and dev.tsv"
    return next_step("finetune.py", "texts", "--encoder", encoder, *labelled, purpose=purpose)


def split_docstring(docstring: str) -> tuple[str, list[str]]:
    """Split the docstring of a script into what it does and the commands of its examples."""
    docstring = f"{docstring.rstrip()}\n"
    match = EXAMPLES.search(docstring)
    if match is None:
        return docstring.strip(), []
    commands = [line.strip() for line in match[1].splitlines() if line.strip()]
    return (docstring[: match.start()] + docstring[match.end() :]).strip(), commands


def _parse(kind: Any, script: str, docstring: str | None) -> Any:
    """Parse the command line; print the help, or the shell completion, if it asks for that."""
    about, examples = split_docstring(docstring or "")
    markers = (tyro.conf.AvoidSubcommands, tyro.conf.PositionalMetavarFromFieldName)

    def parse() -> Any:
        return tyro.cli(kind, prog=script, description=as_help(about), config=markers)

    arguments = sys.argv[1:]
    completes = arguments[:1] == [COMPLETION]
    if not (completes or HELP & {*arguments}):
        return parse()
    try:
        with _captured() as output:
            return parse()
    except SystemExit as ended:
        if ended.code:
            raise
    text = output.getvalue().rstrip()
    if completes:
        text = complete_after_python(text, script, *arguments[1:2])
    else:
        lines = [*map(_fold, text.split("\n"))]
        lines += ["", "Examples:", *(f"  {command}" for command in examples)] if examples else []
        text = "\n".join(lines)
    print(text, flush=True)  # here, where a closed output is an error for users
    sys.exit()


def _fold(line: str) -> str:
    """Return a line of the help in lines as wide as the terminal; boxes are."""
    width = shutil.get_terminal_size().columns
    if len(line) <= width or line.startswith(BOX):
        return line
    if "usage:" in line:  # {demo,tiny,…}: the names follow, each with its description
        line = re.sub(r"\{\w+(,\w+)+\}", "NAME", line)
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


class _Captured(io.StringIO):
    """Text for stdout, written as it would be written there: in color on a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def __init__(self, stream: Any):
        super().__init__()
        self._stream = stream

    def isatty(self) -> bool:
        """Return what stdout returns."""
        return self._stream.isatty()


@contextlib.contextmanager
def _captured() -> Iterator[io.StringIO]:
    """Yield what the body writes to stdout."""
    captured = _Captured(sys.stdout)
    with contextlib.redirect_stdout(captured):
        yield captured
