"""User-facing errors (what is wrong, what was expected, how to fix it) and their exit codes."""

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
        super().__init__(f"{wrong}\n  expected: {expected}\n  fix:      {fix}")


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


def one_line(error: Exception) -> str:
    """Return an error's text on one line, truncated to 300 characters."""
    return " ".join(str(error).split())[:300]


def report_user_errors(command_line: Callable[[], int]) -> Callable[[], int]:
    """Decorate a script's entry point: print a `UserError` to stderr and return its exit code."""

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

    return run
