"""Inputs for prediction, without labels: lines, JSON objects, table rows, or SQuAD questions."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bert_jax.corpus.readers import read_text_lines
from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.squad import read_questions
from bert_jax.labelled.tables import read_table, text_column_names

InputFormat = Literal["auto", "lines", "tsv", "jsonl"]


class Input(NamedTuple):
    """One input of `Model.predict_inputs`."""

    values: dict[str, Any]
    """For example {"text": …}, or {"question": …, "context": …}."""
    error: str = ""
    """Error message; empty if the line was read."""


def as_input(example: str | tuple[str, str] | dict[str, Any]) -> Input:
    """Return a text, a pair of texts, or a dict of values as an `Input`."""
    if isinstance(example, str):
        return Input({"text": example})
    if isinstance(example, dict):
        return Input(example)
    return Input({"sentence1": example[0], "sentence2": example[1]})


def main_text(values: dict[str, Any]) -> str:
    """Return the text of an input, or the first of a pair; "" without one."""
    return next((str(values[name]) for name in text_column_names(values)[0] if name in values), "")


def read_inputs(name: str, format: InputFormat = "auto") -> Iterator[Input]:
    """Read inputs in order, one for each line, row or question; unreadable ones have an `error`.

    Args:
        name: a file, also .gz or .xz; "-" is standard input.
        format: input format; "auto" goes by the file extension, and treats lines starting with "{"
            as JSON. SQuAD's .json and .parquet files are known by their extensions.

    Raises:
        DataError: no such file, or one that cannot be read (tables and SQuAD's are read whole).
    """
    if name == "-":
        return _from_lines(sys.stdin, format)
    plain = name.removesuffix(".gz").removesuffix(".xz")
    if plain.endswith(".json"):
        questions = read_questions(name)
        return (Input({"question": text, "context": context}) for context, text, _ in questions)
    is_table = format in ("auto", "tsv") and plain.endswith((".tsv", ".csv", ".jsonl"))
    if is_table or name.endswith(".parquet"):
        return _from_table(name)
    if not Path(name).is_file():
        raise DataError(f"{name} does not exist", 'a file, or "-"', "check the path")
    return _from_lines(read_text_lines(name), format)


def _from_table(name: str) -> Iterator[Input]:
    """Return the rows of a table in order, rejected ones included."""
    rejects = Rejects()
    rows = [(place, Input(values)) for place, values in read_table(name, rejects).records]
    for row in rejects.rows:
        place = row["place"]
        rows.append((place, Input({"row": row["row"]}, f"{place}: {row['reason']}")))
    rows.sort(key=lambda row: int(row[0].rpartition(":")[2]))
    return (example for _, example in rows)


def _from_lines(lines: Iterable[str], format: InputFormat) -> Iterator[Input]:
    """Yield JSON objects, pairs of texts separated by a tab, or plain texts."""
    for line in lines:
        line = line.rstrip("\r\n")
        if format == "jsonl" or (format == "auto" and line.startswith("{")):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                yield Input({"line": line}, "not valid JSON")
            else:
                yield Input(value if isinstance(value, dict) else {"json": value})
        elif format == "tsv" and "\t" in line:
            first, second = line.split("\t", 1)
            yield as_input((first, second))
        else:
            yield as_input(line)
