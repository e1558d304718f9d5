"""Lines to sentences."""

from collections.abc import Iterable, Sequence
from typing import Literal

from sentencex import segment  # pyrefly: ignore

PROSE_SHARE = 0.2  # of lines that hold more than one sentence, from which on a text counts as prose


def split_lines(lines: Iterable[str], language: str) -> list[str]:
    """The sentences of lines of prose; no sentence goes over a line's end."""
    return [sentence for line in lines for sentence in segment(language, line)]


def choose_mode(lines: Sequence[str], language: str) -> Literal["lines", "split"]:
    """Whether lines are sentences ("lines") or prose ("split"), by a sample of them."""
    prose = sum(len(segment(language, line)) > 1 for line in lines)
    return "split" if prose > PROSE_SHARE * len(lines) else "lines"
