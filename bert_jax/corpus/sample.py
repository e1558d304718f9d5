"""Samples of the corpus: its beginning, to tell prose from sentences, and text for a vocabulary."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Literal

from bert_jax.corpus.bundles import Corpus, read_members
from bert_jax.corpus.census import Census
from bert_jax.corpus.heldout import assign_split, hash_text
from bert_jax.corpus.sentences import choose_mode
from bert_jax.errors import DataError
from bert_jax.progress import Progress
from bert_jax.reading.cleaning import Findings

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
    is_prose: bool = False
    """True if lines hold several sentences, whatever the mode."""


def take_sample(
    texts: Iterable[str],
    mode: Literal["auto", "lines", "split"],
    language: str,
    findings: Findings | None = None,
) -> Sample:
    """Examine the first SAMPLE_CHARS characters; `mode` is kept unless it is "auto".

    Args:
        texts: texts of the corpus.
        mode: "lines", "split", or "auto" to choose between them.
        language: language of the sentence splitter.
        findings: what was found while the texts were read, for the error.

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
            "; ".join(
                ["the corpus is empty: no text in the input", *(findings or Findings()).summary()]
            ),
            "some text",
            "check the input files, and --text-column if they are tables or JSON",
        )
    letters = [c for c in "".join(lines) if c.isalpha()]
    count = max(len(letters), 1)
    fitting_mode = choose_mode(lines, language)
    return Sample(
        mode=fitting_mode if mode == "auto" else mode,
        hangul_share=sum("\uac00" <= c <= "\ud7a3" for c in letters) / count,
        upper_share=sum(map(str.isupper, letters)) / count,
        is_prose=fitting_mode == "split",
    )


def training_texts(corpus: Corpus, title: str = "reading") -> Iterator[str]:
    """Iterate over texts of the training split, sampled down to about VOCAB_BYTES.

    Args:
        corpus: the corpus, of which all is read.
        title: name of this pass in the progress that is shown.

    Raises:
        DataError: after the last text, if a split will have no rows.
    """
    share = VOCAB_BYTES / max(corpus.num_bytes, 1)
    options = corpus.bundle_options
    census = Census(options)
    numbers = itertools.count()
    with Progress(title, corpus.num_bytes / 1e6, "MB") as progress:
        for part in corpus.parts:
            census.start_part()
            for member in read_members(part, corpus.read_options, Findings()):
                census.add(member)
                sampled = hash_text(f"{member.identity}/{next(numbers)}".encode()) < share * 2**64
                split = assign_split(member.identity, options.eval_share, options.seed)
                if sampled and split == "train":
                    yield member.text.decode()
                progress.advance(len(member.text) / 1e6)
    census.check()


def check_documents(corpus: Corpus) -> None:
    """Read a small corpus, to check its splits before anything is made of it.

    Larger ones, which take minutes to read, rarely have too few documents; they are checked when
    their rows are made.

    Raises:
        DataError: a split will have no rows.
    """
    if corpus.num_bytes <= VOCAB_BYTES:
        for _ in training_texts(corpus, "checking documents"):
            pass
