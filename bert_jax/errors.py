"""User-facing errors (what is wrong, what was expected, how to fix it) and their exit codes."""

import copyreg
import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import ClassVar


class UserError(ValueError):
    """An error that the user can fix; scripts print it as three lines, without a traceback.

    Args:
        wrong: what is wrong, with the value and, where there is one, `file:line`.
        expected: what was expected.
        fix: the next step.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, wrong: str, expected: str, fix: str):
        self.lines = wrong, expected, fix
        super().__init__(f"{wrong}\n  expected: {expected}\n  fix:      {fix}")

    def __reduce__(self):
        # The text alone makes a copy: an error travels from a worker process to its parent.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigError(UserError):
    """A configuration, option or vocabulary that is invalid, or that does not match the run."""


class DataError(UserError):
    """Input data that cannot be used."""

    exit_code = 3


class CheckpointError(UserError):
    """No usable checkpoint where one is needed."""

    exit_code = 4


class DivergedError(UserError):
    """Training produced NaN or Inf too often to continue."""

    exit_code = 5


EXIT_WATCHDOG = 6  # no progress for too long; every thread's stack was printed
EXIT_PREEMPTED = 75  # saved after SIGTERM or SIGINT; re-run the same command to resume
EXIT_UNREAD = 141  # stdout was closed by its reader; the code of a program ended by SIGPIPE
EXIT_INTERRUPTED = 130  # Ctrl-C outside of training; the code of a program ended by SIGINT

# What was expected, and the next step, where the operating system refuses a file.
_OS_ERRORS = {
    errno.ENOSPC: ("free space on the disk", "free some space, or choose another folder"),
    errno.EDQUOT: ("space within the quota", "remove files, or choose another folder"),
    errno.EROFS: ("a disk that can be written", "choose another folder"),
    errno.EACCES: ("permission to use it", "change its permissions, or choose another path"),
    errno.EPERM: ("permission to use it", "change its permissions, or choose another path"),
    errno.ENOENT: ("a path that exists", "check the path"),
    errno.EEXIST: ("a path that is free, or a folder", "choose another path"),
    errno.ENOTDIR: ("a folder; part of the path is a file", "choose another path"),
    errno.EISDIR: ("a file, but it is a folder", "choose another path"),
    errno.ENAMETOOLONG: ("a name of at most 255 bytes", "choose a shorter name"),
    errno.EIO: ("a disk that works", "restore the file from a copy; check the disk"),
    errno.EMFILE: ("few open files", "raise the limit: ulimit -n 4096"),
}
_USAGE = {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


def one_line(error: Exception) -> str:
    """Return an error's text on one line, truncated to 300 characters."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:  # without Python's "[Errno 2]"
        text = ": ".join(str(x) for x in (error.filename, error.strerror) if x is not None)
    return " ".join(text.split())[:300]


def os_error_reason(error: OSError) -> str:
    """Return the operating system's words, such as "No space left on device"."""
    return error.strerror or one_line(error)


def os_error_as_user_error(error: OSError) -> UserError:
    """Return an error of the operating system as one for users: exit code 2 for usage, else 3."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    expected, fix = _OS_ERRORS.get(
        error.errno or 0, ("a file that can be read or written", "check the path and the disk")
    )
    kind = ConfigError if error.errno in _USAGE else DataError
    return kind(f"{' → '.join(names) or 'a file'}: {os_error_reason(error)}", expected, fix)


def warn(message: str) -> None:
    """Print a warning to stderr, where it does not mix with predictions."""
    print(f"warning: {message}", file=sys.stderr)


def report_user_errors(command_line: Callable[[], int]) -> Callable[[], int]:
    """Decorate a script's entry point: print a user's error to stderr and return its exit code.

    A user's error is a `UserError`, an error of the operating system, or Ctrl-C.
    """

    @functools.wraps(command_line)
    def run() -> int:
        try:
            return command_line()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        except BrokenPipeError:  # `SCRIPT … | head`
            # Python flushes stdout at exit; the rest goes to /dev/null.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            print("stopped: the output was closed by its reader", file=sys.stderr)
            return EXIT_UNREAD
        except KeyboardInterrupt:
            print("stopped by Ctrl-C", file=sys.stderr)
            return EXIT_INTERRUPTED
        except OSError as error:
            if error.errno is None:  # a library's own, not the operating system's
                raise
            user_error = os_error_as_user_error(error)
            print(f"error: {user_error}", file=sys.stderr)
            return user_error.exit_code

    return run
