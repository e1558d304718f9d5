"""Streams: open files, decompressed and as UTF-8, and read them in pieces of bounded size."""

import contextlib
import gzip
import io
import itertools
import lzma
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from bert_jax.errors import DataError, one_line
from bert_jax.filesystem import open_regular
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.encodings import Recoded, is_utf8
from bert_jax.reading.formats import is_compressed

READ_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error)  # raised by damaged files
BLOCK_BYTES = 1 << 18
MAX_RECORD_BYTES = 32 << 20  # longer lines, records and cells are skipped, and counted
MAX_SKIPPED_BYTES = 1 << 30  # a line longer than this ends the reading: it may never end
MAX_XZ_MEMORY = 512 << 20  # an .xz file may ask for 4 GB
HEAD_BYTES = 1 << 14
MAX_HEAD_BYTES = 1 << 20  # of a compressed file, which cannot be sampled further on
NUM_SAMPLES = 5
_XZ_MAGIC = b"\xfd7zXZ\x00"


@contextlib.contextmanager
def open_text(name: str, encoding: str | None = None) -> Iterator[BinaryIO]:
    """Open a file to read its text: decompressed, and as UTF-8.

    Args:
        name: the file; .gz and .xz are decompressed.
        encoding: its encoding; None: UTF-8.

    Raises:
        DataError: it cannot be read, also later, inside the `with` statement.
    """
    try:
        with open_regular(name, DataError) as file:
            stream = decompress(name, file)
            if not is_utf8(encoding):
                assert encoding is not None
                stream = io.BufferedReader(Recoded(stream, encoding), BLOCK_BYTES)
            yield stream
    except READ_ERRORS as error:
        raise unreadable_error(name, error) from None


def decompress(name: str, file: BinaryIO) -> BinaryIO:
    """Return a stream of a file's content, decompressed if its name ends in .gz or .xz."""
    if name.lower().endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=file), BLOCK_BYTES)  # type: ignore[arg-type]
    if name.lower().endswith(".xz"):
        return io.BufferedReader(_XzReader(file), BLOCK_BYTES)
    return file


class _XzReader(io.RawIOBase):
    """Decompression like that of `lzma.LZMAFile`, which cannot limit its memory."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._decompressor = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
        self._next = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        text = b""
        while not text and not (self._decompressor.eof and self._is_last_stream()):
            data = b""
            if self._decompressor.needs_input:
                data, self._next = self._next or self._file.read(BLOCK_BYTES), b""
                if not data:
                    raise EOFError("the compressed data ends too early")
            text = self._decompressor.decompress(data, len(buffer))
        buffer[: len(text)] = text
        return len(text)

    def _is_last_stream(self) -> bool:
        """Return whether no other compressed stream follows; if one does, begin it."""
        self._next = self._decompressor.unused_data.lstrip(b"\0")  # padding is allowed
        while len(self._next) < len(_XZ_MAGIC) and (block := self._file.read(BLOCK_BYTES)):
            self._next = (self._next + block).lstrip(b"\0")
        is_last = not self._next.startswith(_XZ_MAGIC)  # xz, too, ignores what else may follow
        if not is_last:
            self._decompressor = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
        return is_last


def unreadable_error(name: str, error: Exception) -> DataError:
    """Return the error for a file that is damaged, or is not what its name says."""
    kinds = {"gz": "a gzip file", "xz": "an xz file", "parquet": "a Parquet file"}
    kind = kinds.get(name.lower().rpartition(".")[2], "a readable file")
    reason, fix = one_line(error), "download it again, or rename it if its ending is wrong"
    if isinstance(error, OSError) and error.strerror:
        reason, fix = error.strerror, "check the disk and the permissions"
    return DataError(f"{name} cannot be read: {reason}", f"{kind}, complete", fix)


def read_samples(name: str) -> list[bytes]:
    """Return the beginning of a file, decompressed; and if it is not compressed, further blocks.

    The blocks begin at offsets divisible by 4.

    Raises:
        DataError: it cannot be read.
    """
    with open_text(name) as stream:
        if is_compressed(name):
            return [stream.read(MAX_HEAD_BYTES)]
        size = os.fstat(stream.fileno()).st_size
        samples = [stream.read(HEAD_BYTES)]
        if size > HEAD_BYTES * NUM_SAMPLES * 2:
            for number in range(1, NUM_SAMPLES):
                stream.seek(size * number // NUM_SAMPLES // 4 * 4)
                samples.append(stream.read(HEAD_BYTES))
    return samples


def bounded_lines(stream: BinaryIO, name: str, findings: Findings) -> Iterator[tuple[int, bytes]]:
    """Iterate over the numbers and bytes of lines; longer ones than MAX_RECORD_BYTES are skipped.

    Raises:
        DataError: a line is longer than MAX_SKIPPED_BYTES.
    """
    for number in itertools.count(1):
        line = stream.readline(MAX_RECORD_BYTES + 1)
        if not line:
            return
        if len(line) <= MAX_RECORD_BYTES or line.endswith(b"\n"):
            yield number, line
            continue
        size = len(line)
        while line and not line.endswith(b"\n"):
            line = stream.readline(BLOCK_BYTES)
            size += len(line)
            if size > MAX_SKIPPED_BYTES:
                raise DataError(
                    f"{name}:{number}: a line of more than {MAX_SKIPPED_BYTES:,} bytes",
                    f"lines of at most {MAX_RECORD_BYTES:,} bytes",
                    "check the file: are its line ends missing?",
                )
        findings.add(f"line longer than {MAX_RECORD_BYTES >> 20} MB (skipped)", f"{name}:{number}")
