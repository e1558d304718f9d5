"""Check shape annotations while the tests run: jaxtyping's import hook, with beartype.

Processes that a test starts go unchecked.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import beartype
from jaxtyping import AbstractArray, install_import_hook

LIBRARY = Path(__file__).parent.parent / "bert_jax"


def check_shapes() -> None:
    """Check the modules that annotate shapes; call it before the first of them is imported.

    The other modules stay as they are: Beam pickles closures of corpus/beam.py, and jaxtyping's
    wrappers cannot be pickled.
    """
    paths = [path for path in LIBRARY.rglob("*.py") if "jaxtyping" in path.read_text("utf-8")]
    names = [path.relative_to(LIBRARY.parent).with_suffix("").parts for path in paths]
    install_import_hook([".".join(name) for name in names], "tests.shapes.check_arrays")


def check_arrays(function: Callable) -> Callable:
    """Check the arguments and results of a function that are arrays, or hold arrays.

    Everything else is left to the type checker, because tests pass wrong values on purpose, and
    beartype refuses protocols, and an int for a float.
    """
    hints = {name: hint for name, hint in function.__annotations__.items() if has_array(hint)}
    if not hints:
        return function
    function.__annotations__ = hints  # of jaxtyping's copy, not of the function that is called
    return beartype.beartype(function)


def has_array(hint: Any) -> bool:
    """Return true for an annotation that contains one of jaxtyping's."""
    if isinstance(hint, list | tuple):  # arguments of a Callable
        return any(has_array(part) for part in hint)
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(has_array(part) for part in get_args(hint))
