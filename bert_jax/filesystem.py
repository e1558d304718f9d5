"""Files as the whole project treats them: bounded reads, atomic writes, locked folders."""

import contextlib
import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bert_jax.errors import ConfigError, UserError, one_line, os_error_reason

MAX_JSON_BYTES = 1 << 24
MAX_TEXT_BYTES = 1 << 28  # a vocabulary, a tokenizer.json


def open_regular(path: str | Path, error: type[UserError] = ConfigError) -> BinaryIO:
    """Open a file to read; a pipe, a device or a folder is refused, and never waited for.

    Raises:
        UserError: `error`, if the file cannot be opened or is not a regular file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as reason:
        raise error(
            f"{path} cannot be read: {os_error_reason(reason)}", "a readable file", "check the path"
        ) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise error(
            f"{path} cannot be read: it is no regular file",
            "a file, or a link to one",
            "check where it points",
        )
    return os.fdopen(handle, "rb")


def read_text(
    path: str | Path, max_bytes: int = MAX_TEXT_BYTES, error: type[UserError] = ConfigError
) -> str:
    """Return the text of a UTF-8 file of at most `max_bytes`; a byte order mark is dropped.

    Raises:
        UserError: `error`, if it cannot be read, is too large, or is not UTF-8.
    """
    with open_regular(path, error) as file:
        try:
            content = file.read(max_bytes + 1)
        except OSError as reason:
            raise error(
                f"{path} cannot be read: {os_error_reason(reason)}",
                "a readable file",
                "restore the file from a copy",
            ) from None
    if len(content) > max_bytes:
        raise error(
            f"{path} cannot be read: it has more than {max_bytes:,} bytes",
            "a file of a usual size",
            "check that it is the file that you mean",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise error(
            f"{path} cannot be read: it is not UTF-8: {one_line(reason)}",
            "UTF-8 text",
            "convert or restore the file",
        ) from None


def read_json_object(path: str | Path, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        ConfigError: it cannot be read, is too large, or does not hold a JSON object.
    """
    text = read_text(path, max_bytes)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise ConfigError(
            f"{path} cannot be read: it is not JSON: {one_line(reason)}",
            "a JSON object",
            "restore the file, or download it again",
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} cannot be read: it holds a JSON {type(values).__name__}",
            "a JSON object",
            "restore the file, or download it again",
        )
    return values


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically: a reader sees the old text or the new; folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8", errors="replace")
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def lock_folder(folder: Path, used_by: str) -> Iterator[None]:
    """Lock a folder for this process, creating it; the kernel unlocks it when the process dies.

    Args:
        folder: the folder; the lock is its file LOCK.
        used_by: what locks it, for the error of a second process: "another run".

    Raises:
        ConfigError: another process has locked it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # `lockf` locks belong to the process: a forked data worker does not inherit them.
    with (folder / "LOCK").open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise ConfigError(
                f"{folder} is in use by {used_by}: {file.read().strip() or 'just starting'}",
                "one process per folder",
                "wait for it or stop it, or choose another folder or name",
            ) from None
        about = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.ctime()}
        file.truncate(0)
        file.write(json.dumps(about) + "\n")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)
