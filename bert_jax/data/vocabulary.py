"""Training a WordPiece vocabulary, the same on every run.

`tokenizers`' trainer gives the ids of "##x" characters in the order of a hash map, which differs
between runs and breaks ties differently. Here the alphabet is worked out first and handed to the
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

from bert_jax.data.tokenizer import MAX_WORD_CHARS, SPECIAL_TOKENS, Casing
from bert_jax.errors import DataError

COVERAGE = 0.9998  # share of all characters that the alphabet covers; rarer ones become [UNK]
ALPHABET_SHARE = 0.3  # of the vocabulary, at most, goes to the alphabet's characters
COUNT_CHARS = 1 << 18  # characters that are counted together
TRAIN_CHARS = 1 << 13  # characters in a text for the trainer, which holds hundreds of them at once
# words that are [UNK] whatever the vocabulary, and over which the trainer takes quadratic time
_TOO_LONG = re.compile(rf"[^\W\u3400-\u9fff\uf900-\ufaff]{{{MAX_WORD_CHARS + 1},}}")


def train_vocab(texts: Callable[[], Iterator[str]], size: int, casing: Casing) -> list[str]:
    """The tokens of a vocabulary learned from texts: special tokens, alphabet, then pieces as they
    were merged.

    Args:
        texts: gives the texts; called twice, for the alphabet and for the words, so that they need
            not fit in memory.
        size: number of tokens; fewer if the texts do not have that many pieces.
        casing: what happens to letters before.
    """
    alphabet = choose_alphabet(count_characters(texts(), casing), int(size * ALPHABET_SHARE))
    if not alphabet:
        raise DataError(
            "the text has no characters to train a vocabulary from",
            "readable text",
            "check the input files",
        )
    fixed = [*SPECIAL_TOKENS, *alphabet, *(f"##{c}" for c in alphabet if _goes_inside(c))]
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
        (_TOO_LONG.sub(" ", b) for b in _blocks(texts(), TRAIN_CHARS)), trainer
    )
    vocab = fast.get_vocab()
    return sorted(vocab, key=vocab.__getitem__)


def count_characters(texts: Iterable[str], casing: Casing) -> Counter[str]:
    """How often each character occurs in texts once they are normalised."""
    raw = np.zeros(sys.maxunicode + 1, np.int64)
    for block in _blocks(texts, COUNT_CHARS):
        codes = np.frombuffer(block.encode("utf-32-le"), np.uint32)
        raw += np.bincount(codes, minlength=len(raw))
    normalize = casing.normalizer().normalize_str
    characters: Counter[str] = Counter()
    for code in np.flatnonzero(raw).tolist():
        for character in normalize(chr(code)):
            if not character.isspace():
                characters[character] += int(raw[code])
    return characters


def choose_alphabet(characters: Counter[str], most: int) -> list[str]:
    """The most frequent characters, up to COVERAGE of the text and `most` in number, sorted."""
    wanted = COVERAGE * characters.total()
    alphabet, covered = [], 0
    for character in sorted(characters, key=lambda c: (-characters[c], c))[:most]:
        if covered >= wanted:
            break
        alphabet.append(character)
        covered += characters[character]
    return sorted(alphabet)


def _goes_inside(character: str) -> bool:
    """Whether a character can follow another in a word: punctuation and ideographs are words of
    their own.
    """
    wide = unicodedata.name(character, "").startswith("CJK UNIFIED IDEOGRAPH")
    ascii_mark = character.isascii() and not character.isalnum()
    return not (wide or ascii_mark or unicodedata.category(character).startswith("P"))


def _blocks(texts: Iterable[str], block_chars: int) -> Iterator[str]:
    """The lines of texts, joined to blocks of about `block_chars`."""
    block, size = [], 0
    for line in itertools.chain.from_iterable(text.split("\n") for text in texts):
        block.append(line)
        size += len(line)
        if size >= block_chars:
            yield "\n".join(block)
            block, size = [], 0
    if block:
        yield "\n".join(block)
