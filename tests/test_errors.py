"""Errors as users see them at a script's entry point: three lines and an exit code."""

import errno
import os

import pytest

from bert_jax.errors import DataError, report_user_errors


def run(error: BaseException) -> int:
    """Return the exit code of a script that raises `error`."""

    def command_line() -> int:
        raise error

    return report_user_errors(command_line)()


@pytest.mark.parametrize(
    ("number", "code", "fix"),
    [
        (errno.ENOSPC, 3, "free some space"),
        (errno.EROFS, 3, "choose another folder"),
        (errno.EACCES, 3, "change its permissions"),
        (errno.EIO, 3, "check the disk"),
        (errno.ENOTDIR, 2, "choose another path"),
        (errno.ENAMETOOLONG, 2, "choose a shorter name"),
        (errno.ETXTBSY, 3, "check the path and the disk"),
    ],
)
def test_an_error_of_the_operating_system_is_three_lines_and_a_code(number, code, fix, capsys):
    assert run(OSError(number, os.strerror(number), "some/path")) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"error: some/path: {os.strerror(number)}"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["expected", "fix"]
    assert fix in lines[2]


def test_an_error_that_names_two_files_names_both(capsys):
    assert run(OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b")) == 3
    assert capsys.readouterr().err.startswith("error: a → b: Invalid cross-device link\n")


def test_ctrl_c_is_one_line(capsys):
    assert run(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C\n"


def test_a_user_error_has_its_own_code_and_a_bug_its_traceback():
    assert run(DataError("a", "b", "c")) == 3
    with pytest.raises(OSError, match="a library's own"):
        run(OSError("a library's own"))
    with pytest.raises(KeyError):
        run(KeyError("bug"))
