"""Find the texts that may hold an added token, by their words, as fast as the word cache is."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer as FastTokenizer

from bert_jax.tokenizer.rules import AddedToken
from bert_jax.tokenizer.wordcache import WordCache

MAX_PREFIX = 4  # characters by which a word is searched for clues
_BREAKS = re.compile(r"([!-/:-@\[-`{-~])|[ \t\n\r]+")  # where the word cache splits words


class AddedTokenFinder:
    """Find the texts that may hold one of some added tokens; the others cannot.

    Only white space and ASCII punctuation separate the words of the cache, and normalization
    changes each character by itself. So a text with an added token has a word that contains, once
    normalized, each piece of the normalized token between such separators: here the longest.

    Args:
        fast: `tokenizers`' pipeline: BERT's normalizer.
        added: the tokens.
    """

    def __init__(self, fast: FastTokenizer, added: Iterable[AddedToken]):
        normalize = fast.normalizer.normalize_str
        pieces = [_BREAKS.split(normalize(token.content)) for token in added]
        longest = [max(filter(None, split), key=len, default="") for split in pieces]
        self._in_any_text = "" in longest  # a token of white space only
        self._cache = WordCache(_Clues(fast, longest))

    def find(self, texts: Sequence[str]) -> list[int]:
        """Return the indices of the texts that may hold an added token."""
        if self._in_any_text:
            return list(range(len(texts)))
        return np.flatnonzero(self._cache.encode(texts)[1]).tolist()


class _Clues:
    """Words to "ids", in place of `WordPieces`: one id for a word with a clue, none for others.

    Args:
        fast: `tokenizers`' pipeline: BERT's normalizer.
        clues: the strings to search words for.
    """

    def __init__(self, fast: FastTokenizer, clues: Iterable[str]):
        self._normalize = fast.normalizer.normalize_str
        self.lowercase = fast.normalizer.lowercase
        self._clues: dict[str, set[str]] = {}  # by prefix
        for clue in clues:
            self._clues.setdefault(clue[:MAX_PREFIX], set()).add(clue)
        self._sizes = sorted({len(prefix) for prefix in self._clues})

    def encode(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Search words that are not normalized; see `WordPieces.encode`."""
        return self._search(self._normalize("|".join(words)).split("|") if words else [])

    def match(
        self, data: bytes, starts: np.ndarray, sizes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search words of a normalized text; see `WordPieces.match`."""
        bounds = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
        return self._search([data[start:end].decode() for start, end in bounds])

    def _search(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        counts = np.fromiter(map(self._has_clue, words), np.int64, len(words))
        return np.zeros(counts.sum(), np.int32), counts

    def _has_clue(self, word: str) -> bool:
        return any(
            word.startswith(clue, start)
            for size in self._sizes
            for start in range(len(word) - size + 1)
            for clue in self._clues.get(word[start : start + size], ())
        )
