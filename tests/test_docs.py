"""Every command in the documentation has options that its script knows."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SITE = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", "README.ko.md", *SITE, "CONTRIBUTING.md"]
COMMAND = re.compile(
    r"^ *(?:srun |until |[A-Z_]+=\S+ )*python (\w+)\.py (.*?)(?:; do)?$", re.MULTILINE
)


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for script, arguments in COMMAND.findall((ROOT / page).read_text(encoding="utf-8")):
            found.append((script, re.sub(r"\s#.*|\s{3,}#?.*", "", arguments).strip()))
    return sorted(set(found))


class Parsed(Exception):
    """The command line was parsed, and `main` called."""


@pytest.mark.parametrize(("script", "arguments"), commands())
def test_a_command_is_parsed(script, arguments, monkeypatch):
    module = importlib.import_module(script)

    def main(config):
        raise Parsed

    monkeypatch.setattr(module, "main", main)
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *shlex.split(arguments)])
    with pytest.raises(Parsed):
        module.command_line()


def test_there_are_commands_in_every_page_that_shows_some():
    scripts = {script for script, _ in commands()}
    assert len(commands()) >= 35
    assert scripts >= {"prepare", "pretrain", "finetune", "predict", "convert", "translate"}
