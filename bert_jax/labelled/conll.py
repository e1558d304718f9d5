"""CoNLL files: a word and its tag per line, a blank line between sentences."""

import itertools
from typing import NamedTuple

from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import read_text_file


class Sentence(NamedTuple):
    """Words, and a tag for each."""

    place: str
    """file:line of its first word."""
    words: tuple[str, ...]
    tags: tuple[str, ...]


def read_conll(name: str, rejects: Rejects) -> list[Sentence]:
    """Read a CoNLL file: the first column is the word, the last one its tag.

    Columns are separated by tabs, or else by spaces. WikiANN's prefix "en:" is stripped if every
    word has it; "-DOCSTART-" lines are skipped. A sentence with an untagged word is rejected whole.

    Raises:
        DataError: no such file, or no sentences in it.
    """
    sentences: list[Sentence] = []
    lines = enumerate(read_text_file(name).split("\n"), 1)
    for blank, group in itertools.groupby(lines, lambda line: not line[1].strip()):
        if blank:
            continue
        block = [(number, line) for number, line in group if not line.startswith("-DOCSTART-")]
        if not block:
            continue
        place = f"{name}:{block[0][0]}"
        rows = [line.split("\t") if "\t" in line else line.split() for _, line in block]
        untagged = [number for (number, _), row in zip(block, rows, strict=True) if len(row) < 2]
        if untagged:
            text = "\n".join(line for _, line in block)
            rejects.add(f"{name}:{untagged[0]}", "a word without a tag", text)
            continue
        words, tags = ([row[i].strip() for row in rows] for i in (0, -1))
        sentences.append(Sentence(place, tuple(words), tuple(tags)))
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
