"""Inputs for prediction, without labels: lines, table rows, sentences of words, or questions.

Files are read as finetune.py reads them, by the model's task.
"""

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from bert_jax.errors import DataError
from bert_jax.labelled.conll import looks_like_conll, read_conll
from bert_jax.labelled.delimited import HEAD_ROWS, find_delimiter, is_header, split_line
from bert_jax.labelled.files import LineReader
from bert_jax.labelled.json_rows import SQUAD, parse_json
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import (
    KNOWN,
    WORDS,
    Table,
    choose_column,
    find_column,
    open_table,
    table_format,
    text_column_names,
)
from bert_jax.labelled.texts import choose_text_columns

InputFormat = Literal["auto", "lines", "tsv", "csv", "jsonl", "json", "conll"]


@dataclasses.dataclass(frozen=True)
class InputColumns:
    """Columns of a table, by name or number. None: those of the training data, or known names."""

    text: str | None = None
    """Text, or first text of a pair."""
    text_b: str | None = None
    """Second text of a pair."""


class Reading(NamedTuple):
    """A model's task, labels and columns: its inputs are read as its training data were."""

    kind: str | None = None
    """Its kind of task; None for a model that fills masks."""
    labels: tuple[str, ...] = ()
    """Its labels; a tagger's tell a CoNLL file from lines of text."""
    columns: Any = None
    """Columns of its training data, {"text": …, "text_b": …}; anything else: unknown."""


UNKNOWN = Reading()


class Input(NamedTuple):
    """One input of `Model.predict_inputs`."""

    values: dict[str, Any]
    """For example {"text": …}, or {"question": …, "context": …}; the output repeats them."""
    error: str = ""
    """Error message; empty if the line was read."""
    place: str = ""
    """file:line; empty if it comes from no file."""
    fields: dict[str, Any] | None = None
    """Values that the task reads, if columns were chosen: {"text": …}; None: `values`."""

    @property
    def read(self) -> dict[str, Any]:
        """The values that the task reads."""
        return self.values if self.fields is None else self.fields


class Inputs(NamedTuple):
    """The inputs of a file, in order."""

    rows: Iterator[Input]
    description: str
    """The file's name and format, and the columns that are read."""
    fraction: Callable[[], float | None]
    """Share that was read, from 0 to 1; None if unknown."""


def as_input(example: str | tuple[str, str] | dict[str, Any]) -> Input:
    """Return a text, a pair of texts, or a dict of values as an `Input`."""
    if isinstance(example, str):
        return Input({"text": example})
    if isinstance(example, dict):
        return Input(example)
    return Input({"sentence1": example[0], "sentence2": example[1]})


def main_text(values: dict[str, Any]) -> str:
    """Return the text of an input, or the first of a pair, or its words; "" without any."""
    lower = {str(key).lower(): value for key, value in values.items()}
    text = next((lower[name] for name in text_column_names(lower)[0] if name in lower), None)
    if text is None and isinstance(lower.get("words"), list):
        text = " ".join(map(str, lower["words"]))
    return "" if text is None else str(text)


def read_inputs(
    name: str,
    format: InputFormat = "auto",
    columns: InputColumns = InputColumns(),
    model: Reading = UNKNOWN,
) -> Inputs:
    """Read inputs in order, one for each line, row or question; unreadable ones have an `error`.

    Args:
        name: a file, also .gz or .xz, or tfds:NAME[:SPLIT]; "-" is standard input.
        format: input format; "auto" goes by the file's ending and, where that says nothing, by its
            first lines: a table with a header that names a text, CoNLL for a tagger, or lines, of
            which those that start with "{" are JSON.
        columns: columns that the user asked for.
        model: the model that reads them.

    Raises:
        DataError: no such file, one that cannot be read, or a table without the columns.
    """
    is_lines = format in ("auto", "lines", "conll")
    is_table = not is_lines or name.startswith("tfds:") or table_format(name) == "parquet"
    if format == "auto" and table_format(name):
        is_table = True
    if is_table:
        kind = None if is_lines else format
        return _from_table(name, kind, None, columns, model)  # type: ignore[arg-type]
    if format == "conll":
        return _from_conll(name, model)
    reader = LineReader(name)
    head = [line.text for line in reader.peek(HEAD_ROWS) if not line.error]
    by_content = format == "auto" and model.kind == "tagging"
    if by_content and looks_like_conll(name, head, model.labels):
        # Standard input cannot be read again.
        text = "\n".join(line.text for line in reader) if name == "-" else None
        return _from_conll(name, model, text)
    if format == "auto" and _is_table(head, columns, model):
        kind = "jsonl" if head[0].lstrip().startswith("{") else None
        return _from_table(name, kind, reader, columns, model)
    rows = _from_lines(reader, format == "lines")
    return Inputs(rows, f"{reader.place}: one input per line", reader.fraction)


def _is_table(head: list[str], columns: InputColumns, model: Reading) -> bool:
    """Return whether lines are a table: its header names a text, or a column is asked for."""
    if columns.text or columns.text_b:
        return bool(head)
    if not head or head[0].startswith("{"):
        return False
    delimiter = find_delimiter(head, is_csv=False)
    rows = [split_line(line, delimiter) for line in head]
    width = len(rows[0])
    asked = list(_remembered(model).values())
    if width < 2:
        return False
    if is_header(rows, KNOWN, asked):
        names = {cell.strip().lower() for cell in rows[0]}
        return any(name.lower() in names for name in (*asked[:1], *text_column_names(names)[0]))
    is_numbered = bool(asked) and all(name.isdecimal() and int(name) <= width for name in asked)
    return is_numbered and all(len(row) >= width for row in rows)


def _remembered(model: Reading) -> dict[str, str]:
    """Return the columns of the text, and of text b, in the model's training data."""
    known = model.columns if isinstance(model.columns, dict) else {}
    names = {key: known.get(key) for key in ("text", "text_b")}
    return {key: name for key, name in names.items() if isinstance(name, str) and name}


def _from_table(
    name: str,
    format: Literal["tsv", "csv", "jsonl", "json", "parquet"] | None,
    reader: LineReader | None,
    columns: InputColumns,
    model: Reading,
) -> Inputs:
    """Return the rows of a table in order, rejected ones included."""
    rejects = Rejects()
    asked = [name for name in (columns.text, columns.text_b, *_remembered(model).values()) if name]
    table = open_table(name, rejects, asked, format=format, reader=reader)
    if table.description == SQUAD and model.kind != "question_answering":
        raise DataError(
            f"{name} is SQuAD's JSON, questions with passages; the model's task is "
            f"{model.kind or 'to fill masks'}",
            "texts: a list of objects in JSON, or one object per line",
            "use a model that was fine-tuned with --task question_answering, or another file",
        )
    chosen = _choose_columns(table, columns, model, format) if table.records else {}
    description = f"{table.name}: {table.description}"
    for key, column in chosen.items():
        description += f"; {key.replace('_', ' ')} {column!r}"
    rows = _merge_rejected(table, rejects, chosen)
    return Inputs(rows, description, table.fraction)


def _merge_rejected(table: Table, rejects: Rejects, chosen: dict[str, str]) -> Iterator[Input]:
    """Yield the rows of a table, with rejected ones at their lines."""
    taken = 0
    waiting: list[tuple[int, int, dict[str, str]]] = []  # a heap by line: rows are read ahead
    for record in itertools.chain(table.records, table.rest, [None]):
        for index in range(taken, len(rejects.rows)):
            row = rejects.rows[index]
            heapq.heappush(waiting, (_line_number(row["place"]), index, row))
        taken = len(rejects.rows)
        while waiting and (record is None or waiting[0][0] < _line_number(record.place)):
            yield _as_error(heapq.heappop(waiting)[2])
        if record is not None:
            fields = {key: record.values.get(column) for key, column in chosen.items()} or None
            yield Input(record.values, "", record.place, fields)


def _as_error(row: dict[str, str]) -> Input:
    return Input({"row": row["row"]}, f"{row['place']}: {row['reason']}", row["place"])


def _line_number(place: str) -> int:
    return int(place.rpartition(":")[2])


def _choose_columns(
    table: Table, columns: InputColumns, model: Reading, format: str | None
) -> dict[str, str]:
    """Return the columns by the names that the task knows; {} where it looks into each row.

    The user's choice comes first, then the columns of the training data, then known names.
    """
    remembered = _remembered(model)
    names = {
        key: find_column(table.columns, name)
        for key, name in remembered.items()
        if not (table.has_header and name.isdecimal())
    }
    text, text_b = columns.text or names.get("text"), columns.text_b or names.get("text_b")
    if model.kind == "question_answering":
        return {}
    if model.kind == "tagging":
        words = choose_column(table, text, WORDS, "text", required=not table.by_row)
        return {"words": words} if words else {}
    width = len(table.columns)
    if not text and not table.has_header and (width == 1 or (width == 2 and format == "tsv")):
        text, text_b = "1", "2" if width == 2 else None
    if not text and table.by_row:
        return {}
    is_single = "text" in remembered and "text_b" not in remembered
    text, known_b = choose_text_columns(table, text, text_b)
    text_b = text_b or (None if is_single else known_b)
    if model.kind is None:
        return {"text": text}
    return {"text": text, "text_b": text_b} if text_b else {"text": text}


def _from_conll(name: str, model: Reading, text: str | None = None) -> Inputs:
    """Return the sentences of a CoNLL file; given tags are kept, but not read."""
    if model.kind != "tagging":
        raise DataError(
            f"{name}: CoNLL has a word per line; the model is no tagger",
            "one text per line, or a table",
            "pass another --format",
        )
    sentences = read_conll(name, Rejects(), need_tags=False, text=text)
    rows = (
        Input(
            {"words": list(words)} | ({"tags": list(tags)} if tags else {}),
            "",
            place,
            {"words": list(words)},
        )
        for place, words, tags in sentences
    )
    tagged = any(sentence.tags for sentence in sentences)
    about = f"{name}: CoNLL{', its tags are not read' if tagged else ''}"
    return Inputs(rows, f"{about}; {len(sentences):,} sentences", lambda: None)


def _from_lines(reader: LineReader, only_texts: bool) -> Iterator[Input]:
    """Yield texts and, unless there are only texts, JSON objects of lines that start with "{"."""
    for line in reader:
        place = f"{reader.place}:{line.number}"
        if line.error:
            yield Input({"line": line.text[:200]}, f"{place}: {line.error}", place)
            continue
        for text in line.text.split("\r"):
            if only_texts or not text.startswith("{"):
                yield Input({"text": text}, "", place)
                continue
            value = parse_json(text)
            if isinstance(value, dict):
                yield Input(value, "", place)
            else:
                yield Input({"line": text}, f"{place}: not valid JSON", place)
