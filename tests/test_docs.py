"""The documentation: its commands parse, and run where it says so; the site builds."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import tyro

from tests.site_world import run_small, write_world

ROOT = Path(__file__).parent.parent
SITE = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", "README.ko.md", *SITE, "CONTRIBUTING.md"]
BLOCK = re.compile(r"^```sh ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
BEFORE = r"^ *(?:srun |until |echo .* \| |[A-Z_]+=\S+ )*"
COMMAND = re.compile(BEFORE + r"python (\w+)\.py (.*?)(?:; do)?$", re.MULTILINE)
MODULE = re.compile(BEFORE + r"python -m (benchmarks[\w.]*)(.*)$", re.MULTILINE)
WHERE = ("tests", "run on ", "run by ", "not run: ")
PAGES_THAT_RUN = [
    "exchange",
    "explore",
    "finetune",
    "ko",
    "predict",
    "pretrain",
    "questions",
    "road",
]


def read(page: str) -> str:
    """Return a page; a command that goes on behind a backslash is on one line."""
    return re.sub(r"\\\n\s*", "", (ROOT / page).read_text(encoding="utf-8"))


def found(pattern: re.Pattern) -> list[tuple[str, str]]:
    """Return the commands of all pages: script or module, and arguments without a comment."""
    commands = [match for page in PAGES for match in pattern.findall(read(page))]
    return sorted({(name, re.sub(r"\s#.*|\s{3,}#?.*", "", x).strip()) for name, x in commands})


class Parsed(Exception):
    """The command line was parsed, and `main` called."""


@pytest.mark.parametrize(("script", "arguments"), found(COMMAND))
def test_a_command_is_parsed(script, arguments, monkeypatch):
    module = import_module(script)

    def main(*config):
        raise Parsed

    monkeypatch.setattr(module, "main", main)
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *shlex.split(arguments)])
    with pytest.raises(Parsed):
        module.command_line()


@pytest.mark.parametrize(("name", "arguments"), found(MODULE))
def test_the_command_of_a_benchmark_is_parsed(name, arguments):
    is_package = (ROOT / name.replace(".", "/")).is_dir()
    module = import_module(f"{name}.__main__" if is_package else name)
    assert tyro.cli(module.Options, args=shlex.split(arguments)) is not None


def test_there_are_commands_in_every_page_that_shows_some():
    scripts = {script for script, _ in found(COMMAND)}
    assert len(found(COMMAND)) >= 90
    assert len(found(MODULE)) >= 10
    assert scripts >= {"prepare", "pretrain", "finetune", "predict", "convert", "translate"}


@pytest.mark.parametrize("page", SITE)
def test_every_block_of_commands_says_where_it_was_run(page):
    assert [where for where, _ in BLOCK.findall(read(page)) if not where.startswith(WHERE)] == []
    assert "\n    python " not in read(page), "indented commands say nothing: use ```sh"


def test_the_pages_that_run_are_those_with_such_blocks():
    pages = {Path(page).stem for page in SITE if "\n```sh tests\n" in read(page)}
    assert pages == set(PAGES_THAT_RUN)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """The files that commands name; runs/base and runs/tiny, an encoder, and runs/texts."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in (
            "python prepare.py texts/ --output data/corpus --vocab-size 400 --lengths 32 128",
            "python pretrain.py tiny --name base",
            "python finetune.py texts --encoder runs/base --train train.tsv --dev dev.tsv",
        ):
            assert run_small(line, patch) == 0
    shutil.copytree(folder / "runs/base", folder / "runs/tiny")
    return folder


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES_THAT_RUN)
def test_the_commands_of_a_page_run(page, world, tmp_path, monkeypatch):
    folder = tmp_path / "world"
    shutil.copytree(world, folder, symlinks=True)
    for made_here in {"pretrain": ("data/corpus", "runs/tiny"), "finetune": ("runs/texts",)}.get(
        page, ()
    ):
        shutil.rmtree(folder / made_here)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WANDB_MODE", "offline")
    lines = [
        line
        for where, block in BLOCK.findall(read(f"docs/{page}.md"))
        if where == "tests"
        for line in block.splitlines()
        if not line.startswith("#")
    ]
    assert lines
    for line in lines:
        assert run_small(line, monkeypatch) in (0, None), line


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_the_site_builds_and_loads_nothing_from_the_network(tmp_path):
    settings = {name: x for name, x in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(tmp_path)],
        cwd=ROOT, env=settings, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    pages = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*.html")}
    assert {"index.html", "design.html", "notebooks/classifier.html"} <= pages.keys()
    loaded = r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]+)"
    for name, path in pages.items():
        assert re.findall(loaded, path.read_text(encoding="utf-8")) == [], name
