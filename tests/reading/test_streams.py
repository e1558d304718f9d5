import gzip
import io
import lzma
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.errors import DataError
from bert_jax.reading import streams
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.streams import bounded_lines, open_text


def read(name: str) -> bytes:
    with open_text(name) as stream:
        return stream.read()


TEXT = b"".join(b"Line %d of a text.\n" % number for number in range(3000))


@pytest.mark.parametrize(
    "content",
    [
        lzma.compress(TEXT),
        lzma.compress(b"") + lzma.compress(TEXT[:9000]) + bytes(8) + lzma.compress(TEXT[9000:]),
        lzma.compress(TEXT) + bytes(1 << 19),
        lzma.compress(TEXT) + b"what follows is ignored",
        lzma.compress(TEXT, format=lzma.FORMAT_ALONE),
    ],
    ids=["one stream", "three streams", "padding", "garbage", "lzma"],
)
def test_xz_files_are_read_as_xz_reads_them(corpus, content):
    assert read(corpus(content, "A.XZ")) == TEXT


def test_xz_that_asks_for_too_much_memory_is_refused(corpus, monkeypatch):
    name = corpus(lzma.compress(TEXT), "a.xz")
    monkeypatch.setattr(streams, "MAX_XZ_MEMORY", 1 << 20)
    with pytest.raises(DataError, match="cannot be read: Memory usage limit"):
        read(name)


@pytest.mark.parametrize("ending", ["gz", "xz"])
def test_a_flipped_bit_before_a_missing_end_is_an_error_for_users(corpus, ending):
    rng = random.Random(0)
    whole = (gzip.compress(TEXT, mtime=0) if ending == "gz" else lzma.compress(TEXT))[:-4]
    for _ in range(200):
        content = bytearray(whole)
        content[rng.randrange(12, len(content))] ^= 1 << rng.randrange(8)
        with pytest.raises(DataError, match=f"a.{ending} cannot be read: .*\n.*complete"):
            read(corpus(bytes(content), f"a.{ending}"))


def test_pipes_folders_and_missing_files_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("pipe", "no regular file"), (".", "folder|regular"), ("none", "No such")):
        with pytest.raises(DataError, match=reason):
            read(str(tmp_path / name))


def test_an_error_of_the_disk_is_named(tmp_path, corpus):
    message = r"cannot be read: Input/output error\n(.|\n)*check the disk"
    with pytest.raises(DataError, match=message), open_text(corpus("text")):
        raise OSError(5, "Input/output error")


@given(lines=st.lists(st.integers(0, 40), max_size=8), ended=st.booleans())
def test_lines_beyond_the_limit_are_counted_and_never_read_whole(lines, ended):
    content = b"\n".join(b"x" * size for size in lines) + b"\n" * ended
    findings = Findings()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "MAX_RECORD_BYTES", 20)
        patch.setattr(streams, "BLOCK_BYTES", 7)
        got = list(bounded_lines(io.BytesIO(content), "f", findings))
    whole = list(enumerate(io.BytesIO(content).readlines(), 1))
    assert got == [(number, line) for number, line in whole if len(line.strip()) <= 20]
    assert sum(findings.counts.values()) == len(whole) - len(got)


def test_an_endless_line_ends_the_reading(monkeypatch):
    monkeypatch.setattr(streams, "MAX_RECORD_BYTES", 20)
    monkeypatch.setattr(streams, "MAX_SKIPPED_BYTES", 1000)
    monkeypatch.setattr(streams, "BLOCK_BYTES", 100)
    stream = io.BytesIO(b"short\n" + b"x" * 10_000)
    with pytest.raises(DataError, match="f:2: a line of more than 1,000 bytes"):
        list(bounded_lines(stream, "f", Findings()))
    assert stream.tell() < 1300
