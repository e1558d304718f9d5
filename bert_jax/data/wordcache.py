"""A word cache in front of `tokenizers`: the same ids, many times faster, in NumPy.

A text's UTF-8 bytes are cut at white space and around ASCII punctuation. A word of up to 16 bytes is two 64-bit
integers, which are its key in an open-addressing hash table of arrays: a text becomes ids by a handful of array
operations, and Python runs only for words not met before. The table holds whole keys, so a word is never mistaken for
another.

Why this equals `tokenizers`: no rule of BERT's normaliser or pre-tokeniser looks across ASCII white space, and each
ASCII punctuation character is a word of its own. Words that are not plain letters and digits go through the
normaliser and the pre-tokeniser of `tokenizers` themselves. The tests compare the two on hard strings.
"""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer as FastTokenizer

SLOT_BITS = 20
MAX_WORDS = 400_000  # words in the table; later ones are looked up one by one
SLICE_BYTES = 1 << 18  # bytes that are worked on at a time: bounds memory and stays in the cache
KEY_BYTES = 16  # longest word in the table

_SPACE, _LETTER, _MARK = 0, 1, 2
_CLASSES = np.full(
    256, _LETTER, np.uint8
)  # control characters and all bytes of non-ASCII characters too
_CLASSES[list(b" \t\n\r")] = _SPACE
_CLASSES[list(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")] = _MARK
_KEEP_BYTES = np.array([(1 << 8 * n) - 1 for n in range(8)] + [2**64 - 1] * 9, np.uint64)
_KEEP_FIRST, _KEEP_SECOND = _KEEP_BYTES, np.concatenate([np.zeros(8, np.uint64), _KEEP_BYTES[:9]])
_MIX_FIRST, _MIX_SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


class WordCache:
    """Encodes texts by looking up their words.

    Args:
        fast: `tokenizers`' pipeline, with BERT's normaliser and pre-tokeniser and a WordPiece model.
        ids: the vocabulary, token → id.
        unk_id: id of [UNK].
    """

    def __init__(self, fast: FastTokenizer, ids: dict[str, int], unk_id: int):
        self._normalizer, self._pre_tokenizer = fast.normalizer, fast.pre_tokenizer
        self._lower = fast.normalizer.lowercase
        self._max_chars = fast.model.max_input_chars_per_word
        self._start = ids
        self._inside = {token[2:]: index for token, index in ids.items() if token[:2] == "##"}
        self._longest = max(map(len, ids))
        self._unk_id = unk_id
        self._first = np.zeros(1 << SLOT_BITS, np.uint64)
        self._second = np.zeros(1 << SLOT_BITS, np.uint64)
        self._number = np.full(1 << SLOT_BITS, -1, np.int32)  # −1 = empty slot
        self._num_words = 0
        # word i has the ids _ids[_offsets[i]:_offsets[i + 1]]; both grow by doubling
        self._offsets = np.zeros(1 << 16, np.int64)
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
        data = b" ".join(texts) + bytes(KEY_BYTES + 1)
        starts, ends = _word_bounds(data)
        sizes = ends - starts
        numbers = self._find(data, starts, sizes)
        extra_ids: list[int] = []
        extra_offsets = [0]
        missing = np.flatnonzero(numbers < 0)
        if missing.size:
            numbers[missing] = self._resolve(
                data, starts[missing], ends[missing], extra_ids, extra_offsets
            )
        offsets, ids = self._offsets, self._ids
        if extra_ids or len(extra_offsets) > 1:
            used = int(offsets[self._num_words])
            offsets = np.concatenate(
                [offsets[: self._num_words + 1], used + np.array(extra_offsets[1:])]
            )
            ids = np.concatenate([ids[:used], np.array(extra_ids, np.int32)])
        first = offsets[numbers]
        lengths = offsets[numbers + 1] - first
        last = np.cumsum(lengths)
        total = int(last[-1]) if last.size else 0
        flat = ids[np.repeat(first - last + lengths, lengths) + np.arange(total)]
        text_ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
        words_before = np.searchsorted(starts, text_ends)
        return flat, np.diff(np.concatenate([[0], last])[words_before], prepend=0)

    def _keys(self, data: bytes, starts: np.ndarray, sizes: np.ndarray):
        """Each word's first and second eight bytes, and its first slot."""
        every_eight = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))  # at every byte
        size = np.minimum(sizes, KEY_BYTES)
        first = every_eight[starts] & _KEEP_FIRST[size]
        second = every_eight[np.minimum(starts + 8, len(data) - 8)] & _KEEP_SECOND[size]
        slots = (first * _MIX_FIRST ^ second * _MIX_SECOND) * _MIX_FIRST
        return first, second, (slots >> np.uint64(64 - SLOT_BITS)).astype(np.int64)

    def _find(self, data: bytes, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Each word's number in the table; −1 = not there."""
        first, second, slots = self._keys(data, starts, sizes)
        numbers = self._number[slots].astype(np.int64)
        right = (self._first[slots] == first) & (self._second[slots] == second)
        wrong = np.flatnonzero(~right & (numbers >= 0))
        while wrong.size:  # another word's slot: look in the next
            slots[wrong] = (slots[wrong] + 1) & ((1 << SLOT_BITS) - 1)
            at = slots[wrong]
            numbers[wrong] = self._number[at]
            right = (self._first[at] == first[wrong]) & (self._second[at] == second[wrong])
            wrong = wrong[~right & (numbers[wrong] >= 0)]
        numbers[sizes > KEY_BYTES] = -1
        return numbers

    def _resolve(self, data, starts, ends, extra_ids, extra_offsets) -> list[int]:
        """Numbers of words that the table lacks: added to it, or, where it cannot hold them, to the extras."""
        known: dict[bytes, int] = {}
        added: list[int] = []
        numbers = []
        bounds = zip(starts.tolist(), ends.tolist(), strict=True)
        for place, (start, end) in enumerate(bounds):
            word = data[start:end]
            number = known.get(word)
            if number is None:
                ids = self._word_ids(word)
                if len(word) <= KEY_BYTES and self._num_words < MAX_WORDS:
                    number = self._append(ids)
                    added.append(place)
                else:
                    number = -len(extra_offsets)  # numbered behind the table once its size is known
                    extra_ids += ids
                    extra_offsets.append(len(extra_ids))
                known[word] = number
            numbers.append(number)
        places = np.array(added, np.int64)
        self._insert(data, starts[places], (ends - starts)[places])
        return [n if n >= 0 else self._num_words - 1 - n for n in numbers]

    def _append(self, ids: list[int]) -> int:
        number, start = self._num_words, int(self._offsets[self._num_words])
        if number + 2 > len(self._offsets):
            self._offsets = np.concatenate([self._offsets, np.zeros_like(self._offsets)])
        while start + len(ids) > len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
        self._ids[start : start + len(ids)] = ids
        self._offsets[number + 1] = start + len(ids)
        self._num_words = number + 1
        return number

    def _insert(self, data: bytes, starts: np.ndarray, sizes: np.ndarray) -> None:
        """Enters the last words appended into the hash table, in order."""
        first, second, slots = self._keys(data, starts, sizes)
        numbers = np.arange(self._num_words - len(starts), self._num_words, dtype=np.int32)
        left = np.arange(len(starts))
        while left.size:
            at = slots[left]
            free = self._number[at] < 0
            _, one_each = np.unique(at, return_index=True)
            chosen = one_each[free[one_each]]
            done = left[chosen]
            self._number[slots[done]] = numbers[done]
            self._first[slots[done]], self._second[slots[done]] = first[done], second[done]
            left = np.delete(left, chosen)
            slots[left] = (slots[left] + (self._number[slots[left]] >= 0)) & ((1 << SLOT_BITS) - 1)

    def _word_ids(self, word: bytes) -> list[int]:
        text = word.decode("utf-8")
        if text.isascii() and (text.isalnum() or len(text) == 1 and text.isprintable()):
            return self._match(text.lower() if self._lower else text)
        words = self._pre_tokenizer.pre_tokenize_str(self._normalizer.normalize_str(text))
        return list(itertools.chain.from_iterable(self._match(part) for part, _ in words))

    def _match(self, word: str) -> list[int]:
        """WordPiece: the longest token that fits, again and again; [UNK] if one time none does."""
        size = len(word)
        if size > self._max_chars:
            return [self._unk_id]
        pieces, start, table = [], 0, self._start
        while start < size:
            for end in range(min(size, start + self._longest), start, -1):
                piece = table.get(word[start:end])
                if piece is not None:
                    break
            else:
                return [self._unk_id]
            pieces.append(piece)
            start, table = end, self._inside
        return pieces


def _word_bounds(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where words start and end: runs of letters, and each mark alone; the padding at the end is left out."""
    classes = _CLASSES[np.frombuffer(data, np.uint8)]
    classes[-KEY_BYTES - 1 :] = _SPACE
    letter = classes == _LETTER
    mark = classes == _MARK
    change = np.flatnonzero(letter[1:] != letter[:-1]) + 1
    if letter[0]:
        change = np.concatenate([[0], change])
    marks = np.flatnonzero(mark)
    starts = np.concatenate([change[::2], marks])
    ends = np.concatenate([change[1::2], marks + 1])
    order = np.argsort(starts, kind="stable")
    return starts[order], ends[order]


def _slices(texts: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    """Cuts a sequence of texts into stretches of about SLICE_BYTES."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    cuts = np.flatnonzero(np.diff(ends // SLICE_BYTES)) + 1
    bounds = [0, *cuts.tolist(), len(texts)]
    return [texts[start:end] for start, end in itertools.pairwise(bounds) if end > start]
