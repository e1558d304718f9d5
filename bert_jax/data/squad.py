"""Questions with passages, in the JSON form of SQuAD 1.1, SQuAD 2.0 and KorQuAD 1.0."""

import json
from typing import Any, NamedTuple

from bert_jax.data.rejects import Rejects
from bert_jax.data.tables import read_text_file
from bert_jax.errors import DataError


class Answer(NamedTuple):
    """A stretch of the passage."""

    text: str
    start: int
    """Its first character in the passage."""


class Question(NamedTuple):
    """A question on a passage, and the answers that were given; none: it has no answer."""

    place: str
    question: str
    context: str
    label: tuple[Answer, ...] | None = None
    """Answers; None where they are not known."""
    may_be_none: bool = False
    """Whether some question of its file has no answer, so that "none" can be said."""


def read_squad(name: str, rejects: Rejects) -> list[Question]:
    """Reads the questions of a file; those that cannot be used are rejected.

    An answer has to stand at its place in the passage; where white space around it is off, or the
    place is, the nearest occurrence is taken. What occurs nowhere is rejected.

    Raises:
        DataError: no such file, or another form.
    """
    questions = []
    for number, (context, text, qa) in enumerate(read_questions(name), 1):
        place = f"{name}: question {number}"
        if not isinstance(text, str) or not text.strip() or not isinstance(context, str):
            rejects.add(place, "no question or no passage", qa)
            continue
        try:
            given = [] if qa.get("is_impossible") else list(qa.get("answers") or [])
            answers = [_find(context, str(a["text"]), int(a["answer_start"])) for a in given]
        except (KeyError, TypeError, ValueError):
            rejects.add(place, "an answer without text or place", qa)
            continue
        found = tuple(answer for answer in answers if answer)
        if len(found) < len(answers):
            rejects.add(place, "an answer that is not in its passage", qa)
            continue
        questions.append(Question(place, text, context, found))
    if not questions:
        raise DataError(f"{name} holds no questions", "at least one", "check the file")
    has_none = any(not question.label for question in questions)
    return [question._replace(may_be_none=has_none) for question in questions]


def read_questions(name: str) -> list[tuple[Any, Any, Any]]:
    """Every passage with each of its questions, and all that is said of the question, unchecked.

    Raises:
        DataError: no such file, or another form.
    """
    try:
        articles = json.loads(read_text_file(name))["data"]
        paragraphs = [p for article in articles for p in article["paragraphs"]]
        pairs = [(p["context"], qa) for p in paragraphs for qa in p["qas"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{name} is no SQuAD file: {type(error).__name__} {error}"[:200],
            'JSON: {"data": [{"paragraphs": [{"context": …, "qas": […]}]}]}',
            "convert it to this form",
        ) from None
    return [(c, qa.get("question") if isinstance(qa, dict) else None, qa) for c, qa in pairs]


def _find(context: str, text: str, start: int) -> Answer | None:
    stripped = text.strip()
    if not stripped:
        return None
    start += len(text) - len(text.lstrip())
    if context[start : start + len(stripped)] == stripped:
        return Answer(stripped, start)
    places: list[Any] = []
    place = context.find(stripped)
    while place >= 0:
        places.append(place)
        place = context.find(stripped, place + 1)
    return Answer(stripped, min(places, key=lambda p: abs(p - start))) if places else None
