"""Import levels: each subpackage of the library imports only those below it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASE = {"config", "errors", "filesystem", "progress", "remote"}
DATA = BASE | {"tokenizer", "reading", "corpus", "labelled"}
MODELS = BASE | {"nn", "models"}
TASKS = DATA | MODELS | {"drawing", "training", "tasks"}
ABOVE = TASKS | {"interop", "reports", "inference", "pretrained"}
ALLOWED = {
    "remote": BASE,
    "config": BASE,
    "drawing": {"errors", "filesystem", "drawing"},
    "tokenizer": BASE | {"tokenizer"},
    "reading": BASE | {"reading"},
    "corpus": BASE | {"tokenizer", "reading", "corpus"},
    "labelled": DATA,
    "nn": BASE | {"nn"},
    "models": MODELS,
    "training": MODELS | {"training"},
    "interop": MODELS | {"tokenizer", "interop"},
    "tasks": TASKS,
    "reports": TASKS | {"interop", "reports"},
    "inspection": ABOVE | {"inspection"},
    "lineage": ABOVE | {"inspection", "lineage"},
    "explorer": ABOVE | {"inspection", "lineage", "explorer"},
}
WITHOUT_JAX = ("remote", "config", "drawing", "tokenizer", "reading", "corpus", "labelled")
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}
LINEAGE_SCRIPTS = {"copytask.py", "train_translator.py", "translate.py"}


def imported(path: Path) -> set[str]:
    """Return the names of all modules that a file imports, at any level of the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms(path: Path) -> set[str]:
    """Return the subpackages and top modules of the library that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("bert_jax.")}


def test_every_room_has_a_level():
    folders = {path.parent.name for path in (ROOT / "bert_jax").glob("*/__init__.py")}
    assert folders == set(ALLOWED)


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_room_imports_only_what_stands_below_it(folder):
    for path in (ROOT / "bert_jax" / folder).rglob("*.py"):
        assert rooms(path) <= ALLOWED[folder], f"{path.name}: {rooms(path) - ALLOWED[folder]}"


@pytest.mark.parametrize("folder", WITHOUT_JAX)
def test_data_and_configurations_never_import_jax(folder):
    for path in (ROOT / "bert_jax" / folder).rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & JAX, path.name


def test_only_its_scripts_import_the_lineage():
    above = {"lineage", "explorer"}
    library = [p for p in (ROOT / "bert_jax").rglob("*.py") if not above & {*p.parts}]
    scripts = [p for p in ROOT.glob("*.py") if p.name not in LINEAGE_SCRIPTS]
    configs = [p for p in (ROOT / "configs").glob("*.py") if p.name not in LINEAGE_SCRIPTS]
    for path in [*library, *scripts, *configs]:
        assert "lineage" not in rooms(path), path


def test_only_its_script_imports_the_explorer():
    library = [p for p in (ROOT / "bert_jax").rglob("*.py") if "explorer" not in p.parts]
    scripts = [p for p in ROOT.glob("*.py") if p.name != "explore.py"]
    for path in [*library, *scripts, *(ROOT / "configs").glob("*.py")]:
        assert "explorer" not in rooms(path), path


def test_nothing_imports_a_script_or_configs():
    scripts = {path.stem for path in ROOT.glob("*.py")} | {"configs", "benchmarks", "tests"}
    for path in (ROOT / "bert_jax").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & scripts, path.name


def names_in_code(path: Path) -> set[str]:
    """Return the strings and the imported names of a file, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    }
    return strings | {name.rpartition(".")[2] for name in imported(path)}


def test_tasks_training_and_scripts_name_no_family_of_encoders():
    from bert_jax.interop.families import FAMILIES
    from bert_jax.models.architectures import ARCHITECTURES

    configs = {family.config for family in FAMILIES.values()}
    named = {*FAMILIES, *ARCHITECTURES, *(config.__name__ for config in configs)}
    named |= {config.family for config in configs}
    rooms = ("tasks", "training", "reports", "labelled", "corpus", "inspection", "explorer")
    files = [path for room in rooms for path in (ROOT / "bert_jax" / room).rglob("*.py")]
    files += [ROOT / "bert_jax" / "inference.py", ROOT / "bert_jax" / "pretrained.py"]
    for path in [*files, *(ROOT.glob("*.py"))]:
        assert not names_in_code(path) & named - {"bert"}, path
