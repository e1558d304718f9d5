"""Every package that is imported is declared in pyproject.toml."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RUN_TIME, EXTRAS = PROJECT["dependencies"], PROJECT["optional-dependencies"]
LIBRARY = [*ROOT.glob("*.py"), *(ROOT / "bert_jax").rglob("*.py"), *ROOT.glob("configs/*.py")]
SCRIPTS = {path.stem for folder in (ROOT, ROOT / "benchmarks") for path in folder.glob("*.py")}
OWN = {"bert_jax", "configs", "benchmarks", "tests"} | SCRIPTS
DISTRIBUTIONS = packages_distributions()
# What benchmarks use where it is installed: it is built on the machine, for its GPU.
BY_HAND = ["flash-attn"]


def normalise(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements name; this project's extras are replaced."""
    names = set()
    for requirement in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement).groups()
        if name == "bert_jax":
            names |= declared([r for extra in extras.split(",") for r in EXTRAS[extra]])
        names.add(normalise(name))
    return names


def imported(path: Path, top_level: bool) -> set[str]:
    """Return the distributions that a file imports: at its top level, or anywhere."""
    tree = ast.parse(path.read_text("utf-8"))
    modules = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.split(".")[0])
    modules -= sys.stdlib_module_names | OWN
    return {normalise(DISTRIBUTIONS.get(module, [module])[0]) for module in modules}


def undeclared(paths: list[Path], requirements: list[str], top_level: bool = False) -> dict:
    """Return the imports that no requirement covers, by file."""
    names = declared(requirements)
    missing = {path.name: imported(path, top_level) - names for path in paths}
    return {name: packages for name, packages in missing.items() if packages}


def test_importing_the_library_needs_only_run_time_dependencies():
    server = ROOT / "bert_jax/explorer/server.py"  # explore.py imports it late, for [page]
    at_once = [path for path in LIBRARY if path != server]
    assert undeclared(at_once, RUN_TIME, top_level=True) == {}


def test_what_the_library_imports_later_is_in_an_extra():
    extras = [r for name in ("beam", "track", "tf", "onnx", "eval", "page") for r in EXTRAS[name]]
    assert undeclared(LIBRARY, RUN_TIME + extras) == {}


@pytest.mark.parametrize(("folder", "extra"), [("tests", "test"), ("benchmarks", "bench")])
def test_tests_and_benchmarks_need_only_their_extra(folder, extra):
    paths = list((ROOT / folder).rglob("*.py"))
    assert undeclared(paths, RUN_TIME + EXTRAS[extra] + BY_HAND) == {}
