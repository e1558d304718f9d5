"""Word cache in front of `tokenizers`: the same ids, many times faster, in NumPy.

A text's UTF-8 bytes are split at white space and around ASCII punctuation. A word of up to 16 bytes
is two 64-bit integers, which are its key in an open-addressing hash table of arrays: a text becomes
ids by a handful of array operations, and Python runs only for new words. The table holds whole
keys, so a word is never mistaken for another.

This equals `tokenizers` because no rule of BERT's normalizer or pre-tokenizer reaches across ASCII
white space, and each ASCII punctuation character is a word of its own. Words that are not plain
letters and digits go through the normalizer and the pre-tokenizer of `tokenizers` themselves. The
tests compare the two on hard strings.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Int

from bert_jax.tokenizer.wordpieces import MAX_SHORT_BYTES
from bert_jax.tokenizer.wordtable import KEY_BYTES, Keys, WordTable

TABLE_BITS = 20
MAX_WORDS = 400_000  # words that are kept; others are tokenized anew each time
SLICE_BYTES = 1 << 19  # bytes that are encoded at a time: bounds memory and fits the CPU's cache
PADDING = 2 * KEY_BYTES  # bytes after the text, which keys may read

_CONTROL_BYTES = bytes({*range(32), 127} - set(b"\t\n\r"))
_CONTROL = re.compile(b"[" + re.escape(_CONTROL_BYTES) + b"]")
_SPACE, _LETTER, _MARK = 0, 1, 2
_CLASSES = np.full(256, _LETTER, np.uint8)  # also control characters, and all non-ASCII bytes
_CLASSES[list(b" \t\n\r")] = _SPACE
_CLASSES[list(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")] = _MARK


class WordEncoder(Protocol):
    """Words to ids, such as `WordPieces`."""

    lowercase: bool
    """True if words are lower-cased, by `match`'s caller."""

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of any words in one array, and the number of ids of each word."""
        ...

    def match(
        self, data: bytes, starts: np.ndarray, sizes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the same for words of a normalized text, given by first byte and bytes."""
        ...


class WordCache:
    """Encode texts by looking up their words.

    Args:
        word_encoder: ids of the words that are not in the cache yet.
    """

    def __init__(self, word_encoder: WordEncoder):
        self._word_encoder = word_encoder
        self._table = WordTable(TABLE_BITS)
        self._long: dict[bytes, int] = {}  # words too long for the table
        # word i has the ids _ids[_offsets[i]:_offsets[i + 1]]; both arrays have spare capacity
        self.num_words = 0
        self._offsets = np.zeros(1 << 16, np.int32)
        self._ids = np.zeros(1 << 17, np.int32)

    def encode(self, texts: Sequence[str]) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "texts"]]:
        """Return the ids of all texts in one array, and the number of ids of each text."""
        data = [text.encode("utf-8", "ignore") for text in texts]
        parts = [self._encode_slice(part) for part in _slices(data)]
        if not parts:
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        ids, counts = zip(*parts, strict=True)
        return np.concatenate(ids), np.concatenate(counts)

    def _encode_slice(self, texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        data = b" ".join(texts) + b" " * PADDING
        starts, ends = _word_bounds(data)
        sizes = ends - starts
        keys = Keys(data, starts, sizes)
        numbers = self._table.find(keys)
        for i in np.flatnonzero(sizes > KEY_BYTES).tolist():
            numbers[i] = self._long.get(data[starts[i] : ends[i]], -1)
        missing = np.flatnonzero(numbers < 0)
        if missing.size:
            numbers[missing] = self._add_words(
                data, starts[missing], sizes[missing], keys.take(missing)
            )
        first = self._offsets[numbers]
        lengths = self._offsets[numbers + 1] - first
        last = np.cumsum(lengths, dtype=np.int32)
        total = int(last[-1]) if last.size else 0
        flat = self._ids[
            np.repeat(first + lengths - last, lengths) + np.arange(total, dtype=np.int32)
        ]
        text_ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
        words_before = np.searchsorted(starts, text_ends)
        return flat, np.diff(np.concatenate([[0], last])[words_before], prepend=0)

    def _add_words(
        self, data: bytes, starts: np.ndarray, sizes: np.ndarray, keys: Keys
    ) -> np.ndarray:
        """Tokenize words that the table lacks, insert them, and return their numbers.

        Short words of letters and digits, or a single mark, are matched in place; others are
        normalized first. Once there are MAX_WORDS, numbers of further words are valid only until
        the next call.
        """
        plain = keys.ascii & (sizes <= MAX_SHORT_BYTES)
        if len(data.translate(None, _CONTROL_BYTES)) < len(data):
            bounds = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
            plain &= [_CONTROL.search(data, start, end) is None for start, end in bounds]
        numbers = np.empty(len(starts), np.int32)
        next_number = self.num_words

        easy = np.flatnonzero(plain)
        new, inverse = keys.take(easy).unique()
        text = data.lower() if self._word_encoder.lowercase else data
        ids, counts = self._word_encoder.match(text, starts[easy][new], sizes[easy][new])
        self._append_ids(next_number, ids, counts)
        numbers[easy] = next_number + inverse
        self._insert(keys.take(easy[new]), next_number + np.arange(len(new)))
        next_number += len(new)

        hard = np.flatnonzero(~plain)
        bounds = zip(starts[hard].tolist(), (starts + sizes)[hard].tolist(), strict=True)
        words = [data[start:end] for start, end in bounds]
        index_of = {word: index for index, word in enumerate(words)}
        number_of = {word: next_number + i for i, word in enumerate(index_of)}
        ids, counts = self._word_encoder.encode([word.decode() for word in index_of])
        self._append_ids(next_number, ids, counts)
        numbers[hard] = [number_of[word] for word in words]
        new = hard[np.fromiter(index_of.values(), np.int64, len(index_of))]
        short = sizes[new] <= KEY_BYTES
        self._insert(keys.take(new[short]), numbers[new[short]])
        self._long |= {
            word: number
            for word, number in number_of.items()
            if len(word) > KEY_BYTES and number < MAX_WORDS
        }
        self.num_words = min(next_number + len(index_of), MAX_WORDS)
        return numbers

    def _insert(self, keys: Keys, numbers: np.ndarray) -> None:
        """Insert words into the table, except those numbered MAX_WORDS or more."""
        kept = np.flatnonzero(numbers < MAX_WORDS)
        self._table.insert(keys.take(kept), numbers[kept])

    def _append_ids(self, number: int, ids: np.ndarray, counts: np.ndarray) -> None:
        """Store the ids of words `number`, `number` + 1, …"""
        start, first = int(self._offsets[number]), number + 1
        self._offsets = _grow(self._offsets, first + len(counts))
        self._offsets[first : first + len(counts)] = start + np.cumsum(counts)
        self._ids = _grow(self._ids, start + len(ids))
        self._ids[start : start + len(ids)] = ids


def _grow(array: np.ndarray, size: int) -> np.ndarray:
    """Return the array, or a longer copy with room for at least `size` values."""
    if size <= len(array):
        return array
    return np.concatenate([array, np.zeros(max(size - len(array), len(array)), array.dtype)])


def _word_bounds(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends of words: runs of letters, and single marks."""
    classes = _CLASSES[np.frombuffer(data, np.uint8)]  # ends in spaces
    letter, mark = classes == _LETTER, classes == _MARK
    starts = letter | mark
    starts[1:] &= ~(letter[1:] & letter[:-1])
    ends = letter | mark  # last bytes of words
    ends[:-1] &= ~(letter[1:] & letter[:-1])
    return np.flatnonzero(starts), np.flatnonzero(ends) + 1


def _slices(texts: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    """Cut a sequence of texts into slices of about SLICE_BYTES."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    cuts = np.flatnonzero(np.diff(ends // SLICE_BYTES)) + 1
    bounds = [0, *cuts.tolist(), len(texts)]
    return [texts[start:end] for start, end in itertools.pairwise(bounds) if end > start]
