"""Files: bounded reads that never wait, atomic writes, locked and replaced folders."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bert_jax import filesystem
from bert_jax.errors import CheckpointError, ConfigError, DataError
from bert_jax.filesystem import (
    copy_files,
    current_folder,
    lock_folder,
    open_regular,
    read_json_object,
    read_text,
    replace_folder,
    write_text,
)


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


def test_files_of_a_folder_are_copied_whole_or_not_at_all(tmp_path, monkeypatch):
    source, target = tmp_path / "tokenizer", tmp_path / "run" / "tokenizer"
    (source / "folder").mkdir(parents=True)
    (source / "vocab.txt").write_text("a\n")
    copy_files(source, target)
    (source / "vocab.txt").write_text("b\n" * 1000)

    def fill_the_disk(source, target):
        Path(target).write_text("b\n")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(filesystem.shutil, "copyfile", fill_the_disk)
    with pytest.raises(OSError, match="No space left on device"):
        copy_files(source, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {"vocab.txt": "a\n"}


def test_a_write_to_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def fail(*_):  # as write(2) fails: without a name, unlike open(2)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(tmp_path / "a.txt", "new")
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert caught.value.errno == errno.ENOSPC


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


def make_folder(path, text):
    path.mkdir()
    (path / "file").write_text(text)
    return path


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_is_replaced_whole(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(filesystem, "_exchange", lambda first, second: False)
    folder = tmp_path / "folder"
    for text in ("first", "second", "third"):
        replace_folder(make_folder(tmp_path / "new", text), folder)
        assert (folder / "file").read_text() == text
        assert os.listdir(tmp_path) == ["folder"]


def test_two_folders_are_exchanged_in_one_step(tmp_path, monkeypatch):
    """Two names are exchanged at once, so that no moment is without the folder."""
    folder, new = make_folder(tmp_path / "folder", "old"), make_folder(tmp_path / "new", "new")
    if not filesystem._exchange(new, folder):
        pytest.skip("this file system cannot exchange two names")
    assert ((folder / "file").read_text(), (new / "file").read_text()) == ("new", "old")
    monkeypatch.setattr(os, "rename", None)
    replace_folder(new, folder)
    assert (folder / "file").read_text() == "old"


def test_a_replacement_that_fails_leaves_the_old_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(filesystem, "_exchange", lambda first, second: False)
    folder = make_folder(tmp_path / "folder", "old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "nothing", folder)
    assert (folder / "file").read_text() == "old"


def test_a_replacement_cut_short_between_two_renames_is_bridged(tmp_path):
    folder, old = tmp_path / "folder", make_folder(tmp_path / "folder.old", "old")
    assert current_folder(folder) == old
    replace_folder(make_folder(tmp_path / "new", "new"), folder)
    assert current_folder(folder) == folder
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("error", [ConfigError, CheckpointError])
def test_the_pointer_of_git_lfs_is_not_the_file(tmp_path, error):
    path = tmp_path / "vocab.txt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 231508\n")
    with pytest.raises(error, match=r"vocab\.txt is a Git LFS pointer(.|\n)*git lfs pull"):
        open_regular(path, error)
    path.write_text("version https://git")
    assert read_text(path) == "version https://git"
