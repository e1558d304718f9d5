"""A word cache in front of `tokenizers`: the same ids, many times faster, in NumPy.

A text's UTF-8 bytes are cut at white space and around ASCII punctuation. A word of up to 16 bytes
is two 64-bit integers, which are its key in an open-addressing hash table of arrays: a text becomes
ids by a handful of array operations, and Python runs only for words not met before. The table holds
whole keys, so a word is never mistaken for another.

Why this equals `tokenizers`: no rule of BERT's normaliser or pre-tokeniser looks across ASCII white
space, and each ASCII punctuation character is a word of its own. Words that are not plain letters
and digits go through the normaliser and the pre-tokeniser of `tokenizers` themselves. The tests
compare the two on hard strings.
"""

import itertools
import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer as FastTokenizer

from bert_jax.data.wordpieces import LONGEST, WordPieces
from bert_jax.data.wordtable import KEY_BYTES, Keys, WordTable

TABLE_BITS = 20
MAX_WORDS = 400_000  # words in the table; later ones are looked up one by one
SLICE_BYTES = 1 << 19  # bytes that are worked on at a time: bounds memory and stays in the cache
PADDING = 2 * KEY_BYTES  # bytes behind the text, which keys may read

_CONTROL_BYTES = bytes({*range(32), 127} - set(b"\t\n\r"))
_CONTROL = re.compile(b"[" + re.escape(_CONTROL_BYTES) + b"]")
_SPACE, _LETTER, _MARK = 0, 1, 2
_CLASSES = np.full(256, _LETTER, np.uint8)  # also control characters, and all beyond ASCII
_CLASSES[list(b" \t\n\r")] = _SPACE
_CLASSES[list(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")] = _MARK


class WordCache:
    """Encodes texts by looking up their words.

    Args:
        fast: `tokenizers`' pipeline: BERT's normaliser and pre-tokeniser, a WordPiece model.
        ids: the vocabulary, token → id.
        unk_id: id of [UNK].
    """

    def __init__(self, fast: FastTokenizer, ids: dict[str, int], unk_id: int):
        self._word_pieces = WordPieces(fast, ids, unk_id)
        self._table = WordTable(TABLE_BITS)
        self._long: dict[bytes, int] = {}  # words too long for the table
        # word i has the ids _ids[_offsets[i]:_offsets[i + 1]]; both have room to grow
        self.num_words = 0
        self._offsets = np.zeros(1 << 16, np.int32)
        self._ids = np.zeros(1 << 17, np.int32)

    def encode(self, texts: Sequence[str]) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "texts"]]:
        """The ids of all texts in one array, and how many each text has."""
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
        for place in np.flatnonzero(sizes > KEY_BYTES).tolist():
            numbers[place] = self._long.get(data[starts[place] : ends[place]], -1)
        missing = np.flatnonzero(numbers < 0)
        if missing.size:
            numbers[missing] = self._learn(
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

    def _learn(self, data: bytes, starts: np.ndarray, sizes: np.ndarray, keys: Keys) -> np.ndarray:
        """Tokenises words that the table lacks, enters them, and gives their numbers.

        Short words of letters and digits, or a single mark, are matched where they stand in the
        text; others are normalised first. Once MAX_WORDS are there, numbers of further words hold
        until the next call only.
        """
        plain = keys.ascii & (sizes <= LONGEST)
        if len(data.translate(None, _CONTROL_BYTES)) < len(data):
            bounds = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
            plain &= [_CONTROL.search(data, start, end) is None for start, end in bounds]
        numbers = np.empty(len(starts), np.int32)
        behind = self.num_words  # where the next word's ids go

        easy = np.flatnonzero(plain)
        new, places = keys.take(easy).distinct()
        text = data.lower() if self._word_pieces.lowercase else data
        self._append(behind, *self._word_pieces.match(text, starts[easy][new], sizes[easy][new]))
        numbers[easy] = behind + places
        self._enter(keys.take(easy[new]), behind + np.arange(len(new)))
        behind += len(new)

        hard = np.flatnonzero(~plain)
        bounds = zip(starts[hard].tolist(), (starts + sizes)[hard].tolist(), strict=True)
        words = [data[start:end] for start, end in bounds]
        place_of = {word: place for place, word in enumerate(words)}
        number_of = {word: behind + index for index, word in enumerate(place_of)}
        self._append(behind, *self._word_pieces.encode([word.decode() for word in place_of]))
        numbers[hard] = [number_of[word] for word in words]
        new = hard[np.fromiter(place_of.values(), np.int64, len(place_of))]
        short = sizes[new] <= KEY_BYTES
        self._enter(keys.take(new[short]), numbers[new[short]])
        self._long |= {
            word: number
            for word, number in number_of.items()
            if len(word) > KEY_BYTES and number < MAX_WORDS
        }
        self.num_words = min(behind + len(place_of), MAX_WORDS)
        return numbers

    def _enter(self, keys: Keys, numbers: np.ndarray) -> None:
        """Enters words into the table, as far as they may stay."""
        stay = np.flatnonzero(numbers < MAX_WORDS)
        self._table.insert(keys.take(stay), numbers[stay])

    def _append(self, number: int, ids: np.ndarray, counts: np.ndarray) -> None:
        """Writes the ids of words `number`, `number` + 1, …"""
        start, after = int(self._offsets[number]), number + 1
        self._offsets = _with_room(self._offsets, after + len(counts))
        self._offsets[after : after + len(counts)] = start + np.cumsum(counts)
        self._ids = _with_room(self._ids, start + len(ids))
        self._ids[start : start + len(ids)] = ids


def _with_room(array: np.ndarray, size: int) -> np.ndarray:
    """The array, or a copy with room for at least `size` values."""
    if size <= len(array):
        return array
    return np.concatenate([array, np.zeros(max(size - len(array), len(array)), array.dtype)])


def _word_bounds(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where words start and end: runs of letters, and each mark alone."""
    classes = _CLASSES[np.frombuffer(data, np.uint8)]  # ends in spaces
    letter, mark = classes == _LETTER, classes == _MARK
    starts = letter | mark
    starts[1:] &= ~(letter[1:] & letter[:-1])
    ends = letter | mark  # of the character before
    ends[:-1] &= ~(letter[1:] & letter[:-1])
    return np.flatnonzero(starts), np.flatnonzero(ends) + 1


def _slices(texts: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    """Cuts a sequence of texts into stretches of about SLICE_BYTES."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    cuts = np.flatnonzero(np.diff(ends // SLICE_BYTES)) + 1
    bounds = [0, *cuts.tolist(), len(texts)]
    return [texts[start:end] for start, end in itertools.pairwise(bounds) if end > start]
