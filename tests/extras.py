"""Packages that only some tests need."""

from typing import Any

import pytest


def need(module: str, extra: str = "test") -> Any:
    """The module; skips where it is not installed, and says what brings it."""
    package = module.split(".")[0]
    reason = f"{package} is not installed: pip install -e '.[{extra}]' brings it"
    return pytest.importorskip(module, reason=reason)
