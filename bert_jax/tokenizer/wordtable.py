"""Vectorized hash table in NumPy: words of up to 16 bytes to numbers, by open addressing."""

import copy

import numpy as np

KEY_BYTES = 16  # longest word that is a key

_KEEP = [(1 << 8 * n) - 1 for n in range(9)]  # the first n of eight bytes
_KEEP_FIRST = np.array(_KEEP + _KEEP[-1:] * 8, np.uint64)
_KEEP_SECOND = np.array([0] * 8 + _KEEP, np.uint64)
_HIGH_BITS = np.uint64(0x8080808080808080)
_MIX_FIRST, _MIX_SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


class Keys:
    """Words in a text as keys: their first eight bytes, the next eight, and a hash.

    Args:
        data: the text, with at least KEY_BYTES bytes after the last word.
        starts: first byte of each word.
        sizes: bytes of each word; only the first KEY_BYTES count.
    """

    def __init__(self, data: bytes, starts: np.ndarray, sizes: np.ndarray):
        every_eight = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))  # overlapping
        size = np.minimum(sizes, KEY_BYTES)
        self.first = every_eight[starts] & _KEEP_FIRST[size]
        self.second = every_eight[starts + 8] & _KEEP_SECOND[size]
        self.hashes = self._hash()

    def take(self, indices: np.ndarray) -> "Keys":
        """Return the keys at these indices."""
        taken = copy.copy(self)
        taken.first, taken.second = self.first[indices], self.second[indices]
        taken.hashes = self.hashes[indices]
        return taken

    def unique(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first index of each distinct word, and for every word its index in that list.

        These are `np.unique`'s `return_index` and `return_inverse`.
        """
        order = np.lexsort((self.second, self.first))
        first, second = self.first[order], self.second[order]
        new = np.ones(len(order), bool)
        new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        inverse = np.empty(len(order), np.int64)
        inverse[order] = np.cumsum(new) - 1
        return order[new], inverse

    @property
    def ascii(self) -> np.ndarray:
        """True for each word of ASCII characters only."""
        return (self.first | self.second) & _HIGH_BITS == 0

    def mark(self, flags: np.ndarray) -> None:
        """Make keys of flagged words differ from those of unflagged ones, by the last byte."""
        self.second |= flags.astype(np.uint64) << np.uint64(56)
        self.hashes = self._hash()

    def _hash(self) -> np.ndarray:
        return (self.first * _MIX_FIRST ^ self.second * _MIX_SECOND) * _MIX_FIRST


class WordTable:
    """Words to numbers; whole words are stored, so that none is ever mistaken for another.

    Args:
        bits: log2 of the number of slots, which should be at least twice the number of words.
    """

    def __init__(self, bits: int):
        self._shift = np.uint64(64 - bits)
        self._mask = (1 << bits) - 1
        self._first = np.zeros(1 << bits, np.uint64)
        self._second = np.zeros(1 << bits, np.uint64)
        self._number = np.full(1 << bits, -1, np.int32)  # −1 = empty slot

    def find(self, keys: Keys) -> np.ndarray:
        """Return each word's number, −1 if it is not in the table."""
        slots = (keys.hashes >> self._shift).astype(np.int64)
        numbers = self._number[slots]
        same = (self._first[slots] == keys.first) & (self._second[slots] == keys.second)
        wrong = np.flatnonzero(~same & (numbers >= 0))
        while wrong.size:  # another word's slot: probe the next one
            slots[wrong] = (slots[wrong] + 1) & self._mask
            slot = slots[wrong]
            numbers[wrong] = self._number[slot]
            same = self._first[slot] == keys.first[wrong]
            same &= self._second[slot] == keys.second[wrong]
            wrong = wrong[~same & (numbers[wrong] >= 0)]
        return numbers

    def insert(self, keys: Keys, numbers: np.ndarray) -> None:
        """Insert distinct words that are not in the table yet."""
        slots = (keys.hashes >> self._shift).astype(np.int64)
        left = np.arange(len(slots))
        while left.size:
            _, candidates = np.unique(slots[left], return_index=True)  # one word for each slot
            candidates = candidates[self._number[slots[left[candidates]]] < 0]
            done = left[candidates]
            self._number[slots[done]] = numbers[done]
            self._first[slots[done]] = keys.first[done]
            self._second[slots[done]] = keys.second[done]
            left = np.delete(left, candidates)
            slots[left] = (slots[left] + 1) & self._mask
