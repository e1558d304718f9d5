"""Fill the blank: hide words of a text, and see what the model expects there."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bert_jax.errors import DataError
from bert_jax.explorer.view import MAX_CHARS, Json, View, lengths_to_prepare, text_of
from bert_jax.inspection.blanks import (
    MAX_BLANKS,
    MAX_PIECES,
    Blank,
    BlankFiller,
    Filled,
    Piece,
    group_words,
    split_pieces,
)
from bert_jax.labelled.batching import BUCKETS
from bert_jax.pretrained import Model
from bert_jax.tokenizer.tokenizer import Tokenizer

EXAMPLES = (
    ("The film was so good that I watched it again.", "She opened the door and went in."),
    ("이 영화는 정말 재미있게 봤습니다.", "배우들의 연기가 좋아서 다시 보고 싶다."),
)
MAX_ASKED = 100  # blanks of a request that are looked at
MAX_SAVED_WORDS = 100  # of a text: a saved page can hide each of them alone


def fill_view(model: Model) -> View | None:
    """Return the view; None for a model that predicts no masked words."""
    if "mlm" not in model.params:
        return None
    filler, tokenizer = BlankFiller(model), model.tokenizer

    def answer(request: Json) -> Json:
        text, cut = text_of(request)
        pieces = split_pieces(text, tokenizer)[: filler.max_pieces + 1]  # one too many is known
        blanks, notices = choose_blanks(pieces, read_blanks(request), tokenizer)
        longer = (blank.num_masks - (blank.last - blank.first) for blank in blanks)
        room = filler.max_pieces - sum(max(extra, 0) for extra in longer)
        if len(pieces) > room:
            pieces = pieces[:room]
            blanks = [blank for blank in blanks if blank.last <= room]
            cut = f"The model reads {filler.max_pieces:,} pieces; the rest of the text is left out."
        filled = filler.fill(pieces, blanks)
        return {
            "words": show_words(text, pieces, tokenizer),
            "blanks": [
                show_blank(text, pieces, blank, expected, tokenizer)
                for blank, expected in zip(blanks, filled, strict=True)
            ],
            "notice": " ".join(note for note in [cut, *notices] if note) or None,
        }

    def to_save(texts: Sequence[str]) -> list[Json]:
        requests = []
        for text in texts:
            pieces = split_pieces(text[:MAX_CHARS], tokenizer)[: filler.max_pieces]
            words = group_words(pieces, tokenizer)[:MAX_SAVED_WORDS]
            blanks = [[[word[0].start, word[-1].end, 0]] for word in words]
            requests += [{"text": text, "blanks": hidden} for hidden in [[], *blanks]]
        return requests

    def prepare() -> Iterator[None]:
        for length in lengths_to_prepare(filler.max_pieces + 2, BUCKETS):
            for num_rows in (1, MAX_BLANKS):
                filler.compile(length, num_rows)
                yield

    about = {
        "examples": choose_examples(tokenizer),
        "max_pieces": MAX_PIECES,
        "max_saved_words": MAX_SAVED_WORDS,
    }
    return View("fill", "Fill the blank", about, answer, to_save, prepare)


def choose_examples(tokenizer: Tokenizer) -> list[str]:
    """Return the examples of the language that a vocabulary has the longest pieces of."""

    def num_pieces(texts: Sequence[str]) -> float:
        ids = [id for text in texts for id in tokenizer.encode(text)]
        return math.inf if tokenizer.unk_id in ids else len(ids) / len("".join(texts))

    return list(min(EXAMPLES, key=num_pieces))


def read_blanks(request: Json) -> list[tuple[int, int, int]]:
    """Return the blanks of a request: first character, last + 1, number of [MASK]s or 0.

    Of more than MAX_ASKED the rest is left out.

    Raises:
        DataError: they are not lists of three such numbers.
    """
    blanks = request.get("blanks", [])
    if not isinstance(blanks, list) or not all(is_blank(blank) for blank in blanks):
        raise DataError(f"blanks = {str(blanks)[:40]}", "[[start, end, pieces], …]", "reload")
    return [tuple(blank) for blank in blanks[:MAX_ASKED]]


def is_blank(value: Any) -> bool:
    """Return whether a value of a request is a blank."""
    return isinstance(value, list) and len(value) == 3 and all(type(x) is int for x in value)


def choose_blanks(
    pieces: Sequence[Piece], asked: Iterable[tuple[int, int, int]], tokenizer: Tokenizer
) -> tuple[list[Blank], list[str]]:
    """Return the blanks in the order of the text, and notices about those that are smaller.

    Each [MASK] in the text is one; those that are asked for hide the pieces in their characters.
    """
    found: dict[int, Blank] = {}
    notices: list[str] = []
    written = [(p.start, p.end, 0) for p in pieces if p.id == tokenizer.mask_id]
    hidden: set[int] = set()
    for start, end, num_masks in [*asked, *written]:
        inside = [i for i, piece in enumerate(pieces) if piece.start < end and start < piece.end]
        if not inside or hidden & {*inside}:
            continue
        hidden |= {*inside}
        first, last = inside[0], inside[-1] + 1
        if not num_masks and last - first > MAX_PIECES:
            notices.append(f"A blank has at most {MAX_PIECES} pieces.")
        found[first] = Blank(first, last, max(1, min(num_masks or last - first, MAX_PIECES)))
    if len(found) > MAX_BLANKS:
        notices.append(f"A text has at most {MAX_BLANKS} blanks; the rest are left as they are.")
    return [found[first] for first in sorted(found)[:MAX_BLANKS]], sorted(set(notices))


def show_words(text: str, pieces: Sequence[Piece], tokenizer: Tokenizer) -> list[list[Json]]:
    """Return the pieces of each word as the page shows them, none over another.

    Pieces may share a character: an uncased model splits a Hangul syllable.
    """
    words, shown = [], 0
    for word in group_words(pieces, tokenizer):
        words.append([])
        for piece in word:
            start = max(piece.start, shown)
            if start < piece.end:
                unknown = {"unknown": True} if piece.id == tokenizer.unk_id else {}
                words[-1].append({"start": start, "end": piece.end} | unknown)
                shown = piece.end
    return [word for word in words if word]


def show_blank(
    text: str, pieces: Sequence[Piece], blank: Blank, filled: Filled, tokenizer: Tokenizer
) -> Json:
    """Return a blank and its candidates as the page shows them."""
    start, end = pieces[blank.first].start, pieces[blank.last - 1].end
    after = text[end:]
    if blank.last < len(pieces) and tokenizer.is_continuation[pieces[blank.last].id]:
        after = ""  # it joins the candidate
    hidden = filled.hidden and {
        "text": text[start:end],
        "probability": filled.hidden.probability,
        "rank": filled.rank,
    }
    return {
        "start": start,
        "end": end,
        "pieces": blank.num_masks,
        "hidden": hidden,
        "is_written": [p.id for p in pieces[blank.first : blank.last]] == [tokenizer.mask_id],
        "candidates": [
            {"end": end, "probability": candidate.probability}
            | put_in(text[:start], after, candidate.ids, tokenizer)
            for candidate in filled.candidates
        ],
    }


def put_in(before: str, after: str, ids: Sequence[int], tokenizer: Tokenizer) -> Json:
    """Return a candidate's text, what to write for it, and from which character on.

    A piece that continues a word ("##ing") joins the word before it; one that does not is apart
    from a letter that it would join.

    Args:
        before: the text before the blank.
        after: the text that it must not join.
        ids: the candidate's pieces.
        tokenizer: of the model.
    """
    continues = [bool(tokenizer.is_continuation[id]) for id in ids]
    parts = [
        token[2:] if joins else f" {token}"
        for token, joins in zip(tokenizer.pieces(ids), continues, strict=True)
    ]
    written = "".join(parts).lstrip()
    label = f"##{written}" if continues[0] else written
    if continues[0]:
        before = before.rstrip()
    elif would_join(before, written):
        written = f" {written}"
    if would_join(written, after):
        written += " "
    return {"text": label, "insert": written, "start": len(before)}


def would_join(left: str, right: str) -> bool:
    """Return whether two texts, one after the other, share a word where they meet."""
    pair = left[-1:] + right[:1]
    return len(pair) == 2 and all(c.isalnum() and not is_ideograph(c) for c in pair)


def is_ideograph(character: str) -> bool:
    """Return whether a character is a word by itself for BERT's tokenizer."""
    code = ord(character)
    return 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x2FA1F
