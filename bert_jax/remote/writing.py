"""Publish what was written locally, with the files that make it count last."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bert_jax.errors import ConfigError
from bert_jax.progress import Progress
from bert_jax.remote.addresses import WRITTEN, address, as_path, find_address
from bert_jax.remote.reading import LOCK, STEP_FILE
from bert_jax.remote.stores import (
    Files,
    join,
    list_local,
    list_stored,
    open_store,
    report_bytes,
    set_time,
)

BATCH_BYTES = 1 << 26  # of files that are stored from memory, at the same time
_STEP = re.compile(r"((?:.*/)?checkpoints/[0-9]+)(?:/.*|\.manifest\.json)")
# Files without which those beside them do not count; they are stored last, and the marks removed
# before others change.
_LAST = re.compile(r"(?:.*/)?(?:[^/]*\.manifest|report|bert_jax|config)\.json")
_MARKS = re.compile(r"(?:.*/)?(?:report|bert_jax)\.json")
_UNFINISHED = re.compile(rf"{LOCK}|.*\.(?:partial|tmp|old|writing|deleting|saving.*)")


def claim(folder: Path) -> None:
    """Store who writes to a folder; of several machines, only the one that came last publishes."""
    if find_address(folder) is not None:
        with open_store(folder) as (store, root):
            store.pipe_file(join(root, LOCK), (folder / LOCK).read_bytes())


def publish(path: Path) -> None:
    """Store what has changed in a file or folder, manifests last.

    Steps that a run has removed from its checkpoints are removed from the store, while the run has
    claimed it; nothing else is.

    Raises:
        ConfigError: another machine has claimed the folder, or it was removed from the store.
        DataError: the store cannot be written.
    """
    if find_address(path) is None:
        return
    with open_store(path) as (store, root):
        claimed = _require_claim(path, store, root)
        stored = list_stored(store, root)
        here = {name: x for name, x in list_local(path).items() if _is_finished(name)}
        changed = [name for name, about in here.items() if stored.get(name) != about]
        if marks := [name for name in changed if name in stored and _MARKS.fullmatch(name)]:
            store.rm([join(root, name) for name in marks])
        _put(path, store, root, [name for name in changed if not _LAST.fullmatch(name)], here)
        _put(path, store, root, [name for name in changed if _LAST.fullmatch(name)], here)
        steps = {name: match[1] for name in stored if (match := _STEP.fullmatch(name))}
        gone = [name for name, step in steps.items() if f"{step}.manifest.json" not in here]
        gone = gone if claimed else []  # without a claim they may be another machine's
        for first in (True, False):  # the manifests, then their files
            if names := [name for name in gone if bool(_LAST.fullmatch(name)) == first]:
                store.rm([join(root, name) for name in names])
        stored = list_stored(store, root)
        for name in changed:
            if name in stored and (path / name).stat().st_size == stored[name][0]:
                set_time(path / name, stored[name])


def _put(path: Path, store: Any, root: str, names: list[str], here: Files) -> None:
    """Store files; small ones from memory, as a log may grow meanwhile."""
    large = [name for name in names if here[name][0] >= BATCH_BYTES or STEP_FILE.fullmatch(name)]
    if large:
        paths, stored = [str(path / name) for name in large], [join(root, name) for name in large]
        size = sum(here[name][0] for name in large)
        with Progress(f"storing {address(path)}", size / 1e6, "MB", summary=False) as progress:
            store.put(paths, stored, callback=report_bytes(progress))
    batch: dict[str, bytes] = {}
    for name in [name for name in names if name not in {*large}]:
        batch[join(root, name)] = (path / name).read_bytes()
        if sum(map(len, batch.values())) >= BATCH_BYTES:
            store.pipe(batch)
            batch = {}
    if batch:
        store.pipe(batch)


def _require_claim(path: Path, store: Any, root: str) -> bool:
    """Return whether this process has claimed a folder.

    Raises:
        ConfigError: it has, and another one has since.
    """
    own = (path / LOCK).read_bytes() if (path / LOCK).is_file() else b""
    if not own:
        return False
    try:
        stored = store.cat_file(join(root, LOCK))
    except FileNotFoundError:
        stored = b"nobody: it was removed"
    if stored != own:
        raise ConfigError(
            f"{address(path)} is used by {stored.decode(errors='replace').strip()}",
            "one process per folder; the one that began last goes on",
            "stop the other one and re-run this command, or choose another folder or name",
        )
    return True


@contextlib.contextmanager
def local_output(name: str, replaced: str = "") -> Iterator[Path]:
    """Yield a path to write to; what is written for an address is published at the end, once.

    Args:
        name: path or address.
        replaced: a folder with this file is replaced as a whole at an address, and any other one
            refused. Empty: files are added to what is there.

    Raises:
        ConfigError: as `as_path`, or other files would be replaced.
        DataError: the store cannot be written.
    """
    path = as_path(name, WRITTEN)
    if find_address(path) is None:
        yield path
        return
    with open_store(path) as (store, root):
        earlier = list_stored(store, root) if replaced else {}
    if earlier and replaced not in earlier:
        raise ConfigError(
            f"{name} exists and would be replaced",
            "a new folder, or an older output of this script",
            "choose another output",
        )
    _remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield path
        publish(path)
        if gone := earlier.keys() - list_local(path).keys():
            with open_store(path) as (store, root):
                store.rm([join(root, name) for name in gone])
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_finished(name: str) -> bool:
    return not any(_UNFINISHED.fullmatch(part) for part in name.split("/"))
