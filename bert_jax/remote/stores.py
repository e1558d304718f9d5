"""Files in a store and in its copy, compared as rsync does: by size and modification time."""

import contextlib
import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bert_jax.errors import DataError, UserError, one_line
from bert_jax.progress import Progress
from bert_jax.remote.addresses import address, find_address

Files = dict[str, tuple[int, int]]
"""Size in bytes and modification time in ns of files, by relative name; "" is a single file."""


@contextlib.contextmanager
def open_store(path: Path) -> Iterator[tuple[Any, str]]:
    """Open a copy's store; yield it, and the copy's name there."""
    import fsspec

    try:
        yield fsspec.core.url_to_fs(find_address(path))
    except UserError:
        raise
    except Exception as error:  # every store has its own
        if isinstance(error, OSError) and error.filename is not None:  # a file of this machine
            raise
        raise DataError(
            f"{address(path)}: {one_line(error) or type(error).__name__}",
            "a store that can be read and written",
            "check the address, the network and your credentials",
        ) from error


def report_bytes(progress: Progress) -> Any:
    """Return the callback with which a store reports the megabytes that it transfers."""
    import fsspec.callbacks

    class Bytes(fsspec.callbacks.Callback):
        def relative_update(self, inc: int = 1) -> None:
            progress.advance(inc / 1e6)

    class Transfer(fsspec.callbacks.Callback):
        def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Bytes:
            return Bytes()

    return Transfer()


def list_stored(store: Any, root: str) -> Files:
    """Return the files under a name, which may be a file's own: "" is the relative name then."""
    store.invalidate_cache()
    try:
        found = store.find(root, detail=True)
    except FileNotFoundError:  # not even the bucket
        return {}
    return {
        name[len(root) :].lstrip("/"): (about["size"], stored_time(about))
        for name, about in found.items()
        if about["type"] == "file" and (name == root or name.startswith(f"{root}/"))
    }


def stored_time(about: dict[str, Any]) -> int:
    """Return a stored file's time of change in ns, whole microseconds; 0 if the store has none."""
    names = ("mtime", "LastModified", "last_modified", "modified", "created")
    time = next((about[name] for name in names if about.get(name) is not None), 0)
    seconds = time.timestamp() if isinstance(time, datetime.datetime) else float(time)
    return round(seconds * 1e6) * 1000


def list_local(path: Path) -> Files:
    """Return the files of a folder, or a file itself as ""."""
    walk = os.walk(path)
    paths = [path] if path.is_file() else [Path(at, n) for at, _, names in walk for n in names]
    files: Files = {}
    for each in paths:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile, or a link to nothing
            about = each.stat()
            name = "" if each == path else each.relative_to(path).as_posix()
            files[name] = about.st_size, about.st_mtime_ns
    return files


def join(root: str, name: str) -> str:
    """Return the full name of a file of a relative name."""
    return f"{root}/{name}" if name else root


def set_time(path: Path, about: tuple[int, int]) -> None:
    """Give a copy the time of what is stored."""
    os.utime(path, ns=(about[1], about[1]))
