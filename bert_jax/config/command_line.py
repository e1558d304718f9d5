"""The command line of scripts that run one of several named configurations."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import tyro


def choose_run(runs: Mapping[str, Callable[[], Any]], script: str, description: str | None) -> Any:
    """Reads `NAME [--option value ...]`: the run of that name with some of its values changed.

    Args:
        runs: functions that make a configuration with a field `name`; their docstrings are shown.
        script: the program's name in the help.
        description: what the help says of the program.
    """
    docs = {name: (run.__doc__ or "", run()) for name, run in runs.items()}
    chosen = next((argument for argument in sys.argv[1:] if argument in runs), "")
    config = tyro.extras.overridable_config_cli(docs, prog=script, description=description)
    return replace(config, name=config.name or chosen)
