"""Layout of a row on disk; convert rows to records and back, without a loop over rows.

A record is the `tf.train.Example` that TFDS writes for these features (docs/design.md). Every
feature has a fixed size, so all records of a data set are equal apart from their payload: writing
copies the payload into copies of one template, and reading slices it out, many records at a time.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int, UInt8


@dataclasses.dataclass(frozen=True)
class RowFormat:
    """Shape of one data set's rows."""

    length: int
    """Row length T in tokens."""
    max_sequences: int
    """Maximum number J of pairs in a row."""
    vocab_size: int
    """Size of the vocabulary V; up to 65,536, ids are stored in 16 bits."""
    nsp: bool = True
    """True for pairs with a label; False for single segments, whose B has length 0."""
    num_between: int = 0
    """Tokens between A's [SEP] and B: RoBERTa's tokenizer has a second [SEP] there."""

    @property
    def description(self) -> str:
        """Contents of a row."""
        return "[CLS] A [SEP] B [SEP] …" if self.nsp else "[CLS] A [SEP] …, without NSP"

    @property
    def max_tokens(self) -> int:
        """Maximum length of A and B together: T less [CLS] and the [SEP] after each segment."""
        return self.length - 2 - self.nsp * (1 + self.num_between)

    @property
    def folder_name(self) -> str:
        """Name of the data set's folder in prepared data, such as "T128"."""
        return f"T{self.length}"

    @property
    def features(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and type of each feature, in the order of the record (the names' order)."""
        token_type = np.dtype("<u2") if self.vocab_size <= 1 << 16 else np.dtype("<i4")
        label = {"is_random_next": ((self.max_sequences,), np.dtype("u1"))}
        return {
            **(label if self.nsp else {}),
            "lengths": ((self.max_sequences, 2), np.dtype("<u2")),
            "tokens": ((self.length,), token_type),
        }

    @functools.cached_property
    def template(self) -> bytes:
        """Record of a row of zeros: Example{features{feature{key, value{bytes_list}}}}."""
        entries = b""
        for name, (shape, dtype) in self.features.items():
            payload = bytes(int(np.prod(shape)) * dtype.itemsize)
            feature = _message(1, _message(1, payload))
            entries += _message(1, _message(1, name.encode()) + _message(2, feature))
        return _message(1, entries)

    @functools.cached_property
    def payload_ranges(self) -> dict[str, tuple[int, int]]:
        """First byte and end of each feature's payload in a record."""
        ranges, end = {}, len(self.template)
        for name, (shape, dtype) in reversed(self.features.items()):
            size = int(np.prod(shape)) * dtype.itemsize
            ranges[name] = (end - size, end)
            key = _message(1, name.encode())
            feature = _message(2, _message(1, _message(1, bytes(size))))
            end -= len(_message(1, key + feature))
        return ranges

    def to_records(self, rows: dict[str, np.ndarray]) -> Iterator[bytes]:
        """Serialize arrays of n rows as n records."""
        count, size = len(rows["tokens"]), len(self.template)
        records = np.empty((count, size), np.uint8)
        records[:] = np.frombuffer(self.template, np.uint8)
        for name, (start, end) in self.payload_ranges.items():
            values = rows[name].astype(self.features[name][1])
            records[:, start:end] = np.frombuffer(values.tobytes(), np.uint8).reshape(
                count, end - start
            )
        data = records.tobytes()
        return (data[start : start + size] for start in range(0, len(data), size))

    def from_records(self, records: Sequence[bytes]) -> dict[str, Int[np.ndarray, "n ..."]]:
        """Parse n records into int32 arrays of n rows.

        Raises:
            ValueError: a record has a different layout; the message is that record's index.
        """
        return self.from_table(self.stack(records))

    def stack(self, records: Sequence[bytes]) -> UInt8[np.ndarray, "n bytes"]:
        """Return records as rows of bytes.

        Raises:
            ValueError: as `from_records`.
        """
        size = len(self.template)
        for index, record in enumerate(records):
            if len(record) != size:
                raise ValueError(index)
        return np.frombuffer(b"".join(records), np.uint8).reshape(len(records), size)

    def from_table(
        self, table: UInt8[np.ndarray, "n bytes"]
    ) -> dict[str, Int[np.ndarray, "n ..."]]:
        """Parse rows of bytes into int32 arrays.

        Raises:
            ValueError: as `from_records`.
        """
        self._check_frame(table)
        arrays = {}
        for name, (start, end) in self.payload_ranges.items():
            shape, dtype = self.features[name]
            values = np.ascontiguousarray(table[:, start:end]).view(dtype)
            arrays[name] = values.reshape(len(table), *shape).astype(np.int32)
        return arrays

    def _check_frame(self, table: UInt8[np.ndarray, "n bytes"]) -> None:
        """Compare every byte outside the payload with the template."""
        template = np.frombuffer(self.template, np.uint8)
        start = 0
        for payload_start, end in sorted(self.payload_ranges.values()):
            same = table[:, start:payload_start] == template[start:payload_start]
            if not same.all():
                raise ValueError(int(np.argmin(same.all(axis=1))))
            start = end


def _message(number: int, payload: bytes) -> bytes:
    """Encode a length-delimited protobuf field."""
    size, varint = len(payload), b""
    while size >= 128:
        varint += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + varint + bytes([size]) + payload


def gather_rows(
    row_format: RowFormat,
    tokens: Int[np.ndarray, "N"],
    pairs: Int[np.ndarray, "pairs 5"],
    positions: tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]],
    special_ids: tuple[int, int, int],
) -> dict[str, np.ndarray]:
    """Write `[CLS] A [SEP] B [SEP]` of every pair into its row; `[CLS] A [SEP]` without NSP.

    Args:
        row_format: shape of the rows.
        tokens: the bundle's flat token array.
        pairs: a_start, a_end, b_start, b_end, is_random_next.
        positions: row, and slot in the row, of each pair, as `pack` returns them.
        special_ids: ids of [PAD], [CLS] and [SEP].

    Returns:
        tokens [rows, T], lengths [rows, J, 2] and is_random_next [rows, J].
    """
    pad_id, cls_id, sep_id = special_ids
    order = np.lexsort(positions[::-1])
    pairs, (rows, slots) = pairs[order], (positions[0][order], positions[1][order])
    num_rows = int(rows[-1]) + 1 if len(rows) else 0
    a_start, a_end, b_start, b_end, is_random_next = pairs.T
    lengths = np.zeros((num_rows, row_format.max_sequences, 2), np.int64)
    lengths[rows, slots, 0] = a_end - a_start + 2
    second_sep = row_format.nsp * np.ones(len(pairs), np.int64)
    between = row_format.num_between * second_sep
    lengths[rows, slots, 1] = b_end - b_start + second_sep + between
    labels = np.zeros((num_rows, row_format.max_sequences), np.int64)
    labels[rows, slots] = is_random_next

    # [CLS] and [SEP] are appended to the tokens; every pair is six ranges of that array
    seps = [sep_id] * (1 + row_format.num_between)
    source = np.concatenate([tokens, [cls_id, *seps]]).astype(row_format.features["tokens"][1])
    cls_index = np.full(len(pairs), len(tokens))
    one = np.ones(len(pairs), np.int64)
    sep_index = cls_index + 1
    starts = np.stack(
        [cls_index, a_start, sep_index, sep_index, b_start, sep_index], axis=1
    ).ravel()
    sizes = np.stack(
        [one, a_end - a_start, one, between, b_end - b_start, second_sep], axis=1
    ).ravel()
    ends = np.cumsum(sizes)
    shifts = np.repeat((starts - ends + sizes).astype(np.int32), sizes)
    values = source[shifts + np.arange(len(shifts), dtype=np.int32)]
    grid = np.full((num_rows, row_format.length), pad_id, source.dtype)
    grid[np.arange(row_format.length) < lengths.sum(axis=(1, 2))[:, None]] = values
    return {"tokens": grid, "lengths": lengths, "is_random_next": labels}
