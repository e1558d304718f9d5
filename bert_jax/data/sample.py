"""A look at the beginning of the corpus, which decides and warns before any work is done."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

from bert_jax.data.sentences import choose_mode
from bert_jax.errors import DataError

SAMPLE_CHARS = 1 << 20


@dataclasses.dataclass(frozen=True)
class Sample:
    """What the first megabyte of text is like."""

    mode: Literal["lines", "split"]
    """Whether lines are sentences, or prose to be split."""
    hangul_share: float
    """Of letters, how many are Hangul syllables."""
    upper_share: float
    """Of letters, how many are capitals."""


def take_sample(
    texts: Iterable[str], mode: Literal["auto", "lines", "split"], language: str
) -> Sample:
    """Looks at the first SAMPLE_CHARS characters; `mode` is kept unless it is "auto".

    Raises:
        DataError: there is no text at all.
    """
    lines: list[str] = []
    size = 0
    for text in texts:
        lines += text[: SAMPLE_CHARS - size].split("\n")
        size += len(text)
        if size >= SAMPLE_CHARS:
            break
    if not lines:
        raise DataError(
            "the corpus is empty: no text in the input", "some text", "check the input files"
        )
    letters = [c for c in "".join(lines) if c.isalpha()]
    count = max(len(letters), 1)
    return Sample(
        mode=choose_mode(lines, language) if mode == "auto" else mode,
        hangul_share=sum("\uac00" <= c <= "\ud7a3" for c in letters) / count,
        upper_share=sum(map(str.isupper, letters)) / count,
    )
