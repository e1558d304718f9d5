"""Files as lines of bounded length: plain, .gz or .xz, or standard input, in UTF-8."""

import io
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bert_jax.errors import DataError
from bert_jax.filesystem import open_regular
from bert_jax.reading.encodings import advise_conversion, refuse_marks
from bert_jax.reading.streams import READ_ERRORS, decompress, unreadable_error
from bert_jax.remote.reading import fetch_name

MAX_LINE_BYTES = 8 << 20
MAX_JSON_FILE_BYTES = 512 << 20  # of one JSON text
MAX_FILE_BYTES = 2 << 30  # of files that are read at once, decompressed
NOT_UTF8 = "is not UTF-8"  # how the error of a line ends


class Line(NamedTuple):
    """One line of a file."""

    number: int
    """Counted from 1."""
    text: str
    """Without its line end; bytes that are not UTF-8 are replaced."""
    error: str = ""
    """Reason why the line cannot be used; empty if it can."""


class LineReader:
    """The lines of a file; opened, or refused, when it is built.

    Args:
        name: a file or the address of one, also .gz or .xz; "-" is standard input.

    Raises:
        DataError: no such file, or not a regular one; while iterating, a damaged one, or one in
            UTF-16.
    """

    def __init__(self, name: str):
        self.place = "standard input" if name == "-" else name
        self._size: int | None = None
        self._raw, self._stream = open_decompressed(name)
        self._lines = self._read()
        self._peeked: list[Line] = []
        if name != "-":
            self._size = os.fstat(self._raw.fileno()).st_size

    def fraction(self) -> float | None:
        """Return the part of the file that was read, from 0 to 1; None for standard input."""
        if self._size is None:
            return None
        return 1.0 if self._raw.closed else self._raw.tell() / max(self._size, 1)

    def peek(self, count: int) -> list[Line]:
        """Return the first lines, at most `count`, which iterating yields as well."""
        self._peeked += itertools.islice(self._lines, count - len(self._peeked))
        return self._peeked

    def __iter__(self) -> Iterator[Line]:
        yield from self._peeked
        yield from self._lines

    def _read(self) -> Iterator[Line]:
        number = 0
        try:
            while data := self._stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if number == 1:
                    refuse_marks(self.place, data[:4], has_option=False)
                    data = data.removeprefix(b"\xef\xbb\xbf")
                if len(data) > MAX_LINE_BYTES and not data.endswith(b"\n"):
                    while (rest := self._stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                        pass
                    start = data[:200].decode("utf-8", "ignore")
                    yield Line(number, start, f"a line of more than {MAX_LINE_BYTES:,} bytes")
                else:
                    yield _decode(number, data.removesuffix(b"\n").removesuffix(b"\r"))
        except READ_ERRORS as error:
            raise unreadable_error(self.place, error) from None
        finally:
            self._stream.close()
            self._raw.close()


def _decode(number: int, data: bytes) -> Line:
    try:
        return Line(number, data.decode())
    except UnicodeDecodeError as error:
        reason = f"byte {data[error.start]:#04x} {NOT_UTF8}"
        return Line(number, data.decode("utf-8", "replace"), reason)


def open_decompressed(name: str) -> tuple[BinaryIO, BinaryIO]:
    """Open a file or standard input; return it as it is on the disk, and decompressed."""
    if name == "-":
        if not hasattr(sys.stdin, "buffer"):  # a stream of text in its place
            text = io.BytesIO(sys.stdin.read().encode())
            return text, text
        binary = io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
        return binary, binary
    name = fetch_name(name)
    if not Path(name).exists():
        raise DataError(f"{name} does not exist", "a file", "check the path")
    raw = open_regular(name, DataError)
    return raw, decompress(name, raw)


def read_text_file(name: str, max_bytes: int = MAX_FILE_BYTES) -> str:
    """Read a UTF-8 file, decompressed, with "\\n" as line ends and without a byte order mark.

    Raises:
        DataError: it cannot be read, is too large, or is not UTF-8.
    """
    data = b""
    raw, stream = open_decompressed(name)
    with raw, stream:
        try:
            data = stream.read(max_bytes + 1)
        except READ_ERRORS as error:
            raise unreadable_error(name, error) from None
    if len(data) > max_bytes:
        raise DataError(
            f"{name} has more than {max_bytes:,} bytes",
            "a file that fits into memory",
            "split it, or save it as JSON lines (.jsonl)",
        )
    refuse_marks(name, data[:4], has_option=False)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{name}:{line}: byte {data[error.start]:#04x} is not UTF-8",
            "UTF-8 text",
            f"if it is CP949, for example, {advise_conversion(name, 'cp949', has_option=False)}",
        ) from None


def drop_trailing_blanks(lines: Iterable[Line]) -> Iterator[Line]:
    """Drop the empty lines at the end: they are no rows."""
    blanks: list[Line] = []
    for line in lines:
        if line.text or line.error:
            yield from blanks
            blanks.clear()
            yield line
        else:
            blanks.append(line)
