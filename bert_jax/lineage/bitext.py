"""Pairs of sentences to translate (bitext): two files, a table, TFDS, or question_answer lines."""

from collections.abc import Sequence
from typing import NamedTuple

from bert_jax.errors import DataError
from bert_jax.labelled.files import read_text_file
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import read_table

ANSWER_SEPARATOR = "_"


class Pair(NamedTuple):
    """A sentence and its translation, or a question and its answer."""

    source: str
    target: str
    place: str
    """file:line, counted from 1."""


def read_bitext(
    names: Sequence[str],
    rejects: Rejects,
    columns: Sequence[str] = (),
    tfds_data_dir: str | None = None,
) -> list[Pair]:
    """Read all pairs; those with an empty side are rejected.

    Args:
        names: two files, source and target, line by line; or one: a table (.tsv, .csv, .jsonl,
            .parquet, tfds:NAME:SPLIT), or a .txt file with `question_answer` lines, which are split
            at the last "_" and lose the spaces at the end of either part. Text files may be .gz or
            .xz.
        rejects: collects pairs that cannot be used.
        columns: source and target in a table; empty: the first two.
        tfds_data_dir: folder of TFDS data sets; None: TFDS's default.

    Raises:
        DataError: files of different length, or no pair at all.
    """
    if len(names) == 2:
        pairs = _read_two_files(*names)
    elif len(names) == 1 and _is_text_file(names[0]):
        pairs = _read_question_answers(names[0], rejects)
    elif len(names) == 1:
        pairs = _read_columns(names[0], rejects, columns, tfds_data_dir)
    else:
        raise DataError(
            f"{len(names)} files: {', '.join(names)}",
            "two files (source, target), or one with both",
            "check the names of the files",
        )
    kept = []
    for pair in pairs:
        empty = [side for side in ("source", "target") if not getattr(pair, side).strip()]
        if empty:
            rejects.add(pair.place, f"empty {' and '.join(empty)}", pair._asdict())
        else:
            kept.append(pair)
    if not kept:
        raise DataError(
            f"{', '.join(names)}: no pair can be used ({'; '.join(rejects.summary())})",
            "at least one pair of texts",
            "check the file",
        )
    return kept


def _is_text_file(name: str) -> bool:
    return name.removesuffix(".gz").removesuffix(".xz").endswith(".txt")


def read_lines(name: str) -> list[str]:
    """Return the lines of a text file; a line break at its end starts no further line."""
    return split_lines(read_text_file(name))


def split_lines(text: str) -> list[str]:
    """Split a text at line breaks only; U+2028 and its like are part of a line."""
    return text.removesuffix("\n").split("\n")


def _read_two_files(source_name: str, target_name: str) -> list[Pair]:
    sources, targets = read_lines(source_name), read_lines(target_name)
    if len(sources) != len(targets):
        shorter, longer = sorted(
            [(len(sources), source_name), (len(targets), target_name)], key=lambda file: file[0]
        )
        raise DataError(
            f"{longer[1]}:{shorter[0] + 1} has no partner: {shorter[1]} ends at line {shorter[0]:,}"
            f" of {longer[0]:,}",
            "as many lines in both files, one sentence a line",
            "find the line that is missing, or split into two",
        )
    rows = enumerate(zip(sources, targets, strict=True), 1)
    return [Pair(source, target, f"{source_name}:{n}") for n, (source, target) in rows]


def _read_question_answers(name: str, rejects: Rejects) -> list[Pair]:
    pairs = []
    for number, line in enumerate(read_lines(name), 1):
        question, separator, answer = line.rpartition(ANSWER_SEPARATOR)
        place = f"{name}:{number}"
        if separator:
            pairs.append(Pair(question.rstrip(), answer.rstrip(), place))
        else:
            rejects.add(place, f"no {ANSWER_SEPARATOR!r} between question and answer", line)
    return pairs


def _read_columns(
    name: str, rejects: Rejects, columns: Sequence[str], tfds_data_dir: str | None
) -> list[Pair]:
    table = read_table(name, rejects, columns, tfds_data_dir=tfds_data_dir)
    for column in columns:
        if column not in table.columns:
            raise DataError(
                f"{table.name}: no column {column!r}",
                f"two of {', '.join(map(repr, table.columns))}",
                "pass --columns SOURCE TARGET",
            )
    if len(table.columns) < 2 or len(columns) == 1:
        raise DataError(
            f"{table.name} has the columns {', '.join(table.columns)}, {columns or 'none'} chosen",
            "two columns, source and target",
            "check the file, or pass --columns SOURCE TARGET",
        )
    source, target = columns or table.columns[:2]
    pairs = []
    for place, values in table.records:
        left, right = values.get(source), values.get(target)
        if isinstance(left, str) and isinstance(right, str):
            pairs.append(Pair(left, right, place))
        else:
            rejects.add(place, "a side that is not text", values)
    return pairs
