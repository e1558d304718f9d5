"""Copies of what is stored: fetched once, and again where the store or the copy has changed."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from bert_jax.errors import DataError
from bert_jax.filesystem import lock_folder
from bert_jax.progress import Progress
from bert_jax.remote.addresses import (
    WRITTEN,
    address,
    as_path,
    cache_folder,
    find_address,
    is_address,
)
from bert_jax.remote.stores import (
    Files,
    join,
    list_local,
    list_stored,
    open_store,
    report_bytes,
    set_time,
)

LOCK = "LOCK"
STEP_FILE = re.compile(r"((?:.*/)?checkpoints/[^/]+)/.*")


def fetch(path: Path) -> Path:
    """Make a copy equal to what is stored, and return its path; files that are equal stay.

    A folder that is written stays as it is: it is newer than what is stored. Of a run, the steps of
    checkpoints are left out, see `fetch_step`.

    Raises:
        DataError: nothing is there, or the store cannot be read.
    """
    is_written = path.absolute().is_relative_to(cache_folder() / WRITTEN)
    if find_address(path) is None or is_written:
        return path
    if not _fetch(path):
        raise DataError(
            f"{address(path)} does not exist", "a file or a folder", "check the address"
        )
    return path


def fetch_name(name: str) -> str:
    """Return the name of a file or folder; for an address, fetch it and return its copy's.

    Raises:
        ConfigError: as `as_path`.
        DataError: as `fetch`.
    """
    return str(fetch(as_path(name))) if is_address(name) else name


def fetch_step(directory: Path) -> Path:
    """Make the copy of a step of a run's checkpoints equal to what is stored; return its path.

    Raises:
        DataError: the store cannot be read.
    """
    if find_address(directory) is not None:
        _fetch(directory)
    return directory


def fetch_again(path: Path) -> bool:
    """Fetch all of a copy that is damaged; return False for a path that is no copy."""
    if find_address(path) is None:
        return False
    shutil.rmtree(path, ignore_errors=True)
    return bool(_fetch(path))


def refresh(folder: Path) -> None:
    """Make a copy equal to what is stored, as `fetch` does, even if that is nothing.

    Raises:
        DataError: the store cannot be read.
    """
    if find_address(folder) is not None:
        _fetch(folder)


def open_output(folder: Path) -> None:
    """Make the copy of a folder to write to equal to what is stored, even if that is nothing.

    Raises:
        ConfigError: another process of this machine writes to it.
        DataError: the store cannot be read.
    """
    if find_address(folder) is not None:
        with contextlib.ExitStack() as stack:
            for used in {folder, *(path.parent for path in folder.rglob(LOCK))}:
                stack.enter_context(lock_folder(used, "another process"))
            _fetch(folder)


def _fetch(path: Path) -> Files:
    """Fetch what is stored under a path, and return it; a step without a manifest is not stored."""
    with _lock_copy(path), open_store(path) as (store, root):
        found = list_stored(store, root)
        stored = {
            name: about
            for name, about in found.items()
            if not (step := STEP_FILE.fullmatch(name)) or f"{step[1]}.manifest.json" in found
        }
        here = list_local(path)
        for name in here.keys() - stored.keys():
            if Path(name).name != LOCK:
                (path / name).unlink()
        for folder, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)  # if it is empty: it could be taken for a step
        changed = [name for name, about in stored.items() if here.get(name) != about]
        if new := [name for name in changed if not STEP_FILE.fullmatch(name)]:
            size = sum(stored[name][0] for name in new)
            print(f"fetching {address(path)}: {size:,} bytes to {path}", file=sys.stderr)
            partial = {n: (path / n).with_name(f"{(path / n).name}.partial") for n in new}
            for to in partial.values():
                to.parent.mkdir(parents=True, exist_ok=True)
            names, paths = [join(root, name) for name in new], [str(x) for x in partial.values()]
            with Progress(f"fetching {address(path)}", size / 1e6, "MB") as progress:
                store.get(names, paths, callback=report_bytes(progress))
            for name in new:
                set_time(partial[name], stored[name])
                os.replace(partial[name], path / name)
    return stored


@contextlib.contextmanager
def _lock_copy(path: Path) -> Iterator[None]:
    """Wait until no other process of this machine fetches the same."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    file = cache_folder() / "locks" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        yield
