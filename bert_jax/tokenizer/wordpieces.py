"""Vectorized WordPiece: many words at once, by the rules of `tokenizers`."""

import itertools
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer as FastTokenizer

from bert_jax.tokenizer.wordtable import KEY_BYTES, Keys, WordTable

MAX_SHORT_BYTES = KEY_BYTES - 1  # of a short word; longer ones are matched in plain Python
STRAGGLERS = 32  # for the last words, as few as these, plain Python is faster


class WordPieces:
    """Words to ids.

    A word has no ASCII white space, and either is one ASCII punctuation character or has none.

    Args:
        fast: `tokenizers`' pipeline: BERT's normalizer and pre-tokenizer, a WordPiece model.
        ids: the vocabulary, token → id.
        unk_id: id of [UNK].
    """

    def __init__(self, fast: FastTokenizer, ids: dict[str, int], unk_id: int):
        self._normalize = fast.normalizer.normalize_str
        self._pre_tokenize = fast.pre_tokenizer.pre_tokenize_str
        self.lowercase = fast.normalizer.lowercase
        self._max_chars = fast.model.max_input_chars_per_word
        self._unk_id = unk_id
        self._start = {token.encode(): index for token, index in ids.items()}
        self._inside = {t[2:].encode(): i for t, i in ids.items() if t[:2] == "##" and t != "##"}
        self._table = _make_table(self._start, self._inside)
        self._longest = max(map(len, self._start))
        self._letters = {chr(code) for code in range(128) if chr(code).isalnum()}
        self._separators: set[str] = set()  # characters at which words are split

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of any words in one array, and the number of ids of each word."""
        # "|" is in no word but itself, and in no other character's normal form
        parts: list[bytes] = []
        word_ends = []
        for word in self._normalize("|".join(words)).split("|") if words else []:
            parts += [part.encode() for part in self._split_word(word)]
            word_ends.append(len(parts))
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        ids, counts = self.match(b"".join(parts), np.cumsum(sizes) - sizes, sizes)
        ends = np.concatenate([[0], np.cumsum(counts)])[word_ends]
        return ids, np.diff(ends, prepend=0)

    def _split_word(self, word: str) -> list[str]:
        """Split a normalized word as the pre-tokenizer does."""
        characters = set(word)
        for character in characters - self._letters - self._separators:
            parts = [part for part, _ in self._pre_tokenize(f"a{character}a")]
            is_letter = parts == [f"a{character}a"]
            (self._letters if is_letter else self._separators).add(character)
        if characters <= self._letters:
            return [word] if word else []
        return [part for part, _ in self._pre_tokenize(word)]

    def match(
        self, data: bytes, starts: np.ndarray, sizes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokenize words of a normalized text by greedy longest match.

        Args:
            data: the text.
            starts: first byte of each word.
            sizes: bytes of each word.

        Returns:
            The ids of all words in one array, and the number of ids of each word.
        """
        owners, pieces = self._match_short(data, starts, sizes)
        matched = np.zeros(len(starts), bool)
        matched[owners] = True
        rest = np.flatnonzero(~matched).tolist()
        rest_pieces = [self._match_one(data[starts[i] : starts[i] + sizes[i]]) for i in rest]
        rest_owners = np.repeat(rest, list(map(len, rest_pieces))).astype(np.int64)
        owners = np.concatenate([owners, rest_owners])
        pieces = np.concatenate([pieces, _flatten(rest_pieces)])
        order = np.argsort(owners, kind="stable")
        return pieces[order], np.bincount(owners, minlength=len(starts))

    def _match_short(
        self, data: bytes, starts: np.ndarray, sizes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Match short words: return the word that each piece belongs to, and its id, in order.

        All words advance together: if a word's candidate piece is a token, the word continues after
        it; otherwise the candidate becomes one byte shorter. Long words, and the last few
        stragglers, get no pieces.
        """
        data += bytes(2 * KEY_BYTES)
        ends = starts + sizes
        words = np.flatnonzero(sizes <= MAX_SHORT_BYTES)
        begins, stops = starts[words], ends[words]  # of each word's candidate piece
        unfinished = np.zeros(len(starts), bool)
        unknown = np.zeros(len(starts), bool)
        owners, pieces = [words[:0]], [np.zeros(0, np.int32)]
        while words.size > STRAGGLERS:
            ids = self._table.find(_keys(data, begins, stops - begins, begins > starts[words]))
            hit = ids >= 0
            owners.append(words[hit])
            pieces.append(ids[hit])
            begins = np.where(hit, stops, begins)
            stops = np.where(hit, ends[words], stops - 1)
            unknown[words[(stops == begins) & ~hit]] = True
            left = stops > begins
            words, begins, stops = words[left], begins[left], stops[left]
        unfinished[words] = True
        owner, piece = np.concatenate(owners), np.concatenate(pieces)
        complete = ~(unknown | unfinished)[owner]
        unknown_words = np.flatnonzero(unknown)
        unk_ids = np.full(len(unknown_words), self._unk_id, np.int32)
        return (
            np.concatenate([owner[complete], unknown_words]),
            np.concatenate([piece[complete], unk_ids]),
        )

    def _match_one(self, word: bytes) -> list[int]:
        """Return the ids of one word."""
        if len(word.decode()) > self._max_chars:
            return [self._unk_id]
        pieces, start, table = [], 0, self._start
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                piece = table.get(word[start:end])
                if piece is not None:
                    break
            else:
                return [self._unk_id]
            pieces.append(piece)
            start, table = end, self._inside
        return pieces


def _flatten(lists: Sequence[Sequence[int]]) -> np.ndarray:
    return np.fromiter(itertools.chain.from_iterable(lists), np.int32)


def _keys(data: bytes, starts: np.ndarray, sizes: np.ndarray, inside: np.ndarray) -> Keys:
    """Make keys whose last byte marks pieces inside a word, the "##" ones."""
    keys = Keys(data, starts, sizes)
    keys.mark(inside)
    return keys


def _make_table(start: dict[bytes, int], inside: dict[bytes, int]) -> WordTable:
    """Build the table of all tokens that can be keys, with their ids."""
    tokens = [
        (piece, index, is_inside)
        for vocab, is_inside in ((start, False), (inside, True))
        for piece, index in vocab.items()
        if 0 < len(piece) <= MAX_SHORT_BYTES
    ]
    sizes = np.array([len(piece) for piece, _, _ in tokens])
    data = b"".join(piece for piece, _, _ in tokens) + bytes(2 * KEY_BYTES)
    marks = np.array([is_inside for _, _, is_inside in tokens])
    table = WordTable((2 * len(tokens)).bit_length())
    ids = np.array([index for _, index, _ in tokens], np.int32)
    table.insert(_keys(data, np.cumsum(sizes) - sizes, sizes, marks), ids)
    return table
