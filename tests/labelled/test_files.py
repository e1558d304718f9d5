import gzip
import os
import random

import pytest

from bert_jax.errors import DataError
from bert_jax.labelled import files
from bert_jax.labelled.files import Line, LineReader, drop_trailing_blanks, read_text_file


def test_lines_have_their_numbers_and_lose_their_ends(corpus):
    reader = LineReader(corpus(b"\xef\xbb\xbfa\r\nb\n\nc", "a.txt"))
    assert reader.peek(2) == [Line(1, "a"), Line(2, "b")]
    assert list(reader) == [Line(1, "a"), Line(2, "b"), Line(3, ""), Line(4, "c")]


def test_a_long_line_is_an_error_and_the_next_one_is_read(corpus, monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 5)
    reader = LineReader(
        corpus(gzip.compress(b"12345\n123456\n" + b"1" * (3 << 20) + b"\nlast\n"), "a.txt.gz")
    )
    lines = [(line.number, line.text, bool(line.error)) for line in reader]
    assert lines == [
        (1, "12345", False), (2, "123456", True), (3, "111111", True), (4, "last", False)
    ]  # fmt: skip


def test_no_flipped_bit_of_a_gzip_file_ends_in_a_traceback(tmp_path):
    rng = random.Random(1)
    data = gzip.compress("".join(f"{rng.random()} words\n" for _ in range(300)).encode())
    path = tmp_path / "a.txt.gz"
    for _ in range(100):
        damaged = bytearray(data)
        damaged[rng.randrange(12, len(data) - 8)] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.txt\.gz cannot be read"):
            list(LineReader(str(path)))
        with pytest.raises(DataError, match=r"a\.txt\.gz cannot be read"):
            read_text_file(str(path))


def test_what_is_no_file_of_text_is_refused(corpus, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("pipe", "no regular file"),
        ("missing", "does not exist"),
        ("", "no reg"),
    ):
        for read in (LineReader, read_text_file):
            with pytest.raises(DataError, match=message):
                read(str(tmp_path / name))
    with pytest.raises(DataError, match="is UTF-16"):
        list(LineReader(corpus("text".encode("utf-16"), "a.txt")))
    with pytest.raises(DataError, match="more than 3 bytes"):
        read_text_file(corpus("text", "b.txt"), 3)


def test_only_blank_lines_at_the_end_are_dropped():
    lines = [Line(1, ""), Line(2, "a"), Line(3, ""), Line(4, "", "error"), Line(5, ""), Line(6, "")]
    assert [line.number for line in drop_trailing_blanks(lines)] == [1, 2, 3, 4]
