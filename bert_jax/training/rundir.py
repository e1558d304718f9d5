"""Lock of a run's directory, and a record of its command and environment."""

import contextlib
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from bert_jax.errors import ConfigError
from bert_jax.filesystem import lock_folder
from bert_jax.remote.addresses import READ, WRITTEN, as_path, find_address
from bert_jax.remote.reading import open_output, refresh
from bert_jax.remote.writing import claim, publish
from bert_jax.training.processes import agree

_SECRET_OPTION = re.compile(r"^(--?[\w.-]*(?:key|token|secret|password))(=.*)?$", re.IGNORECASE)
_URL_LOGIN = re.compile(r"(\w+://)[^/\s@]+@")
_PACKAGES = ("bert_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def redact(text: str) -> str:
    """Replace the logins in URLs by "***"."""
    return _URL_LOGIN.sub(r"\1***@", text)


def command_line(arguments: Sequence[str]) -> str:
    """Return a command in shell syntax, without the values of keys, tokens and passwords."""
    shown, hide = [], False
    for argument in arguments:
        option = _SECRET_OPTION.match(argument)
        if hide:
            argument = "***"
        elif option and option[2]:
            argument = f"{option[1]}=***"
        hide = bool(option and not option[2])
        shown.append(redact(argument))
    return shlex.join(shown)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect a run's results."""
    by_package = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            by_package[package] = metadata.version(package)
    return by_package


def environment() -> dict[str, Any]:
    """Return versions, devices and the code's commit; no values of environment variables."""
    return {
        "platform": platform.platform(),
        "versions": versions(),
        "commit": _commit(),
        "processes": jax.process_count(),
        "devices": [f"{d.platform} {d.device_kind}" for d in jax.devices()],
    }


def _commit() -> str | None:
    """Return this code's commit, with "-dirty" if files differ; None outside a checkout."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        git = ["git", "-C", str(Path(__file__).parent)]
        call: Any = {"capture_output": True, "text": True, "timeout": 10, "check": True}
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(__file__).name], **call)
        command = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
        return subprocess.run(command, **call).stdout.strip() or None
    return None


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Lock a run's directory in process 0; see `lock_folder`.

    Raises:
        ConfigError: another process has locked it; every process raises it.
    """
    with contextlib.ExitStack() as stack:

        def lock() -> None:
            stack.enter_context(lock_folder(folder, "another run"))

        agree(lock)
        yield


def run_folder(runs_dir: str, name: str) -> Path:
    """Return a run's directory; of one in an object store, an up-to-date copy.

    All processes of a job call it together. Process 0 has a copy to write to, which it publishes;
    the others, which may be on other machines, have one to read.

    Raises:
        ConfigError: another process of this machine writes to it.
        DataError: the store cannot be read.
    """
    folder = as_path(runs_dir, WRITTEN) / name
    if find_address(folder) is not None:
        agree(lambda: open_output(folder))
        if jax.process_index() > 0:
            folder = as_path(runs_dir, READ) / name
            refresh(folder)
    return folder


@contextlib.contextmanager
def publishing(folder: Path) -> Iterator[None]:
    """Publish a run, if it is in an object store, when the body ends, also by an error.

    Process 0 does it, and names itself as the one that writes.
    """
    agree(lambda: claim(folder))
    if jax.process_index() > 0:
        yield
        return
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # the error that is being raised says more
            publish(folder)
        raise
    publish(folder)


def require_utf8(folder: Path) -> None:
    """Check that a folder's path is text, as the libraries that write checkpoints need it.

    Raises:
        ConfigError: it has bytes that are not UTF-8, or that the locale's encoding cannot express.
    """
    path = str(folder.absolute())
    try:
        path.encode(sys.getfilesystemencoding()), path.encode("utf-8")
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "replace")
        encoding = sys.getfilesystemencoding()
        raise ConfigError(
            f"{shown} cannot be used: it is not {encoding}, this locale's encoding",
            "a path in the encoding of the locale",
            "set PYTHONUTF8=1, or choose a name of ASCII letters"
            if encoding != "utf-8"
            else "choose another name",
        ) from None


class HeldFolder:
    """An open folder, which tells whether its path still leads to it.

    While it is open, the file system gives its number to no other folder.
    """

    def __init__(self, folder: Path):
        self._folder, self._handle = folder, os.open(folder, os.O_RDONLY)

    def is_in_place(self) -> bool:
        """Return False if the folder was removed or renamed, whatever is in its place."""
        try:
            return os.path.samestat(os.stat(self._folder), os.fstat(self._handle))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def close(self) -> None:
        """Close the folder."""
        os.close(self._handle)
