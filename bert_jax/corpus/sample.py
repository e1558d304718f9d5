"""Samples of the corpus: its beginning, to tell prose from sentences, and text for a vocabulary."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Literal

from bert_jax.corpus.bundles import Corpus
from bert_jax.corpus.cleaning import Findings
from bert_jax.corpus.heldout import assign_split, hash_text
from bert_jax.corpus.sentences import choose_mode
from bert_jax.errors import DataError

SAMPLE_CHARS = 1 << 20  # of the beginning of the corpus
VOCAB_BYTES = 200 << 20  # of the texts that a vocabulary is trained on


@dataclasses.dataclass(frozen=True)
class Sample:
    """Properties of the beginning of the corpus."""

    mode: Literal["lines", "split"]
    """"lines" if lines are sentences, "split" if they are prose."""
    hangul_share: float
    """Share of letters that are Hangul syllables."""
    upper_share: float
    """Share of letters that are capitals."""


def take_sample(
    texts: Iterable[str], mode: Literal["auto", "lines", "split"], language: str
) -> Sample:
    """Examine the first SAMPLE_CHARS characters; `mode` is kept unless it is "auto".

    Args:
        texts: texts of the corpus.
        mode: "lines", "split", or "auto" to choose between them.
        language: language of the sentence splitter.

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


def training_texts(corpus: Corpus) -> Iterator[str]:
    """Iterate over texts of the training split, sampled down to about VOCAB_BYTES."""
    share = VOCAB_BYTES / max(corpus.num_bytes, 1)
    options = corpus.bundle_options
    for number, member in enumerate(corpus.members(Findings())):
        sampled = hash_text(f"{member.identity}/{number}".encode()) < share * 2**64
        split = assign_split(member.identity, options.eval_share, options.seed)
        if sampled and split == "train":
            yield member.text.decode()
