"""Optional packages that only some tests need."""

from typing import Any

import pytest


def need(module: str, extra: str = "test") -> Any:
    """Return the module, or skip the test with a hint on how to install it."""
    package = module.split(".")[0]
    reason = f"{package} is not installed: pip install -e '.[{extra}]'"
    return pytest.importorskip(module, reason=reason)
