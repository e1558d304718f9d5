"""Records of mapped shards are those that ArrayRecord reads; what differs is not mapped."""

import hashlib

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter

from bert_jax.corpus.mapped import MappedShards

WRITTEN = "group_size:1,uncompressed"  # as prepare.py does


def write(path, size, count, options=WRITTEN):
    """Write random records; return them and the hash of the file."""
    rng = np.random.default_rng(size)
    table = rng.integers(0, 256, (count, size), np.uint8)
    writer = ArrayRecordWriter(str(path), options)
    for record in table:
        writer.write(record.tobytes())
    writer.close()
    return table, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [20, 127, 128, 340, 4096, 16_400, 65_512, 70_000, 140_000])
def test_records_are_read_wherever_blocks_end(tmp_path, size):
    count = 3 + 400_000 // size
    table, sha256 = write(tmp_path / "a", size, count)
    shards = MappedShards(2, size)
    shards.map(1, tmp_path / "a", count, sha256)
    assert shards.is_mapped.tolist() == [False, True]
    numbers = np.random.default_rng(0).permutation(count)
    np.testing.assert_array_equal(shards.read(np.ones_like(numbers), numbers), table[numbers])


@pytest.mark.parametrize(
    "options", ["group_size:1,zstd", "group_size:4,uncompressed", "group_size:1,transpose"]
)
def test_another_layout_is_not_mapped(tmp_path, options):
    _, sha256 = write(tmp_path / "a", 100, 50, options)
    shards = MappedShards(1, 100)
    shards.map(0, tmp_path / "a", 50, sha256)
    assert not shards.is_mapped.any()


@pytest.mark.parametrize("difference", ["hash", "rows", "size", "bit", "missing", "empty"])
def test_another_file_is_not_mapped(tmp_path, difference):
    path, count, size = tmp_path / "a", 50, 100
    _, sha256 = write(path, size, count)
    if difference == "hash":
        sha256 = "0" * 64
    elif difference == "rows":
        count += 1
    elif difference == "size":
        size -= 1
    elif difference == "bit":
        content = bytearray(path.read_bytes())
        content[300] ^= 1
        path.write_bytes(content)
    elif difference == "missing":
        path.unlink()
    else:
        path.write_bytes(b"")
        sha256 = hashlib.sha256(b"").hexdigest()
    shards = MappedShards(1, size)
    shards.map(0, path, count, sha256)
    assert not shards.is_mapped.any()


def test_a_record_that_differs_from_the_index_prevents_mapping(tmp_path):
    """The first records have one size, a later one another: distances are not equal."""
    path = tmp_path / "a"
    writer = ArrayRecordWriter(str(path), WRITTEN)
    for size in (100, 100, 90, 100, 100):
        writer.write(bytes(size))
    writer.close()
    shards = MappedShards(1, 100)
    shards.map(0, path, 5, hashlib.sha256(path.read_bytes()).hexdigest())
    assert not shards.is_mapped.any()
