"""Files as the whole project treats them: bounded reads, atomic writes, locked folders."""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from bert_jax.errors import ConfigError, UserError, one_line, os_error_reason

MAX_JSON_BYTES = 1 << 24
MAX_TEXT_BYTES = 1 << 28  # a vocabulary, a tokenizer.json
GIT_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def open_regular(path: str | Path, error: type[UserError] = ConfigError) -> BinaryIO:
    """Open a file to read; a pipe, a device or a folder is refused, and never waited for.

    Raises:
        UserError: `error`, if the file cannot be opened, is not a regular file, or is the pointer
            that Git LFS leaves in a file's place.
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
    file = os.fdopen(handle, "rb")
    with contextlib.suppress(OSError):  # reading the file raises it again
        if file.peek(len(GIT_LFS_POINTER)).startswith(GIT_LFS_POINTER):
            file.close()
            raise error(
                f"{path} is a Git LFS pointer: the file itself was not downloaded",
                "the file that the pointer stands for",
                f"run git lfs pull in {Path(path).parent}, or download the file by itself",
            )
    return file


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
    write_bytes(path, text.encode("utf-8", "replace"))


def write_bytes(path: Path, content: bytes | bytearray) -> None:
    """Write a file atomically: a reader sees the old content or the new; folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if error.filename is None:  # the file was opened, but the disk is full
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def open_to_append(path: Path) -> TextIO:
    """Open a UTF-8 file to append to; a pipe or a device is refused, and never waited for.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(handle, "a", encoding="utf-8")


def copy_files(source: Path, target: Path) -> None:
    """Copy the files of a folder, each atomically: a reader sees the old file or the new."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file():
            partial = target / f"{path.name}.partial"
            try:
                shutil.copyfile(path, partial)
                os.replace(partial, target / path.name)
            except OSError:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise


def replace_folder(new: Path, folder: Path) -> None:
    """Give a complete new folder the name of an older one, if there is one, which is removed.

    The older one is in its place until the new one is. Where the file system cannot exchange two
    names in one step, there is a moment between two steps; `current_folder` bridges it.
    """
    old = folder.with_name(f"{folder.name}.old")
    if folder.exists() and _exchange(new, folder):
        shutil.rmtree(new, ignore_errors=True)
    elif folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(folder, old)
        try:
            os.rename(new, folder)
        except OSError:
            os.rename(old, folder)
            raise
    else:
        os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def current_folder(folder: Path) -> Path:
    """Return the folder, or the older one that a replacement cut short has left beside it."""
    old = folder.with_name(f"{folder.name}.old")
    return old if old.is_dir() and not folder.exists() else folder


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; return False where system or file system cannot do it."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0


@contextlib.contextmanager
def lock_folder(folder: Path, used_by: str) -> Iterator[None]:
    """Lock a folder for this process, creating it; the kernel unlocks it when the process ends.

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
        try:
            os.write(file.fileno(), f"{json.dumps(about)}\n".encode())
        except OSError as error:  # a full disk
            raise OSError(error.errno, error.strerror, file.name) from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)
