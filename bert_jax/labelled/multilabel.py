"""Texts with several labels each: lists, delimited strings, or a column of 0 and 1 per label."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import (
    LABEL,
    Table,
    choose_column,
    read_table,
    text_column_names,
)

INDICATORS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


class MultiLabelExample(NamedTuple):
    """A text, or a pair of texts, and its labels; () if none applies, None if they are unknown."""

    place: str
    """file:line."""
    text: str
    text_b: str | None = None
    label: tuple[str, ...] | None = None


def read_multilabel_examples(
    source: str, split: str, config: FinetuneConfig, rejects: Rejects, log: Callable[[str], None]
) -> list[MultiLabelExample]:
    """Read texts with any number of labels from a table; log which columns were chosen.

    If `config.labels` are names of columns, each of these columns says with 1 or 0 whether its
    label applies. Else one column holds a list of labels or, with `config.label_separator`, a
    string that is split.

    Raises:
        DataError: the table cannot be read, or has no column with a known name.
    """
    given = config.columns
    asked = [x for x in (given.text, given.text_b, given.label, *config.labels) if x]
    table = read_table(source, rejects, asked, split, config.tfds_data_dir)
    of_labels = _label_columns(table, config)
    names, names_b = text_column_names(c for c in table.columns if c not in of_labels)
    names = [name for name in names if name not in of_labels]
    text = choose_column(table, given.text, names, "text")
    names_b = [name for name in names_b if name not in (text, *of_labels)]
    text_b = choose_column(table, given.text_b, names_b, "text b", required=False)
    log(
        f"{source}: {table.description}; text {text!r}"
        + (f", text b {text_b!r}" if text_b else "")
        + f", label{'s' if len(of_labels) > 1 else ''} {', '.join(map(repr, of_labels))[:200]}"
        + f"; {len(table.records):,} rows"
    )
    examples = []
    for place, values in table.records:
        texts = [values.get(column) for column in (text, text_b) if column]
        if not all(isinstance(x, str | int | float | bool) and str(x).strip() for x in texts):
            rejects.add(place, "text missing or empty", values)
            continue
        try:
            labels = parse_labels(values, of_labels, config)
        except ValueError as reason:
            rejects.add(place, str(reason), values)
            continue
        first, *rest = (str(x).strip() for x in texts)
        examples.append(MultiLabelExample(place, first, rest[0] if rest else None, labels))
    return examples


def parse_labels(
    values: Mapping[str, Any], columns: tuple[str, ...], config: FinetuneConfig
) -> tuple[str, ...]:
    """Return the labels of a row, each once.

    Args:
        values: the row.
        columns: the column with the labels, or one column for each of `config.labels`.
        config: the labels, and the separator between them.

    Raises:
        ValueError: they cannot be read, for the reason that is its text.
    """
    if columns == config.labels:
        return tuple(column for column in columns if _applies(column, values.get(column)))
    value = values.get(columns[0])
    if isinstance(value, str):
        if not config.label_separator:
            raise ValueError("labels are one text, not a list: pass --label-separator")
        return _distinct(value.split(config.label_separator))
    if value is None or not hasattr(value, "__iter__") or isinstance(value, dict | bytes):
        raise ValueError("labels missing, or not a list")
    items = list(value)
    if any(item is None or isinstance(item, list | dict) for item in items):
        raise ValueError("a label that is neither a text nor a number")
    return _distinct(
        item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in items
    )


def _label_columns(table: Table, config: FinetuneConfig) -> tuple[str, ...]:
    """Return the column with the labels, or a column for each of the configured labels."""
    given, labels = config.columns.label, config.labels
    if given is None and labels and set(labels) <= set(table.columns):
        return labels
    column = choose_column(table, given, LABEL, "label", required=False)
    if column is None:
        raise DataError(
            f"{table.name}: no column with a known name for the labels; it has "
            + ", ".join(table.columns)[:200],
            "a column with a list of labels, or a column of 0 and 1 for each label",
            "name the first with --columns.label, or all of the second with --labels",
        )
    return (column,)


def _applies(column: str, value: Any) -> bool:
    """Return whether a label applies: 1 or 0, True or False, also as text."""
    applies = INDICATORS.get(str(value).strip().lower())
    if applies is None:
        raise ValueError(f"{column} is {str(value)[:40]!r}, not 0 or 1")
    return applies


def _distinct(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label.strip() for label in labels if label.strip()))
