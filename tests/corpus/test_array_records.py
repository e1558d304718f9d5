import errno
from pathlib import Path

import pytest
from array_record.python.array_record_module import ArrayRecordWriter

from bert_jax.corpus.array_records import os_errors


def write(path: Path) -> None:
    with os_errors(path):
        writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
        writer.write(b"record")
        writer.close()


def test_an_error_of_the_operating_system_is_one(tmp_path):
    path = tmp_path / "none" / "a"
    with pytest.raises(OSError, match="No such file") as caught:
        write(path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(path))
    with pytest.raises(OSError, match="No space left") as caught:
        write(Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC


def test_an_error_of_the_library_stays_its_own(tmp_path):
    with pytest.raises(RuntimeError, match="closed"), os_errors(tmp_path):
        raise RuntimeError("the writer is closed")
