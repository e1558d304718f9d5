"""Rows read in place from memory-mapped shards.

prepare.py writes every record uncompressed and in a chunk of its own. As all records of a data set
have one size, they lie at equal distances, but for a header at each 64 KiB: where a record begins
is computed, not looked up. (Riegeli's file format, which ArrayRecord uses:
https://github.com/google/riegeli/blob/master/doc/riegeli_records_file_format.md)
"""

import hashlib
import mmap
import struct
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import Int, UInt8

BLOCK_SIZE, BLOCK_HEADER_SIZE, CHUNK_HEADER_SIZE = 1 << 16, 24, 40
PAYLOAD_SIZE = BLOCK_SIZE - BLOCK_HEADER_SIZE  # of a block
CHUNK_HEADER = struct.Struct("<8x Q 8x B 7s Q")  # data size, type, number of records, their size
SIMPLE_CHUNK, UNCOMPRESSED = ord("r"), 0
START = CHUNK_HEADER_SIZE  # after an empty chunk, the file's signature


class MappedShards:
    """Records of one size in the mapped files of a data set.

    Args:
        num_shards: number of files, none of which is mapped yet.
        size: bytes of a record.
    """

    def __init__(self, num_shards: int, size: int):
        self.is_mapped = np.zeros(num_shards, bool)
        self._size = size
        self._files: dict[int, mmap.mmap] = {}
        self._bytes: dict[int, memoryview] = {}
        self._chunk_start = 0  # bytes of a chunk before its record

    def map(self, shard: int, path: str | Path, num_rows: int, sha256: str) -> None:
        """Map a shard if its bytes are those that prepare.py wrote; else leave it.

        The records' own hashes are not compared when they are read in place, so the file's is,
        once. The first record, one in the middle and the last are compared with what ArrayRecord
        reads by the file's index. Whatever is otherwise, its reader can say more.

        Args:
            shard: number of the shard.
            path: its file.
            num_rows: its number of records.
            sha256: its hash, from the data report.
        """
        try:
            with open(path, "rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            if hashlib.sha256(data).hexdigest() != sha256:
                return
            start = _find_record(data, self._size)
            if self._chunk_start not in (0, start):  # another layout than that of mapped shards
                return
            self._chunk_start = start
            self._files[shard], self._bytes[shard] = data, memoryview(data)
            some = np.array([0, num_rows // 2, num_rows - 1])
            reader = ArrayRecordReader(str(path), options="readahead_buffer_size:0")
            expected = b"".join(reader.read(some.tolist()))
            same = self.read(np.full(3, shard), some).tobytes() == expected
            self.is_mapped[shard] = same and reader.num_records() == num_rows
            reader.close()
            data.madvise(mmap.MADV_RANDOM)  # rows are shuffled: do not read around them
        except (OSError, ValueError, IndexError, RuntimeError, struct.error):
            return

    def read(
        self, shards: Int[np.ndarray, "n"], numbers: Int[np.ndarray, "n"]
    ) -> UInt8[np.ndarray, "n bytes"]:
        """Return the records of these numbers in these mapped shards.

        Raises:
            ValueError: a shard has no such record.
        """
        size, each = self._size, shards.tolist()
        distance = self._chunk_start + size
        offsets = START + numbers * distance + self._chunk_start
        starts, ends = _positions(offsets), _positions(offsets + size - 1) + 1
        pages = starts & -mmap.PAGESIZE
        # Pages that are not in memory are all asked for before the first is waited for.
        for shard, page, length in zip(each, pages.tolist(), (ends - pages).tolist(), strict=True):
            self._files[shard].madvise(mmap.MADV_WILLNEED, page, length)
        records: list[bytes | memoryview] = [
            self._bytes[shard][start:end]
            for shard, start, end in zip(each, starts.tolist(), ends.tolist(), strict=True)
        ]
        for index in np.flatnonzero(ends - starts != size).tolist():  # a block's header is within
            positions = _positions(offsets[index] + np.arange(size))
            records[index] = np.frombuffer(self._bytes[each[index]], np.uint8)[positions].tobytes()
        return np.frombuffer(b"".join(records), np.uint8).reshape(len(each), size)


def _find_record(data: mmap.mmap, size: int) -> int:
    """Return how many bytes of a chunk come before its record.

    Raises:
        ValueError: the first chunk does not hold one uncompressed record of this size.
    """
    array = np.frombuffer(data, np.uint8)
    offsets = np.arange(START, START + CHUNK_HEADER_SIZE + 1)
    header = array[_positions(offsets)].tobytes()
    data_size, kind, count, record_size = CHUNK_HEADER.unpack(header[:CHUNK_HEADER_SIZE])
    found = kind, int.from_bytes(count, "little"), record_size, header[-1]
    if found != (SIMPLE_CHUNK, 1, size, UNCOMPRESSED) or data_size <= size:
        raise ValueError("another layout")
    return CHUNK_HEADER_SIZE + data_size - size


def _positions(offsets: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Return the positions in a file of offsets that do not count the headers of blocks."""
    return offsets + BLOCK_HEADER_SIZE * (1 + offsets // PAYLOAD_SIZE)
