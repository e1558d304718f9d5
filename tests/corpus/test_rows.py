import numpy as np
import pytest
import tensorflow_datasets as tfds

from bert_jax.corpus.rows import RowFormat, gather_rows


def random_rows(row_format: RowFormat, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(0, min(np.iinfo(dtype).max, row_format.vocab_size), (count, *shape))
        for name, (shape, dtype) in row_format.features.items()
    }


@pytest.mark.parametrize(
    ("length", "vocab_size", "nsp"),
    [(16, 100, True), (128, 65_536, True), (512, 65_537, True), (64, 100, False)],
)
def test_records_are_what_tfds_writes(length, vocab_size, nsp):
    row_format = RowFormat(length, max(2, length // 32), vocab_size, nsp)
    features = tfds.features.FeaturesDict(
        {
            name: tfds.features.Tensor(shape=shape, dtype=np.dtype(dtype.name), encoding="bytes")
            for name, (shape, dtype) in row_format.features.items()
        }
    )
    serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())
    parser = tfds.core.example_parser.ExampleParserNp(features.get_serialized_info())
    rows = random_rows(row_format, 3)
    for index, record in enumerate(row_format.to_records(rows)):
        row = {
            name: rows[name][index].astype(dtype)
            for name, (_, dtype) in row_format.features.items()
        }
        theirs = serializer.serialize_example(features.encode_example(row))
        assert len(record) == len(theirs)
        assert sorted(record) == sorted(theirs)  # a map's order is free
        decoded = features.decode_example_np(parser.parse_example(record))
        for name, values in row.items():
            np.testing.assert_array_equal(decoded[name], values)
            assert decoded[name].dtype == values.dtype


def test_rows_written_and_read_are_the_same():
    row_format = RowFormat(64, 3, 70_000)
    rows = random_rows(row_format, 5)
    parsed = row_format.from_records(list(row_format.to_records(rows)))
    for name, values in rows.items():
        np.testing.assert_array_equal(parsed[name], values)
        assert parsed[name].dtype == np.int32


@pytest.mark.parametrize("damage", ["short", "frame"])
def test_a_record_of_another_layout_is_named(damage):
    row_format = RowFormat(64, 2, 100)
    records = list(row_format.to_records(random_rows(row_format, 4)))
    bad = bytearray(records[2])
    if damage == "short":
        bad.pop()
    else:
        bad[0] ^= 1
    records[2] = bytes(bad)
    with pytest.raises(ValueError, match=r"^2$"):
        row_format.from_records(records)


def test_gathered_rows_by_hand():
    row_format = RowFormat(16, 2, 100)
    tokens = np.arange(10, 30, dtype=np.int32)
    pairs = np.array([[0, 2, 5, 6, 0], [3, 4, 8, 11, 1], [19, 20, 0, 1, 1]])
    positions = np.array([1, 0, 1]), np.array([1, 0, 0])  # pair 0 in row 1 after pair 2
    rows = gather_rows(row_format, tokens, pairs, positions, special_ids=(0, 2, 3))
    assert rows["tokens"].tolist() == [
        [2, 13, 3, 18, 19, 20, 3] + [0] * 9,
        [2, 29, 3, 10, 3, 2, 10, 11, 3, 15, 3] + [0] * 5,
    ]
    assert rows["lengths"].tolist() == [[[3, 4], [0, 0]], [[3, 2], [4, 2]]]
    assert rows["is_random_next"].tolist() == [[1, 0], [1, 0]]


def test_rows_without_nsp_by_hand():
    """One segment each: a pair whose B is empty has no second [SEP], and no label."""
    row_format = RowFormat(16, 2, 100, nsp=False)
    assert row_format.max_tokens == 14
    assert [*row_format.features] == ["lengths", "tokens"]
    tokens = np.arange(10, 30, dtype=np.int32)
    sequences = np.array([[0, 3, 3, 3, 0], [5, 7, 7, 7, 0]])
    rows = gather_rows(
        row_format, tokens, sequences, (np.array([0, 0]), np.array([1, 0])), (0, 2, 3)
    )
    assert rows["tokens"].tolist() == [[2, 15, 16, 3, 2, 10, 11, 12, 3] + [0] * 7]
    assert rows["lengths"].tolist() == [[[4, 0], [5, 0]]]
    (record,) = row_format.to_records(rows)
    assert set(row_format.from_records([record])) == {"lengths", "tokens"}


def test_no_pairs_make_no_rows():
    row_format = RowFormat(16, 2, 100)
    none = np.zeros(0, np.int64)
    rows = gather_rows(
        row_format, np.zeros(0, np.int32), none.reshape(0, 5), (none, none), (0, 1, 2)
    )
    assert rows["tokens"].shape == (0, 16)
    assert list(row_format.to_records(rows)) == []


def test_a_second_separator_belongs_to_the_second_segment():
    row_format = RowFormat(16, 2, 100, num_between=1)
    assert row_format.max_tokens == 12
    pairs = np.array([[0, 2, 2, 5, 1]])
    positions = (np.array([0]), np.array([0]))
    rows = gather_rows(row_format, np.arange(10, 15), pairs, positions, special_ids=(0, 2, 3))
    assert rows["tokens"][0, :9].tolist() == [2, 10, 11, 3, 3, 12, 13, 14, 3]
    assert rows["lengths"][0].tolist() == [[4, 5], [0, 0]]
