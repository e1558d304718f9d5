"""Directories of tiny random models, one for each kind of task."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Callable[[str], str]:
    """`tiny("tagging")` is the directory of a model of that kind."""
    from bert_jax.interop.huggingface import write_directory
    from tests.tasks.tiny import make

    directories: dict[str, str] = {}

    def directory(kind: str) -> str:
        if kind not in directories:
            path = tmp_path_factory.mktemp(kind) / "model"
            write_directory(path, make(kind))
            directories[kind] = str(path)
        return directories[kind]

    return directory
