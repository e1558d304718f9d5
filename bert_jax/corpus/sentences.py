"""Sentence splitting: cut lines of prose into sentences."""

from collections.abc import Iterable, Sequence
from typing import Literal

from sentencex import segment  # pyrefly: ignore

PROSE_SHARE = 0.2  # a text is prose if more of its lines than this hold several sentences


def split_sentences(lines: Iterable[str], language: str) -> list[str]:
    """Split lines of prose into sentences; no sentence spans two lines."""
    return [sentence for line in lines for sentence in segment(language, line)]


def choose_mode(lines: Sequence[str], language: str) -> Literal["lines", "split"]:
    """Return "lines" if a sample's lines are sentences, "split" if they are prose."""
    num_prose = sum(len(segment(language, line)) > 1 for line in lines)
    return "split" if num_prose > PROSE_SHARE * len(lines) else "lines"
