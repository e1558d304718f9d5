"""The notebook "From LSTM to BERT in one sitting", in both languages; the site executes it."""

import ast
import importlib
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
PAGES = ["road_to_bert.md", "road_to_bert_ko.md"]
CELL = re.compile(r"^```\{code-cell\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(page: str) -> str:
    return (FOLDER / page).read_text(encoding="utf-8")


def test_both_languages_have_the_same_code():
    english, korean = (CELL.findall(read(page)) for page in PAGES)
    assert len(english) > 20
    assert korean == english  # so the site executes it once, and both pages show the outputs


def test_both_languages_have_the_same_steps():
    headings = [re.findall(r"^(#+) ", CELL.sub("", read(page)), re.MULTILINE) for page in PAGES]
    assert headings[0] == headings[1]


def imports() -> list[tuple[str, str]]:
    nodes = ast.walk(ast.parse("\n".join(CELL.findall(read(PAGES[0])))))
    return [
        (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if node.module.split(".")[0] in ("bert_jax", "configs")
    ]


@pytest.mark.parametrize(("module", "name"), imports())
def test_what_it_imports_exists(module, name):
    assert hasattr(importlib.import_module(module), name)
