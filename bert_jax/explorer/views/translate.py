"""Translate: the best hypotheses, what else could have been said, and what was looked at."""

import re
from collections.abc import Iterator, Sequence

from bert_jax.errors import DataError
from bert_jax.explorer.view import Json, View, text_of
from bert_jax.lineage.bitext import read_lines
from bert_jax.lineage.inspection import (
    Candidate,
    Hypothesis,
    explain_translation,
    longest_source,
)
from bert_jax.lineage.translator import Translator

NUM_BEST = 5
NUM_EXAMPLES = 4
SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, as a browser may send it


def translate_view(translator: Translator) -> View:
    """Return the view."""

    def answer(request: Json) -> Json:
        text, cut = text_of(request)
        text = SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
        prefix = read_ids(request, translator.vocabulary.size)
        found = explain_translation(translator, text, NUM_BEST, prefix)
        chosen = request.get("chosen", 0)
        if type(chosen) is not int or chosen < 0:
            raise DataError(f"chosen = {chosen!r}", "the number of a hypothesis", "reload the page")
        chosen = max(0, min(chosen, len(found.hypotheses) - 1))
        picture = found.hypotheses[chosen].picture.as_json() if found.hypotheses else None
        return {
            "hypotheses": [describe(hypothesis) for hypothesis in found.hypotheses],
            "chosen": chosen,
            "picture": picture,
            "notice": found.notice or cut,
        }

    def to_save(texts: Sequence[str]) -> list[Json]:
        return [
            {"text": text, "prefix": [], "chosen": chosen}
            for text in texts
            for chosen in range(NUM_BEST)
        ]

    def prepare() -> Iterator[None]:
        for text in sorted(examples, key=len):
            explain_translation(translator, text, NUM_BEST)
            yield

    examples = choose_examples(translator)
    about = {
        "examples": examples,
        "kind": translator.config.model.kind,
        "longest": longest_source(translator),
        "num_best": NUM_BEST,
    }
    return View("translate", "Translate", about, answer, to_save, prepare)


def choose_examples(translator: Translator) -> list[str]:
    """Return some sources of the run's own data, if it is still there; else none."""
    found: list[str] = []
    for file in (*translator.config.dev, *translator.config.train):
        try:
            lines = read_lines(file)
        except Exception:  # moved, a data set, or of another format: a page needs no examples
            continue
        found += [line.split("\t")[0] for line in lines[: 10 * NUM_EXAMPLES]]
        break
    return list(dict.fromkeys(text for text in found if 2 <= len(text) <= 120))[:NUM_EXAMPLES]


def read_ids(request: Json, size: int) -> list[int]:
    """Return the token ids with which a translation has to begin.

    Raises:
        DataError: they are no ids of the vocabulary.
    """
    ids = request.get("prefix", [])
    if not isinstance(ids, list) or not all(type(i) is int and 0 <= i < size for i in ids):
        raise DataError(f"prefix = {str(ids)[:40]}", "a list of token ids", "reload the page")
    return ids


def describe(hypothesis: Hypothesis) -> Json:
    """Return a hypothesis as the page shows it."""

    def candidate(one: Candidate) -> Json:
        return {"token": one.token, "id": one.id, "probability": round(one.probability, 5)}

    return {
        "text": hypothesis.text,
        "score": round(hypothesis.score, 3),
        "probability": hypothesis.probability,
        "steps": [
            {**candidate(step.chosen), "alternatives": list(map(candidate, step.alternatives))}
            for step in hypothesis.steps
        ],
    }
