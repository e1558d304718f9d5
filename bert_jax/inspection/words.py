"""Words of encoded texts: which tokens belong to each, and where it stands in its text."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bert_jax.labelled.batching import EncodedText
from bert_jax.tokenizer.tokenizer import Tokenizer


class Word(NamedTuple):
    """One word, with its tokens and its characters."""

    text: str
    """As it is written."""
    first: int
    """Its first token in the encoded text."""
    stop: int
    """Its last token + 1."""
    part: int
    """0 in the first text, 1 in the second text of a pair, or in the passage of a question."""
    start: int
    """Its first character in that text."""
    end: int
    """Its last character + 1."""


def join_pieces(
    text: str,
    pieces: tuple[Sequence[int], Sequence[int], Sequence[int]],
    tokenizer: Tokenizer,
    first: int = 0,
    part: int = 0,
) -> list[Word]:
    """Return the words of a text, each a piece with the pieces ("##ing") that continue it.

    Punctuation and Chinese characters are words of their own, as WordPiece separates them.

    Args:
        text: the text.
        pieces: ids, first characters and last characters + 1 of its tokens, from
            `Tokenizer.encode_with_offsets`.
        tokenizer: knows which pieces continue a word.
        first: the position of its first token.
        part: `Word.part`.
    """
    words: list[Word] = []
    for token, (index, start, end) in enumerate(zip(*pieces, strict=True), first):
        if words and tokenizer.is_continuation[index]:
            begin = words[-1].start
            words[-1] = words[-1]._replace(text=text[begin:end], stop=token + 1, end=end)
        else:
            words.append(Word(text[start:end], token, token + 1, part, start, end))
    return words


def words_of_texts(texts: Sequence[str], encoded: EncodedText, tokenizer: Tokenizer) -> list[Word]:
    """Return the words of [CLS] A [SEP] or [CLS] A [SEP] B [SEP]; those cut off are left out.

    Args:
        texts: A, or A and B.
        encoded: their tokens.
        tokenizer: the tokenizer that encoded them.
    """
    second = encoded.first_length + len(tokenizer.between)
    counts = encoded.first_length - 2, max(len(encoded.tokens) - second - 1, 0)
    firsts = 1, second
    words = []
    for part, pieces in enumerate(tokenizer.encode_with_offsets(texts)):
        kept = tuple(values[: counts[part]] for values in pieces)
        words += join_pieces(texts[part], kept, tokenizer, firsts[part], part)  # type: ignore[arg-type]
    return words


def words_of_tagged(example: Any, encoded: Sequence[EncodedText]) -> list[list[Word]]:
    """Return the words of each window over a `TagExample`; the words are those that have tags.

    Args:
        example: the sentence; without spans, characters are counted with a space between words.
        encoded: its windows, as `Tagging.encode` returns them.
    """
    spans = example.spans
    if spans is None:
        spans, end = [], -1
        for word in example.words:
            spans.append((end + 1, end + 1 + len(word)))
            end += 1 + len(word)
    remaining = iter(zip(example.words, spans, strict=True))
    windows = []
    for text in encoded:
        starts = [i for i, is_first in enumerate(text.targets["is_first"]) if is_first]
        stops = [*starts[1:], len(text.tokens) - 1]
        words = []
        for first, stop in zip(starts, stops, strict=True):
            word, (start, end) = next(remaining)
            words.append(Word(word, first, stop, 0, start, end))
        windows.append(words)
    return windows


def words_of_passage(
    question: str, context: str, window: EncodedText, tokenizer: Tokenizer
) -> list[Word]:
    """Return the words of a question, and those of its passage that are in a window.

    Args:
        question: the question.
        context: the passage.
        window: one text of `QuestionAnswering.encode`.
        tokenizer: the tokenizer that encoded them.
    """
    first = window.first_length + len(tokenizer.between)
    (pieces,) = tokenizer.encode_with_offsets([question])
    kept = tuple(values[: window.first_length - 2] for values in pieces)
    words = join_pieces(question, kept, tokenizer, 1)  # type: ignore[arg-type]
    inside = slice(first, len(window.tokens) - 1)
    spans = window.targets["char_start"][inside], window.targets["char_end"][inside]
    return words + join_pieces(context, (window.tokens[inside], *spans), tokenizer, first, 1)
