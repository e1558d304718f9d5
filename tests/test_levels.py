"""Imports point one way: config < data | nn < models < training | interop < tasks < reports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASE = {"config", "errors"}
MODELS = BASE | {"nn", "models"}
TASKS = MODELS | {"data", "training", "tasks"}
ALLOWED = {
    "data": BASE | {"data"},
    "nn": BASE | {"nn"},
    "models": MODELS,
    "training": MODELS | {"data", "training"},
    "interop": MODELS | {"data", "interop"},
    "tasks": TASKS,
    "reports": TASKS | {"interop", "reports"},
}
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_stands_below_it(folder):
    for path in (ROOT / "bert_jax" / folder).glob("*.py"):
        inside = {n.split(".")[1] for n in imported(path) if n.startswith("bert_jax.")}
        assert inside <= ALLOWED[folder], f"{path.name} imports {inside - ALLOWED[folder]}"


def test_data_never_imports_jax():
    for path in (ROOT / "bert_jax" / "data").glob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & JAX, path.name


def test_nothing_imports_a_script_or_configs():
    scripts = {path.stem for path in ROOT.glob("*.py")} | {"configs", "benchmarks", "tests"}
    for path in (ROOT / "bert_jax").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & scripts, path.name
