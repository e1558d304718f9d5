"""Command line of the scripts that run one of several named configurations."""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import tyro


def choose_run(runs: Mapping[str, Callable[[], Any]], script: str, description: str | None) -> Any:
    """Parse `NAME [--option value ...]`: return the named run with the given options applied.

    Args:
        runs: functions that build a configuration with a field `name`; the help shows their
            docstrings.
        script: program name in the help.
        description: description of the program in the help.
    """
    docs = {name: (_as_help(run.__doc__ or ""), run()) for name, run in runs.items()}
    chosen = next((argument for argument in sys.argv[1:] if argument in runs), "")
    config = tyro.extras.overridable_config_cli(docs, prog=script, description=description)
    return replace(config, name=config.name or chosen)


def is_given(option: str) -> bool:
    """Return whether the command line gives an option, as in `--steps 10` or `--steps=10`."""
    return any(argument.partition("=")[0] == option for argument in sys.argv[1:])


def _as_help(docstring: str) -> str:
    """Return a docstring for tyro, which wraps at commas too: numbers lose theirs (4096)."""
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", inspect.cleandoc(docstring))
