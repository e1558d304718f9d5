"""Errors for people: what is wrong, what was expected, what to do; and the exit code with it."""

import functools
import os
import sys
from collections.abc import Callable
from typing import ClassVar


class UserError(ValueError):
    """Something that the user can mend; scripts print it as three lines, without a traceback.

    Args:
        wrong: what is wrong, with the value and, where there is one, `file:line`.
        expected: what would have been right.
        fix: the next step to take.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, wrong: str, expected: str, fix: str):
        super().__init__(f"{wrong}\n  expected: {expected}\n  fix:      {fix}")


class ConfigError(UserError):
    """A configuration, option or vocabulary that cannot work, or that does not match the run."""


class DataError(UserError):
    """Input data that cannot be used."""

    exit_code = 3


class CheckpointError(UserError):
    """No usable checkpoint where one is needed."""

    exit_code = 4


class DivergedError(UserError):
    """Training produced NaN or Inf too often to go on."""

    exit_code = 5


EXIT_WATCHDOG = 6  # a step took far too long: stacks are printed, the process ends itself
EXIT_PREEMPTED = 75  # saved after SIGTERM or SIGINT; the same command goes on
EXIT_UNREAD = 141  # nothing reads the output any more, as of a program that SIGPIPE ends


def one_line(error: Exception) -> str:
    """The text of an error on one line, cut off where it is very long."""
    return " ".join(str(error).split())[:300]


def errors_for_people(command_line: Callable[[], int]) -> Callable[[], int]:
    """Decorates a script's command line: a user's error is three lines on stderr and a code."""

    @functools.wraps(command_line)
    def run() -> int:
        try:
            return command_line()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        except BrokenPipeError:  # `SCRIPT … | head`
            # Python writes what it still holds when it ends: to nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            print("stopped: the reader of the output has gone", file=sys.stderr)
            return EXIT_UNREAD

    return run
