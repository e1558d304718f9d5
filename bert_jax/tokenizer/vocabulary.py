"""Deterministic training of a WordPiece vocabulary.

`tokenizers`' trainer assigns the ids of "##x" characters in the order of a hash map, which differs
between runs and breaks ties differently. Here the alphabet is computed first and passed to the
trainer in a fixed order, so that every id, and with it every tie, is a function of the text.
"""

import itertools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers, trainers

from bert_jax.errors import DataError
from bert_jax.tokenizer.tokenizer import MAX_WORD_CHARS, SPECIAL_TOKENS, Casing

COVERAGE = 0.9998  # share of all characters that the alphabet covers; rarer ones become [UNK]
ALPHABET_SHARE = 0.3  # of the vocabulary, at most, is the alphabet
COUNT_CHARS = 1 << 18  # characters in a block for counting
TRAIN_CHARS = 1 << 13  # characters in a block for the trainer, which holds hundreds of them at once
# words that are [UNK] with any vocabulary, and for which the trainer needs quadratic time
_TOO_LONG = re.compile(rf"[^\W\u3400-\u9fff\uf900-\ufaff]{{{MAX_WORD_CHARS + 1},}}")


def train_vocab(texts: Callable[[], Iterator[str]], size: int, casing: Casing) -> list[str]:
    """Train a vocabulary on texts: special tokens, alphabet, then pieces in the order of merging.

    Args:
        texts: returns the texts; called twice, for the alphabet and for the words, so that they
            need not fit in memory.
        size: number of tokens; fewer if the texts do not have that many pieces.
        casing: normalization of letters.

    Raises:
        DataError: the texts have no characters.
    """
    alphabet = choose_alphabet(count_characters(texts(), casing), int(size * ALPHABET_SHARE))
    if not alphabet:
        raise DataError(
            "the text has no characters to train a vocabulary from",
            "readable text",
            "check the input files",
        )
    fixed = [*SPECIAL_TOKENS, *alphabet, *(f"##{c}" for c in alphabet if _can_continue(c))]
    fast = FastTokenizer(models.WordPiece(unk_token="[UNK]"))
    fast.normalizer = casing.normalizer()  # pyrefly: ignore
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyrefly: ignore
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(size, len(fixed)),
        min_frequency=2,
        special_tokens=fixed,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    fast.train_from_iterator(
        (_TOO_LONG.sub(" ", b) for b in _join_lines(texts(), TRAIN_CHARS)), trainer
    )
    vocab = fast.get_vocab()
    return sorted(vocab, key=vocab.__getitem__)


def count_characters(texts: Iterable[str], casing: Casing) -> Counter[str]:
    """Count the characters of texts after normalization."""
    raw = np.zeros(sys.maxunicode + 1, np.int64)
    for block in _join_lines(texts, COUNT_CHARS):
        codes = np.frombuffer(block.encode("utf-32-le"), np.uint32)
        raw += np.bincount(codes, minlength=len(raw))
    normalize = casing.normalizer().normalize_str
    characters: Counter[str] = Counter()
    for code in np.flatnonzero(raw).tolist():
        for character in normalize(chr(code)):
            if not character.isspace():
                characters[character] += int(raw[code])
    return characters


def choose_alphabet(characters: Counter[str], max_size: int) -> list[str]:
    """Return the most frequent characters, sorted: COVERAGE of the text, at most `max_size`."""
    target = COVERAGE * characters.total()
    alphabet, covered = [], 0
    for character in sorted(characters, key=lambda c: (-characters[c], c))[:max_size]:
        if covered >= target:
            break
        alphabet.append(character)
        covered += characters[character]
    return sorted(alphabet)


def _can_continue(character: str) -> bool:
    """Return whether a character can follow another in a word.

    Punctuation and ideographs cannot: they are words of their own.
    """
    ideograph = unicodedata.name(character, "").startswith("CJK UNIFIED IDEOGRAPH")
    ascii_mark = character.isascii() and not character.isalnum()
    return not (ideograph or ascii_mark or unicodedata.category(character).startswith("P"))


def _join_lines(texts: Iterable[str], block_chars: int) -> Iterator[str]:
    """Join the lines of texts to blocks of about `block_chars`."""
    block, size = [], 0
    for line in itertools.chain.from_iterable(text.split("\n") for text in texts):
        block.append(line)
        size += len(line)
        if size >= block_chars:
            yield "\n".join(block)
            block, size = [], 0
    if block:
        yield "\n".join(block)
