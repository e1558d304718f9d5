"""WordPiece for many words at once, by the rules of `tokenizers`."""

import itertools
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer as FastTokenizer

from bert_jax.data.wordtable import KEY_BYTES, Keys, WordTable

LONGEST = KEY_BYTES - 1  # bytes of a word that is matched together with others
STRAGGLERS = 32  # from so few words on, plain Python is faster


class WordPieces:
    """Words to ids. A word has no ASCII white space, and is or has no ASCII punctuation.

    Args:
        fast: `tokenizers`' pipeline: BERT's normaliser and pre-tokeniser, a WordPiece model.
        ids: the vocabulary, token → id.
        unk_id: id of [UNK].
    """

    def __init__(self, fast: FastTokenizer, ids: dict[str, int], unk_id: int):
        self._normalize = fast.normalizer.normalize_str
        self._cut = fast.pre_tokenizer.pre_tokenize_str
        self.lowercase = fast.normalizer.lowercase
        self._max_chars = fast.model.max_input_chars_per_word
        self._unk_id = unk_id
        self._start = {token.encode(): index for token, index in ids.items()}
        self._inside = {t[2:].encode(): i for t, i in ids.items() if t[:2] == "##" and t != "##"}
        self._table = _table(self._start, self._inside)
        self._longest = max(map(len, self._start))
        self._letters = {chr(code) for code in range(128) if chr(code).isalnum()}
        self._others: set[str] = set()  # characters at which words are cut

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of any words in one array, and how many each word has."""
        # "|" is in no word but itself, and in no other character's normal form
        parts: list[bytes] = []
        ends_of_words = []
        for word in self._normalize("|".join(words)).split("|") if words else []:
            parts += [part.encode() for part in self._parts(word)]
            ends_of_words.append(len(parts))
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        ids, counts = self.match(b"".join(parts), np.cumsum(sizes) - sizes, sizes)
        ends = np.concatenate([[0], np.cumsum(counts)])[ends_of_words]
        return ids, np.diff(ends, prepend=0)

    def _parts(self, word: str) -> list[str]:
        """What the pre-tokeniser cuts a normalised word into."""
        characters = set(word)
        for character in characters - self._letters - self._others:
            whole = [part for part, _ in self._cut(f"a{character}a")] == [f"a{character}a"]
            (self._letters if whole else self._others).add(character)
        if characters <= self._letters:
            return [word] if word else []
        return [part for part, _ in self._cut(word)]

    def match(
        self, data: bytes, starts: np.ndarray, sizes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The longest token that fits, again and again, in all words of a normalised text."""
        owners, pieces = self._match_short(data, starts, sizes)
        matched = np.zeros(len(starts), bool)
        matched[owners] = True
        rest = np.flatnonzero(~matched).tolist()
        found = [self._match_one(data[starts[i] : starts[i] + sizes[i]]) for i in rest]
        more = np.repeat(rest, list(map(len, found))).astype(np.int64)
        owners = np.concatenate([owners, more])
        pieces = np.concatenate([pieces, _flat(found)])
        order = np.argsort(owners, kind="stable")
        return pieces[order], np.bincount(owners, minlength=len(starts))

    def _match_short(
        self, data: bytes, starts: np.ndarray, sizes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of short words: the word that each belongs to, and its id, in order.

        All words take a step together: where the stretch that a word looks at is a token, it goes
        on behind it, else it looks at one byte less. Long words, and the last few stragglers, get
        no pieces.
        """
        data += bytes(2 * KEY_BYTES)
        ends = starts + sizes
        words = np.flatnonzero(sizes <= LONGEST)
        at, stops = starts[words], ends[words]
        unfinished = np.zeros(len(starts), bool)
        unknown = np.zeros(len(starts), bool)
        owners, pieces = [words[:0]], [np.zeros(0, np.int32)]
        while words.size > STRAGGLERS:
            ids = self._table.find(_keys(data, at, stops - at, at > starts[words]))
            hit = ids >= 0
            owners.append(words[hit])
            pieces.append(ids[hit])
            at = np.where(hit, stops, at)
            last = ends[words]
            stops = np.where(hit, last, stops - 1)
            unknown[words[(stops == at) & ~hit]] = True
            left = stops > at
            words, at, stops = words[left], at[left], stops[left]
        unfinished[words] = True
        owner, piece = np.concatenate(owners), np.concatenate(pieces)
        good = ~(unknown | unfinished)[owner]
        lost = np.flatnonzero(unknown)
        return (
            np.concatenate([owner[good], lost]),
            np.concatenate([piece[good], np.full(len(lost), self._unk_id, np.int32)]),
        )

    def _match_one(self, word: bytes) -> list[int]:
        """The ids of one word."""
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


def _flat(lists: Sequence[Sequence[int]]) -> np.ndarray:
    return np.fromiter(itertools.chain.from_iterable(lists), np.int32)


def _keys(data: bytes, starts: np.ndarray, sizes: np.ndarray, inside: np.ndarray) -> Keys:
    """Keys in which the last byte says whether a piece goes on with a word."""
    keys = Keys(data, starts, sizes)
    keys.mark(inside)
    return keys


def _table(start: dict[bytes, int], inside: dict[bytes, int]) -> WordTable:
    """All tokens that can be keys, with their ids."""
    tokens = [
        (piece, index, continues)
        for of_kind, continues in ((start, False), (inside, True))
        for piece, index in of_kind.items()
        if 0 < len(piece) <= LONGEST
    ]
    sizes = np.array([len(piece) for piece, _, _ in tokens])
    data = b"".join(piece for piece, _, _ in tokens) + bytes(2 * KEY_BYTES)
    marks = np.array([continues for _, _, continues in tokens])
    table = WordTable((2 * len(tokens)).bit_length())
    numbers = np.array([index for _, index, _ in tokens], np.int32)
    table.insert(_keys(data, np.cumsum(sizes) - sizes, sizes, marks), numbers)
    return table
