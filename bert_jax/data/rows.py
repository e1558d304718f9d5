"""The layout of a row on disk; rows to records and back, without a loop over them.

A record is the `tf.train.Example` that TFDS writes for these features (docs/design.md). Every
feature has a fixed size, so all records of a data set are equal but for their payload: writing
fills the payload into copies of one template, and reading cuts it out, many records at a time.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int, UInt8


@dataclasses.dataclass(frozen=True)
class RowFormat:
    """The shape of one data set's rows."""

    length: int
    """Tokens in a row T."""
    max_sequences: int
    """Most pairs in a row J."""
    vocab_size: int
    """Decides whether ids fit into 16 bits."""

    @property
    def features(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and type of each feature, in the order of the record (the names' order)."""
        token_type = np.dtype("<u2") if self.vocab_size <= 1 << 16 else np.dtype("<i4")
        return {
            "is_random_next": ((self.max_sequences,), np.dtype("u1")),
            "lengths": ((self.max_sequences, 2), np.dtype("<u2")),
            "tokens": ((self.length,), token_type),
        }

    @functools.cached_property
    def template(self) -> bytes:
        """The record of a row of zeros: Example{features{feature{key, value{bytes_list}}}}."""
        entries = b""
        for name, (shape, dtype) in self.features.items():
            payload = bytes(int(np.prod(shape)) * dtype.itemsize)
            feature = _message(1, _message(1, payload))
            entries += _message(1, _message(1, name.encode()) + _message(2, feature))
        return _message(1, entries)

    @functools.cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """First byte and end of each feature's payload in a record."""
        places, end = {}, len(self.template)
        for name, (shape, dtype) in reversed(self.features.items()):
            size = int(np.prod(shape)) * dtype.itemsize
            places[name] = (end - size, end)
            head = _message(1, name.encode())
            feature = _message(2, _message(1, _message(1, bytes(size))))
            end -= len(_message(1, head + feature))
        return places

    def write(self, rows: dict[str, np.ndarray]) -> Iterator[bytes]:
        """Turns arrays of n rows into n records."""
        count, size = len(rows["tokens"]), len(self.template)
        records = np.empty((count, size), np.uint8)
        records[:] = np.frombuffer(self.template, np.uint8)
        for name, (start, end) in self.places.items():
            values = rows[name].astype(self.features[name][1])
            records[:, start:end] = np.frombuffer(values.tobytes(), np.uint8).reshape(
                count, end - start
            )
        data = records.tobytes()
        return (data[at : at + size] for at in range(0, len(data), size))

    def read(self, records: Sequence[bytes]) -> dict[str, Int[np.ndarray, "n ..."]]:
        """Turns n records into int32 arrays of n rows.

        Raises:
            ValueError: a record with another layout; its message is that record's index.
        """
        size = len(self.template)
        for index, record in enumerate(records):
            if len(record) != size:
                raise ValueError(index)
        table = np.frombuffer(b"".join(records), np.uint8).reshape(len(records), size)
        self._check_frame(table)
        arrays = {}
        for name, (start, end) in self.places.items():
            shape, dtype = self.features[name]
            values = np.ascontiguousarray(table[:, start:end]).view(dtype)
            arrays[name] = values.reshape(len(records), *shape).astype(np.int32)
        return arrays

    def _check_frame(self, table: UInt8[np.ndarray, "n bytes"]) -> None:
        """Compares all that is not payload with the template."""
        template = np.frombuffer(self.template, np.uint8)
        start = 0
        for place, end in sorted(self.places.values()):
            if not (same := table[:, start:place] == template[start:place]).all():
                raise ValueError(int(np.argmin(same.all(axis=1))))
            start = end


def _message(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    size, varint = len(payload), b""
    while size >= 128:
        varint += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + varint + bytes([size]) + payload


def gather_rows(
    row_format: RowFormat,
    tokens: Int[np.ndarray, "N"],
    pairs: Int[np.ndarray, "pairs 5"],
    places: tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]],
    special_ids: tuple[int, int, int],
) -> dict[str, np.ndarray]:
    """Writes `[CLS] A [SEP] B [SEP]` of every pair into its row.

    Args:
        row_format: the rows' shape.
        tokens: the bundle's flat token array.
        pairs: a_start, a_end, b_start, b_end, is_random_next.
        places: row and place in the row of each pair, as `pack` gives them.
        special_ids: of [PAD], [CLS] and [SEP].
    """
    pad_id, cls_id, sep_id = special_ids
    order = np.lexsort(places[::-1])
    pairs, (rows, slots) = pairs[order], (places[0][order], places[1][order])
    num_rows = int(rows[-1]) + 1 if len(rows) else 0
    a_start, a_end, b_start, b_end, is_random_next = pairs.T
    lengths = np.zeros((num_rows, row_format.max_sequences, 2), np.int64)
    lengths[rows, slots, 0] = a_end - a_start + 2
    lengths[rows, slots, 1] = b_end - b_start + 1
    labels = np.zeros((num_rows, row_format.max_sequences), np.int64)
    labels[rows, slots] = is_random_next

    # [CLS] and [SEP] stand behind the tokens; every pair is five stretches of that array
    source = np.concatenate([tokens, [cls_id, sep_id]]).astype(row_format.features["tokens"][1])
    cls_at = np.full(len(pairs), len(tokens))
    one = np.ones(len(pairs), np.int64)
    starts = np.stack([cls_at, a_start, cls_at + 1, b_start, cls_at + 1], axis=1).ravel()
    sizes = np.stack([one, a_end - a_start, one, b_end - b_start, one], axis=1).ravel()
    ends = np.cumsum(sizes)
    shifts = np.repeat((starts - ends + sizes).astype(np.int32), sizes)
    values = source[shifts + np.arange(len(shifts), dtype=np.int32)]
    grid = np.full((num_rows, row_format.length), pad_id, source.dtype)
    grid[np.arange(row_format.length) < lengths.sum(axis=(1, 2))[:, None]] = values
    return {"tokens": grid, "lengths": lengths, "is_random_next": labels}
