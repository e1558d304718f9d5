"""Rows of JSON: one object per line, or a list of objects in one JSON text."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from bert_jax.errors import DataError
from bert_jax.labelled.files import (
    MAX_JSON_FILE_BYTES,
    Line,
    LineReader,
    drop_trailing_blanks,
    open_decompressed,
    read_text_file,
)
from bert_jax.labelled.rejects import BLANK_ROW, Rejects
from bert_jax.labelled.rows import NumberedRow, Rows, count_rows
from bert_jax.labelled.squad import not_squad_error, questions_of
from bert_jax.reading.streams import READ_ERRORS

SQUAD = "SQuAD"  # description of its files


def is_json_list(name: str) -> bool:
    """Return whether a file starts with "[", as a list in JSON does; False for standard input."""
    if name == "-":
        return False
    try:
        raw, stream = open_decompressed(name)
        with raw, stream:
            return stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    except READ_ERRORS:  # the reader of the whole file raises the error
        return False


def open_json_lines(reader: LineReader, rejects: Rejects) -> Rows:
    """Open a file with an object on each line; other lines are rejected."""
    name = reader.place
    return Rows(name, (), _line_rows(name, reader, rejects), "JSONL", fraction=reader.fraction)


def open_json(name: str, rejects: Rejects) -> Rows:
    """Open a file that is a list of objects in JSON, has an object on each line, or is SQuAD's.

    Raises:
        DataError: it cannot be read, is too large, or is JSON of another form.
    """
    text = read_text_file(name, MAX_JSON_FILE_BYTES)
    value = parse_json(text)
    if value is None:
        lines = (Line(number, line) for number, line in enumerate(text.split("\n"), 1))
        return Rows(name, (), _line_rows(name, lines, rejects), "JSONL")
    if is_squad(value):
        return _open_squad(name, value)
    items = value.get("data", value) if isinstance(value, dict) else value
    if isinstance(items, dict):
        items = [items]
    if not isinstance(items, list):
        raise DataError(
            f"{name} holds a JSON {type(items).__name__}",
            "a list of objects, or one object per line",
            "convert the file",
        )
    rows = (
        (number, item)
        for number, item in enumerate(items, 1)
        if _is_object(f"{name}:{number}", item, rejects)
    )
    return count_rows(Rows(name, (), rows, "JSON"), len(items))


def _open_squad(name: str, value: Any) -> Rows:
    """Return the questions of SQuAD's JSON, with their ids, as rows; answers are left out."""
    try:
        questions = questions_of(value)
    except (KeyError, TypeError) as error:
        raise not_squad_error(name, error) from None
    rows = (
        (number, {"question": question, "context": context, **_kept(about)})
        for number, (context, question, about) in enumerate(questions, 1)
    )
    return count_rows(Rows(name, ("question", "context"), rows, SQUAD), len(questions))


def _kept(about: Any) -> dict[str, Any]:
    """Return what a prediction keeps of a question besides its text."""
    given = about if isinstance(about, dict) else {}
    return {key: given[key] for key in ("id", "is_impossible") if key in given}


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_squad(value: Any) -> bool:
    """Return whether a JSON value has the form of SQuAD's files."""
    articles = value.get("data") if isinstance(value, dict) else None
    return isinstance(articles, list) and any(
        isinstance(article, dict) and "paragraphs" in article for article in articles
    )


def _line_rows(name: str, lines: Iterable[Line], rejects: Rejects) -> Iterator[NumberedRow]:
    for line in drop_trailing_blanks(lines):
        place = f"{name}:{line.number}"
        if line.error:
            rejects.add(place, line.error, line.text)
        elif not line.text.strip():
            rejects.add(place, BLANK_ROW, line.text)
        else:
            try:
                value = json.loads(line.text)
            except (ValueError, RecursionError):
                rejects.add(place, "not valid JSON", line.text)
                continue
            if _is_object(place, value, rejects):
                yield line.number, value


def _is_object(place: str, value: Any, rejects: Rejects) -> bool:
    if not isinstance(value, dict):
        rejects.add(place, "not a JSON object", value)
    return isinstance(value, dict)
