"""Addresses in object stores, and the local paths of their copies.

`gs://bucket/folder` has its copy in the cache: in `read/gs/bucket/folder`, or, where it is written
here, in `written/gs/bucket/folder`. So all code but `remote.py` has local paths.

The cache is the folder in the variable BERT_JAX_CACHE, or ~/.cache/bert_jax; while nothing runs, it
can be removed.
"""

import os
import re
from pathlib import Path

from bert_jax.errors import ConfigError, one_line

READ, WRITTEN = "read", "written"  # copies of what is stored, and what is on its way there
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]+):/")  # C:/ is a drive


def local_path(name: str | Path) -> Path:
    """Return a path of this machine.

    Raises:
        ConfigError: it is an address, such as gs://bucket/folder.
    """
    if is_address(name):
        raise ConfigError(
            f"{name} is an address in an object store",
            "a path of this machine",
            "choose a local path, and copy the files",
        )
    return Path(name)


def is_address(name: str | Path) -> bool:
    """Return whether a name is an address, right or wrong."""
    return _ADDRESS.match(str(name)) is not None


def as_path(name: str | Path, kind: str = READ) -> Path:
    """Return a path; for an address, the path of its copy, which `fetch` makes.

    Args:
        name: a path, or an address such as gs://bucket/folder.
        kind: READ, or WRITTEN for what is published later.

    Raises:
        ConfigError: no package speaks the address's scheme, or it is not installed.
    """
    match = _ADDRESS.match(str(name))
    if not match:
        return Path(name)
    scheme, rest = match[1], str(name)[match.end() :]
    _require_known(str(name), scheme)
    parts = [part for part in rest.split("/") if part]
    if not rest.startswith("/") or not parts or {".", ".."} & {*parts}:
        raise ConfigError(
            f"{name} is no address in an object store",
            f"{scheme}://BUCKET/FOLDER",
            "check it; in Python, pass it as a string (pathlib makes one slash of two)",
        )
    return cache_folder() / kind / scheme / Path(*parts)


def address(path: Path) -> str:
    """Return the address that a path is the copy of; any other path as it is."""
    return find_address(path) or str(path)


def find_address(path: Path) -> str | None:
    """Return the address that a path is the copy of; None if it is no copy."""
    path = path.absolute()
    for folder in (cache_folder() / READ, cache_folder() / WRITTEN):
        if path.is_relative_to(folder) and len(path.relative_to(folder).parts) > 1:
            scheme, *parts = path.relative_to(folder).parts
            return f"{scheme}://{'/'.join(parts)}"
    return None


def cache_folder() -> Path:
    """Return the folder of all copies."""
    folder = os.environ.get("BERT_JAX_CACHE") or Path("~/.cache/bert_jax").expanduser()
    return Path(folder).absolute()


def _require_known(name: str, scheme: str) -> None:
    import fsspec  # imported where it is needed: it takes a while

    if scheme not in {*fsspec.available_protocols()} - {"file", "local"}:
        raise ConfigError(
            f"{name} has an unknown scheme, {scheme}://",
            "a local path, or an address such as gs://BUCKET/FOLDER",
            "check it",
        )
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise ConfigError(
            f"{name}: {one_line(error)}",
            f"a package that speaks {scheme}://",
            'pip install "bert_jax[gcs]"' if scheme in ("gs", "gcs") else "install it",
        ) from None
