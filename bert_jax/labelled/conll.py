"""CoNLL files: a word and its tag per line, a blank line between sentences."""

import itertools
from collections.abc import Collection, Iterable
from typing import NamedTuple

from bert_jax.errors import DataError
from bert_jax.labelled.files import read_text_file
from bert_jax.labelled.rejects import Rejects
from bert_jax.reading.formats import plain_name

DOCUMENT = "-DOCSTART-"
MIN_TAGGED = 0.9  # share of the lines of a CoNLL file that end in a known tag
ENDINGS = (".conll", ".conllu", ".conll03", ".bio", ".iob", ".iob2", ".bioes")


class Sentence(NamedTuple):
    """Words, and a tag for each."""

    place: str
    """file:line of its first word."""
    words: tuple[str, ...]
    tags: tuple[str, ...]
    """() if a word has none, and tags are not needed."""


def looks_like_conll(name: str, lines: Iterable[str], labels: Collection[str]) -> bool:
    """Return whether a file is CoNLL: by its name, or if its lines end in tags of a model.

    Args:
        name: the file.
        lines: its first lines.
        labels: the model's tags.
    """
    if plain_name(name).endswith(ENDINGS):
        return True
    rows = [line.split() for line in lines if line.strip() and not line.startswith(DOCUMENT)]
    tagged = sum(len(row) > 1 and row[-1] in labels for row in rows)
    return bool(rows) and tagged >= MIN_TAGGED * len(rows)


def read_conll(
    name: str, rejects: Rejects, need_tags: bool = True, text: str | None = None
) -> list[Sentence]:
    """Read a CoNLL file: the first column is the word, the last one its tag.

    Columns are separated by tabs, or else by spaces. WikiANN's prefix "en:" is stripped if every
    word has it; "-DOCSTART-" lines are skipped. A sentence with an untagged word is rejected whole.

    Args:
        name: the file; "-" is standard input.
        rejects: takes sentences that cannot be used.
        need_tags: reject untagged sentences; otherwise they have no tags.
        text: the file's text, if it was read.

    Raises:
        DataError: no such file, or no sentences in it.
    """
    sentences: list[Sentence] = []
    text = read_text_file(name) if text is None else text
    lines = enumerate(text.split("\n"), 1)
    for blank, group in itertools.groupby(lines, lambda line: not line[1].strip()):
        if blank:
            continue
        block = [(number, line) for number, line in group if not line.startswith(DOCUMENT)]
        if not block:
            continue
        place = f"{name}:{block[0][0]}"
        rows = [line.split("\t") if "\t" in line else line.split() for _, line in block]
        untagged = [number for (number, _), row in zip(block, rows, strict=True) if len(row) < 2]
        if untagged and need_tags:
            words = "\n".join(line for _, line in block)
            rejects.add(f"{name}:{untagged[0]}", "a word without a tag", words)
            continue
        words, tags = ([row[i].strip() for row in rows] for i in (0, -1))
        sentences.append(Sentence(place, tuple(words), () if untagged else tuple(tags)))
    if not sentences:
        raise DataError(f"{name} has no sentences", "a word and a tag per line", "check the file")
    return _strip_language(sentences)


def _strip_language(sentences: list[Sentence]) -> list[Sentence]:
    """Strip the prefix "xx:" if every word has the same one."""
    prefix, colon, _ = sentences[0].words[0].partition(":")
    start = prefix + colon
    if not colon or not all(w.startswith(start) for s in sentences for w in s.words):
        return sentences
    return [
        s._replace(words=tuple(word.removeprefix(start) or start for word in s.words))
        for s in sentences
    ]
