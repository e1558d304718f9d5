"""ArrayRecord files: the operating system's errors, out of the library's."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Raise an `OSError` where ArrayRecord raises a `RuntimeError` for one, with its text."""
    try:
        yield
    except RuntimeError as error:
        for number in errno.errorcode:
            if f"failed: {os.strerror(number)};" in str(error):
                raise OSError(number, os.strerror(number), str(path)) from None
        raise
