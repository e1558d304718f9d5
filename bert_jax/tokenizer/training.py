"""Deterministic training of a tokenizer: WordPiece, byte-level BPE or Unigram."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from bert_jax.errors import DataError
from bert_jax.progress import Progress
from bert_jax.tokenizer.pipeline import PipelineTokenizer
from bert_jax.tokenizer.rules import SPECIAL_TOKENS, Casing
from bert_jax.tokenizer.unigram import MAX_PIECE, train_pieces
from bert_jax.tokenizer.vocabulary import (
    TRAIN_CHARS,
    by_frequency,
    choose_alphabet,
    count_characters,
    join_lines,
)

SPACE = "▁"
SEED_FACTOR = 4  # pieces among which Unigram chooses, for each that it keeps
MAX_RUN = 100  # characters without a space; the trainer needs quadratic time for a word

_LONG_RUN = re.compile(rf"(\S{{{MAX_RUN}}})(?=\S)")
_ROLES = {name[1:-1].lower(): name for name in SPECIAL_TOKENS}


def train_bpe(texts: Callable[[], Iterator[str]], size: int, casing: Casing) -> PipelineTokenizer:
    """Train byte-level BPE (Radford et al. 2019, section 2.2), which knows every character.

    Args:
        texts: returns the texts.
        size: number of tokens; at least the special ones and 256 bytes.
        casing: normalization of letters.

    Raises:
        DataError: the texts are empty.
    """
    fast = FastTokenizer(models.BPE())
    fast.normalizer = _normalizer(casing)  # pyrefly: ignore
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # pyrefly: ignore
    fast.decoder = decoders.ByteLevel()  # pyrefly: ignore
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, len(SPECIAL_TOKENS) + len(alphabet)),
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    with Progress("training the vocabulary"):
        fast.train_from_iterator(_require_text(_blocks(texts())), trainer)
    return _finish(fast)


def train_unigram(
    texts: Callable[[], Iterator[str]], size: int, casing: Casing
) -> PipelineTokenizer:
    """Train a Unigram vocabulary: special tokens, alphabet, then pieces by probability.

    Tokens that are left over go to the characters that are not in the alphabet, as for WordPiece.

    Args:
        texts: returns the texts; called for characters, words and pieces.
        size: number of tokens; fewer if the texts do not have that many pieces and characters.
        casing: normalization of letters.

    Raises:
        DataError: the texts are empty.
    """
    characters = count_characters(texts(), casing)
    alphabet = [*dict.fromkeys([SPACE, *choose_alphabet(characters, size)])]
    normalizer = _normalizer(casing)
    words: Counter[str] = Counter()
    for block in _require_text(_blocks(texts())):
        words.update(normalizer.normalize_str(block).split())
    fast = FastTokenizer(models.BPE())
    fast.normalizer = normalizer  # pyrefly: ignore
    fast.pre_tokenizer = pre_tokenizers.Sequence(  # pyrefly: ignore
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=SEED_FACTOR * size,
        min_frequency=2,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        max_token_length=MAX_PIECE,
        show_progress=False,
    )
    room = size - len(SPECIAL_TOKENS)
    with Progress("training the vocabulary"):
        fast.train_from_iterator(_blocks(texts()), trainer)
        ids = fast.get_vocab()
        seed = sorted(ids, key=ids.__getitem__)
        pieces = train_pieces(_known_parts(words, {*alphabet}), seed, room)
    found, lowest = {piece for piece, _ in pieces}, min(score for _, score in pieces)
    rare = [c for c in by_frequency(characters) if c not in found]
    pieces += [(c, lowest) for c in rare[: max(room - len(pieces), 0)]]
    unk_id = SPECIAL_TOKENS.index("[UNK]")
    vocab = [*((token, 0.0) for token in SPECIAL_TOKENS), *pieces]
    fast.model = models.Unigram(vocab, unk_id=unk_id)  # pyrefly: ignore
    fast.decoder = decoders.Metaspace(SPACE)  # pyrefly: ignore
    return _finish(fast)


def _known_parts(words: Counter[str], alphabet: set[str]) -> Counter[str]:
    """Return words as Metaspace writes them, split at characters that are not in the alphabet."""
    parts: Counter[str] = Counter()
    for word, count in words.items():
        known = "".join(c if c in alphabet else " " for c in f"{SPACE}{word}")
        for part in known.split():
            parts[part] += count
    return parts


def _finish(fast: FastTokenizer) -> PipelineTokenizer:
    """Return a tokenizer with BERT's special tokens and their places."""
    fast.add_special_tokens(list(SPECIAL_TOKENS))
    ids = [(name, SPECIAL_TOKENS.index(name)) for name in ("[CLS]", "[SEP]")]
    fast.post_processor = processors.TemplateProcessing(  # pyrefly: ignore
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    described: dict[str, Any] = json.loads(fast.to_str())
    return PipelineTokenizer(described, _ROLES, Path("the trained tokenizer"))


def _normalizer(casing: Casing) -> normalizers.Normalizer:
    """Return BERT's normalizer, without spaces around ideographs."""
    return normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=False,
        strip_accents=casing.strip_accents,
        lowercase=casing.lowercase,
    )


def _blocks(texts: Iterator[str]) -> Iterator[str]:
    """Return the texts in blocks of lines, with spaces in runs that are too long for a word."""
    return (_LONG_RUN.sub(r"\1 ", block) for block in join_lines(texts, TRAIN_CHARS))


def _require_text(blocks: Iterator[str]) -> Iterator[str]:
    """Yield blocks of text.

    Raises:
        DataError: all of them are empty.
    """
    is_empty = True
    for block in blocks:
        is_empty = is_empty and not block.strip()
        yield block
    if is_empty:
        raise DataError(
            "the text has no characters to train a vocabulary from",
            "readable text",
            "check the input files",
        )
