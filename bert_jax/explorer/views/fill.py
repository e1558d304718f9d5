"""Fill the blank: hide words of a text, and see what the model expects there."""

from collections.abc import Iterable, Sequence
from typing import Any

from bert_jax.errors import DataError
from bert_jax.explorer.view import Json, View, text_of
from bert_jax.inspection.blanks import (
    MAX_BLANKS,
    MAX_PIECES,
    Blank,
    BlankFiller,
    Candidate,
    Filled,
    Piece,
    group_words,
    split_pieces,
)
from bert_jax.pretrained import Model
from bert_jax.tokenizer.tokenizer import Tokenizer

EXAMPLES = {
    "en": [
        "The film was so good that I watched it again.",
        "She opened the door and walked into the room.",
    ],
    "ko": ["이 영화는 정말 재미있게 봤습니다.", "배우들의 연기가 좋아서 다시 보고 싶다."],
}


def fill_view(model: Model) -> View | None:
    """Return the view; None for a model that predicts no masked words."""
    if "mlm" not in model.params:
        return None
    filler, tokenizer = BlankFiller(model), model.tokenizer

    def answer(request: Json) -> Json:
        text, cut = text_of(request)
        pieces = split_pieces(text, tokenizer)
        blanks, notices = choose_blanks(pieces, read_blanks(request), tokenizer)
        extra = sum(blank.num_masks - (blank.last - blank.first) for blank in blanks)
        room = filler.max_pieces - max(extra, 0)
        if len(pieces) > room:
            pieces = pieces[:room]
            blanks = [blank for blank in blanks if blank.last <= room]
            cut = f"The model reads {filler.max_pieces:,} pieces; the rest of the text is left out."
        filled = filler.fill(pieces, blanks)
        return {
            "words": [[place(piece, text) for piece in w] for w in group_words(pieces, tokenizer)],
            "blanks": [
                describe(text, pieces, blank, expected, tokenizer)
                for blank, expected in zip(blanks, filled, strict=True)
            ],
            "notice": " ".join(note for note in [cut, *notices] if note) or None,
        }

    def to_save(texts: Sequence[str]) -> list[Json]:
        requests = []
        for text in texts:
            words = group_words(split_pieces(text, tokenizer)[: filler.max_pieces], tokenizer)
            blanks = [[[word[0].start, word[-1].end, 0]] for word in words]
            requests += [{"text": text, "blanks": hidden} for hidden in [[], *blanks]]
        return requests

    def prepare() -> None:
        for length in (16, 32, 64):
            for num_rows in (1, MAX_BLANKS):
                filler.compile(min(length, filler.max_pieces + 2), num_rows)

    about = {
        "examples": choose_examples(tokenizer),
        "max_pieces": MAX_PIECES,
        "max_blanks": MAX_BLANKS,
    }
    return View("fill", "Fill the blank", about, answer, to_save, prepare)


def choose_examples(tokenizer: Tokenizer) -> list[str]:
    """Return the examples that a vocabulary covers, by language; English ones if it has none."""
    known = [
        [text for text in texts if tokenizer.unk_id not in tokenizer.encode(text)]
        for texts in EXAMPLES.values()
    ]
    num_pieces = [sum(len(tokenizer.encode(text)) for text in texts) for texts in known]
    shortest = sorted(
        (n / sum(map(len, t)), t) for n, t in zip(num_pieces, known, strict=True) if t
    )
    return [text for _, texts in shortest for text in texts] or EXAMPLES["en"]


def read_blanks(request: Json) -> list[tuple[int, int, int]]:
    """Return the blanks of a request: first character, last + 1, number of [MASK]s or 0.

    Raises:
        DataError: they are not lists of three such numbers.
    """
    blanks = request.get("blanks", [])
    if not isinstance(blanks, list) or not all(is_blank(blank) for blank in blanks):
        raise DataError(f"blanks = {str(blanks)[:40]}", "[[start, end, pieces], …]", "reload")
    return [tuple(blank) for blank in blanks]


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


def place(piece: Piece, text: str) -> Json:
    """Return a piece as the page shows it."""
    return {"text": text[piece.start : piece.end], "start": piece.start, "end": piece.end}


def describe(
    text: str, pieces: Sequence[Piece], blank: Blank, filled: Filled, tokenizer: Tokenizer
) -> Json:
    """Return a blank and its candidates as the page shows them."""
    start, end = pieces[blank.first].start, pieces[blank.last - 1].end
    hidden = filled.hidden and {
        "text": text[start:end],
        "probability": filled.hidden.probability,
        "rank": filled.rank,
    }
    candidates = [put_in(text, start, end, c, tokenizer) for c in filled.candidates]
    is_written = blank.last - blank.first == 1 and pieces[blank.first].id == tokenizer.mask_id
    return {
        "start": start,
        "end": end,
        "pieces": blank.num_masks,
        "is_written": is_written,
        "hidden": hidden,
        "candidates": candidates,
    }


def put_in(text: str, start: int, end: int, candidate: Candidate, tokenizer: Tokenizer) -> Json:
    """Return a candidate, and what to write from which character on, up to `end`, to put it in.

    A piece that continues a word ("##ing") joins the word before it; another one is apart from a
    letter before it.
    """
    tokens = tokenizer.tokens(candidate.ids)
    written = ""
    for number, (id, token) in enumerate(zip(candidate.ids, tokens, strict=True)):
        continues = bool(tokenizer.is_continuation[id])
        written += token[2:] if continues else f" {token}" if number else token
    joins = bool(tokenizer.is_continuation[candidate.ids[0]])
    before = text[:start]
    if joins:
        start = len(before.rstrip())
    elif before and before[-1].isalnum() and written[:1].isalnum():
        written = f" {written}"
    label = f"##{written}" if joins else written.strip()
    return {
        "text": label,
        "start": start,
        "end": end,
        "insert": written,
        "probability": candidate.probability,
    }
