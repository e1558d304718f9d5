"""Pasted tables: a prediction for each row, beside the table's own label if it has one."""

import math
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.errors import DataError, UserError
from bert_jax.explorer.view import Json
from bert_jax.labelled.inputs import Input, InputFormat, Reading, read_inputs
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.squad import Question, read_squad
from bert_jax.labelled.tables import LABEL
from bert_jax.labelled.texts import parse_text
from bert_jax.pretrained import Model
from bert_jax.tasks.squad_metrics import overlap_f1
from bert_jax.tasks.task import Prediction

MAX_ROWS = 1000
NAME = "table.txt"  # of the file that the readers see
INDICATORS = {"1": True, "0": False, "true": True, "false": False}


class Summary(NamedTuple):
    """A prediction in a row of the table."""

    predicted: str
    confidence: float | None
    """Probability of the least certain decision; None for a score."""
    number: float | None = None
    """A score."""


def predict_table(model: Model, pasted: Any) -> Json:
    """Return the rows of a pasted table with their predictions.

    Args:
        model: a fine-tuned model.
        pasted: lines of text, TSV, CSV, JSON, CoNLL for a tagger or SQuAD for questions, read as
            predict.py reads a file.

    Raises:
        DataError: no text, or a table that cannot be read.
    """
    if not isinstance(pasted, str) or not pasted.strip():
        raise DataError("the table is empty", "lines of text, or a table", "paste some rows")
    inputs = read_pasted(pasted, model.reading)
    notices = []
    if len(inputs) > MAX_ROWS:
        inputs = inputs[:MAX_ROWS]
        notices.append(f"The table was cut after {MAX_ROWS:,} rows.")
    predictions = model.predict_inputs(inputs)
    rows = [_row(model, *pair) for pair in zip(inputs, predictions, strict=True)]
    unknown = sorted({row["gold"] for row in rows if row["gold"] and row["agrees"] is None})
    if unknown and model.reading.kind != "regression":
        names = ", ".join(unknown[:3])
        notices.append(f"Labels that the model does not know are not compared: {names}")
    return {"rows": rows, "notice": " ".join(notices) or None}


def read_pasted(pasted: str, reading: Reading) -> list[Input]:
    """Return the inputs of a pasted table, at most one more than MAX_ROWS.

    Raises:
        DataError: it cannot be read.
    """
    text = pasted.strip("\r\n")
    is_squad = text[:1] == "{" and '"paragraphs"' in text
    format: InputFormat = "json" if text[:1] == "[" or is_squad else "auto"
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / NAME)
        Path(path).write_text(text + "\n", encoding="utf-8", errors="replace")
        try:
            if is_squad and reading.kind == "question_answering":  # which keeps its answers
                rows = [_as_input(question) for question in read_squad(path, Rejects())]
            else:
                inputs = read_inputs(path, format, model=reading)
                rows = list(islice(inputs.rows, MAX_ROWS + 1))
        except UserError as error:
            raise DataError(*(_without(line, path) for line in error.lines)) from None
    return [
        row._replace(error=_without(row.error, path), place=_without(row.place, path))
        for row in rows
    ]


def _as_input(question: Question) -> Input:
    answers = [answer.text for answer in question.label or ()]
    values = {"question": question.question, "context": question.context, "answers": answers}
    return Input(values, "", question.place)


def _without(line: str, path: str) -> str:
    """Return a message that names lines of what was pasted, not of a file that nobody knows."""
    return re.sub(rf"{re.escape(path)}:(?=\d)", "line ", line).replace(path, "the table")


def _row(model: Model, example: Input, prediction: Prediction) -> Json:
    """Return a row as the page shows it."""
    kind, labels = model.reading.kind or "", model.labels
    row: Json = {
        "input": opened(kind, example.read),
        "line": int(match[1]) if (match := re.search(r"(\d+)$", example.place)) else None,
        "error": prediction.get("error"),
        "gold": None,
        "agrees": None,
    }
    if row["error"] is not None:
        return row
    summary = SUMMARIES[kind](prediction)
    gold = GOLDS[kind](_other_values(example), labels)
    agrees = None if gold is None else AGREEMENTS[kind](gold, prediction, labels)
    shown = ", ".join(map(str, gold)) if isinstance(gold, list | tuple) else gold
    return row | summary._asdict() | {"gold": shown, "agrees": agrees}


def _other_values(example: Input) -> dict[str, Any]:
    """Return the values of a row that the task does not read, by lower-case names."""
    read = set(map(id, example.fields.values())) if example.fields else set()
    return {str(k).lower(): v for k, v in example.values.items() if id(v) not in read}


def opened(kind: str, values: Mapping[str, Any]) -> Json:
    """Return the values of a row as the view's own boxes hold them."""
    lower = {str(name).lower(): value for name, value in values.items()}
    if kind == "question_answering":
        context = lower.get("context", lower.get("passage", ""))
        return {"question": str(lower.get("question", "")), "context": str(context)}
    if kind == "tagging":
        words = lower.get("words", lower.get("tokens", lower.get("text", "")))
        return {"text": words if isinstance(words, str) else " ".join(map(str, words))}
    try:
        example = parse_text(dict(values), "")
    except UserError:
        return {"text": " ".join(str(value) for value in values.values() if value)}
    return {"text": example.text} | ({"text_b": example.text_b} if example.text_b else {})


# --- Predictions, labels and their agreement, by kind of task -------------------------------------


def _class(prediction: Prediction) -> Summary:
    return Summary(prediction["label"], prediction["probability"])


def _labels(prediction: Prediction) -> Summary:
    chosen = prediction["labels"]
    sure = [p if x in chosen else 1 - p for x, p in prediction["probabilities"].items()]
    return Summary(", ".join(chosen), min(sure))


def _score(prediction: Prediction) -> Summary:
    return Summary(f"{prediction['score']:.3g}", None, prediction["score"])


def _tags(prediction: Prediction) -> Summary:
    pairs = zip(prediction["words"], prediction["tags"], strict=True)
    named = " ".join(f"{word}/{tag}" for word, tag in pairs if tag != "O")
    return Summary(named, min(prediction["probabilities"]))


def _answer(prediction: Prediction) -> Summary:
    return Summary(prediction["text"], prediction["probability"])


SUMMARIES: dict[str, Callable[[Prediction], Summary]] = {
    "classification": _class,
    "multilabel": _labels,
    "regression": _score,
    "tagging": _tags,
    "question_answering": _answer,
}


def _gold_class(values: Mapping[str, Any], labels: Sequence[str]) -> str | None:
    found = next((values[name] for name in LABEL if values.get(name) not in (None, "")), None)
    return None if isinstance(found, list | dict) or found is None else str(found).strip()


def _gold_labels(values: Mapping[str, Any], labels: Sequence[str]) -> list[str] | None:
    columns = [values.get(label.lower()) for label in labels]
    if all(str(value).strip().lower() in INDICATORS for value in columns):
        applies = [INDICATORS[str(value).strip().lower()] for value in columns]
        return [label for label, is_true in zip(labels, applies, strict=True) if is_true]
    found = next((values[name] for name in LABEL if values.get(name) is not None), None)
    if isinstance(found, str):
        return [name.strip() for name in re.split("[,;|]", found) if name.strip()]
    return [str(name) for name in found] if isinstance(found, list) else None


def _gold_tags(values: Mapping[str, Any], labels: Sequence[str]) -> list[str] | None:
    found = next((values[name] for name in ("tags", "ner_tags", "labels") if name in values), None)
    if isinstance(found, str):
        return found.split()
    return [str(tag) for tag in found] if isinstance(found, list) else None


def _gold_answers(values: Mapping[str, Any], labels: Sequence[str]) -> list[str] | None:
    found = values.get("answers", values.get("answer"))
    if isinstance(found, dict):
        found = found.get("text")
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        return None
    texts = [answer.get("text") if isinstance(answer, dict) else answer for answer in found]
    return list(dict.fromkeys(text for text in texts if isinstance(text, str)))


GOLDS: dict[str, Callable[[Mapping[str, Any], Sequence[str]], Any]] = {
    "classification": _gold_class,
    "multilabel": _gold_labels,
    "regression": _gold_class,
    "tagging": _gold_tags,
    "question_answering": _gold_answers,
}


def _same_class(gold: str, prediction: Prediction, labels: Sequence[str]) -> float | None:
    return float(gold == prediction["label"]) if gold in labels else None


def _same_labels(gold: list[str], prediction: Prediction, labels: Sequence[str]) -> float | None:
    is_known = set(gold) <= set(labels)
    return float(set(gold) == set(prediction["labels"])) if is_known else None


def _same_score(gold: str, prediction: Prediction, labels: Sequence[str]) -> float | None:
    return None


def _same_tags(gold: list[str], prediction: Prediction, labels: Sequence[str]) -> float | None:
    tags = prediction["tags"]
    if len(gold) != len(tags) or not set(gold) <= set(labels):
        return None
    return sum(a == b for a, b in zip(gold, tags, strict=True)) / len(tags)


def _same_answer(gold: list[str], prediction: Prediction, labels: Sequence[str]) -> float | None:
    best = max((overlap_f1(prediction["text"], text, False) for text in gold), default=None)
    return None if best is None or math.isnan(best) else best


AGREEMENTS: dict[str, Callable[[Any, Prediction, Sequence[str]], float | None]] = {
    "classification": _same_class,
    "multilabel": _same_labels,
    "regression": _same_score,
    "tagging": _same_tags,
    "question_answering": _same_answer,
}
