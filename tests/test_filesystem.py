"""Files: bounded reads that never wait, atomic writes, locked folders."""

import errno
import os
import subprocess
import sys

import pytest

from bert_jax.errors import ConfigError, DataError
from bert_jax.filesystem import lock_folder, open_regular, read_json_object, read_text, write_text


@pytest.mark.timeout(20)
def test_a_pipe_a_device_and_a_folder_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    os.symlink("/dev/zero", tmp_path / "endless")
    for name in ("fifo", "endless", "."):
        with pytest.raises(ConfigError, match="no regular file"):
            open_regular(tmp_path / name)


def test_reads_are_bounded_and_say_why_they_fail(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json_object(path) == {"a": 1}
    with pytest.raises(ConfigError, match="more than 4 bytes"):
        read_text(path, 4)
    with pytest.raises(DataError, match=r"cannot be read: No such file or directory\n"):
        read_text(tmp_path / "absent", error=DataError)
    for content, reason in (b"[1]", "a JSON list"), (b"{", "not JSON"), (b"\xff", "not UTF-8"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=reason):
            read_json_object(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="not JSON"):
        read_json_object(path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_locked_folder_is_refused_with_the_process_that_holds_it(tmp_path):
    code = (
        "from pathlib import Path; import sys; from bert_jax.filesystem import lock_folder\n"
        "from bert_jax.errors import ConfigError\n"
        "try:\n"
        "    with lock_folder(Path(sys.argv[1]), 'another test'): print('locked')\n"
        "except ConfigError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with lock_folder(tmp_path, "another test"):
        refused = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "in use by another test" in refused
    assert f'"pid": {os.getpid()}' in refused
    free = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert free == "locked\n"
