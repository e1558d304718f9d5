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
from bert_jax.progress import Progress
from bert_jax.tokenizer.tokenizer import MAX_WORD_CHARS, SPECIAL_TOKENS, Casing

COVERAGE = 0.9998  # share of all characters that the alphabet covers; rarer ones become [UNK]
ALPHABET_SHARE = 0.3  # of the vocabulary's size: characters in the alphabet, at most …
IDEOGRAPH_SHARE = 0.8  # … but ideographs, which are words, may bring its tokens up to this share
COUNT_CHARS = 1 << 18  # characters in a block for counting
TRAIN_CHARS = 1 << 13  # characters in a block for the trainer, which holds hundreds of them at once


def train_vocab(
    texts: Callable[[], Iterator[str]],
    size: int,
    casing: Casing,
    max_word_chars: int = MAX_WORD_CHARS,
) -> list[str]:
    """Train a vocabulary on texts: special tokens, alphabet, then pieces in the order of merging.

    Tokens that are left over go to the characters that are not in the alphabet.

    Args:
        texts: returns the texts; called twice, for the alphabet and for the words, so that they
            need not fit in memory.
        size: number of tokens; fewer if the texts do not have that many pieces and characters.
        casing: normalization of letters.
        max_word_chars: longer words are [UNK] with any vocabulary, and are left out.

    Raises:
        DataError: the texts have no characters.
    """
    characters = count_characters(texts(), casing)
    alphabet = choose_alphabet(characters, size)
    if not alphabet:
        raise DataError(
            "the text has no characters to train a vocabulary from",
            "readable text",
            "check the input files",
        )
    fixed = [*SPECIAL_TOKENS, *alphabet, *(f"##{c}" for c in alphabet if can_continue(c))]
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
    # The trainer needs quadratic time for a word.
    too_long = re.compile(rf"[^\W\u3400-\u9fff\uf900-\ufaff]{{{max_word_chars + 1},}}")
    blocks = (too_long.sub(" ", block) for block in join_lines(texts(), TRAIN_CHARS))
    with Progress("training the vocabulary"):
        fast.train_from_iterator(blocks, trainer)
    ids = fast.get_vocab()
    vocab = sorted(ids, key=ids.__getitem__)
    for character in by_frequency(characters):
        if character not in ids and len(vocab) < size:
            vocab += character_tokens(character)[: size - len(vocab)]
    return vocab


def count_characters(texts: Iterable[str], casing: Casing) -> Counter[str]:
    """Count the characters of texts after normalization."""
    raw = np.zeros(sys.maxunicode + 1, np.int64)
    for block in join_lines(texts, COUNT_CHARS):
        codes = np.frombuffer(block.encode("utf-32-le"), np.uint32)
        raw += np.bincount(codes, minlength=len(raw))
    normalize = casing.normalizer().normalize_str
    characters: Counter[str] = Counter()
    for code in np.flatnonzero(raw).tolist():
        for character in normalize(chr(code)):
            if not character.isspace():
                characters[character] += int(raw[code])
    return characters


def choose_alphabet(characters: Counter[str], size: int) -> list[str]:
    """Return the most frequent characters, sorted: COVERAGE of the text.

    Where that is too many for a vocabulary of `size` tokens, ALPHABET_SHARE of them leaves room for
    pieces of words. Ideographs have no longer pieces: they are added up to IDEOGRAPH_SHARE.
    """
    target = COVERAGE * characters.total()
    alphabet: list[str] = []
    covered = num_tokens = 0
    for rank, character in enumerate(by_frequency(characters)):
        if covered >= target:
            break
        has_room = num_tokens < int(IDEOGRAPH_SHARE * size) and is_ideograph(character)
        if rank < int(ALPHABET_SHARE * size) or has_room:
            alphabet.append(character)
            covered += characters[character]
            num_tokens += len(character_tokens(character))
    return sorted(alphabet)


def by_frequency(characters: Counter[str]) -> list[str]:
    """Return characters, the most frequent first."""
    return sorted(characters, key=lambda c: (-characters[c], c))


def character_tokens(character: str) -> list[str]:
    """Return the tokens of a character: at the start of a word and, where it can be, inside."""
    return [character, f"##{character}"] if can_continue(character) else [character]


def can_continue(character: str) -> bool:
    """Return whether a character can follow another in a word.

    Punctuation and ideographs cannot: they are words of their own.
    """
    ascii_mark = character.isascii() and not character.isalnum()
    is_mark = ascii_mark or unicodedata.category(character).startswith("P")
    return not (is_mark or is_ideograph(character))


def is_ideograph(character: str) -> bool:
    """Return whether a character is an ideograph: to BERT's tokenizer, a word of its own."""
    return unicodedata.name(character, "").startswith("CJK UNIFIED IDEOGRAPH")


def join_lines(texts: Iterable[str], block_chars: int) -> Iterator[str]:
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
