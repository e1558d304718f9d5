"""SQuAD files: questions with passages, as in SQuAD 1.1, SQuAD 2.0 and KorQuAD 1.0 (JSON)."""

import json
from typing import Any, NamedTuple

from bert_jax.errors import DataError
from bert_jax.labelled.files import MAX_JSON_FILE_BYTES, read_text_file
from bert_jax.labelled.rejects import Rejects


class Answer(NamedTuple):
    """A span of the passage."""

    text: str
    start: int
    """Index of its first character in the passage."""


class Question(NamedTuple):
    """A question about a passage, with its answers."""

    place: str
    """File and number of the question."""
    question: str
    context: str
    label: tuple[Answer, ...] | None = None
    """Accepted answers; () if the passage has none, None if they are unknown."""
    may_be_none: bool = False
    """True if some question of its file has no answer, so that "none" may be predicted."""


def read_squad(name: str, rejects: Rejects) -> list[Question]:
    """Read the questions of a file; those that cannot be used are rejected.

    If an answer is not at its start in the passage (apart from surrounding white space), its
    nearest occurrence is taken; a question with an answer that does not occur is rejected.

    Raises:
        DataError: no such file, or a different format.
    """
    questions = []
    for number, (context, text, qa) in enumerate(read_questions(name), 1):
        place = f"{name}: question {number}"
        if not isinstance(text, str) or not text.strip() or not isinstance(context, str):
            rejects.add(place, "no question or no passage", qa)
            continue
        try:
            given = [] if qa.get("is_impossible") else list(qa.get("answers") or [])
            located = [_locate(context, str(a["text"]), int(a["answer_start"])) for a in given]
        except (KeyError, TypeError, ValueError):
            rejects.add(place, "an answer without text or place", qa)
            continue
        answers = tuple(answer for answer in located if answer)
        if len(answers) < len(located):
            rejects.add(place, "an answer that is not in its passage", qa)
            continue
        questions.append(Question(place, text, context, answers))
    if not questions:
        raise DataError(f"{name} has no questions", "at least one", "check the file")
    has_none = any(not question.label for question in questions)
    return [question._replace(may_be_none=has_none) for question in questions]


def read_questions(name: str) -> list[tuple[Any, Any, Any]]:
    """Read (passage, question, all that the file has on the question), without checking them.

    Raises:
        DataError: no such file, or a different format.
    """
    text = read_text_file(name, MAX_JSON_FILE_BYTES)
    try:
        return questions_of(json.loads(text))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise not_squad_error(name, error) from None


def not_squad_error(name: str, error: Exception) -> DataError:
    """Return the error for a file of another form."""
    return DataError(
        f"{name} is not a SQuAD file: {type(error).__name__} {error}"[:200],
        'JSON: {"data": [{"paragraphs": [{"context": …, "qas": […]}]}]}',
        "convert it to this format",
    )


def questions_of(value: Any) -> list[tuple[Any, Any, Any]]:
    """Return what `read_questions` returns, from the file's JSON value.

    Raises:
        KeyError, TypeError: another form than SQuAD's.
    """
    paragraphs = [p for article in value["data"] for p in article["paragraphs"]]
    pairs = [(p["context"], qa) for p in paragraphs for qa in p["qas"]]
    return [(c, qa.get("question") if isinstance(qa, dict) else None, qa) for c, qa in pairs]


def _locate(context: str, text: str, start: int) -> Answer | None:
    """Return the occurrence of an answer that is nearest to its start; None if there is none."""
    stripped = text.strip()
    if not stripped:
        return None
    start += len(text) - len(text.lstrip())
    if context[start : start + len(stripped)] == stripped:
        return Answer(stripped, start)
    occurrences: list[int] = []
    index = context.find(stripped)
    while index >= 0:
        occurrences.append(index)
        index = context.find(stripped, index + 1)
    if not occurrences:
        return None
    return Answer(stripped, min(occurrences, key=lambda index: abs(index - start)))
