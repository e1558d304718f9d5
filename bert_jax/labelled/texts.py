"""Texts and pairs of texts: read and encoded for classification and regression."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import LABEL, TEXT, choose_column, read_table, text_column_names
from bert_jax.tokenizer.tokenizer import Tokenizer


class TextExample(NamedTuple):
    """A text, or a pair of texts, and its label as written in the file; None without a label."""

    place: str
    """file:line."""
    text: str
    text_b: str | None = None
    label: str | None = None


def read_text_examples(
    source: str, split: str, config: FinetuneConfig, rejects: Rejects, log: Callable[[str], None]
) -> list[TextExample]:
    """Read labelled texts from a table; log which columns were chosen."""
    given = config.columns
    asked = [name for name in (given.text, given.text_b, given.label) if name]
    table = read_table(source, rejects, asked, split, config.tfds_data_dir)
    label = choose_column(table, given.label, LABEL, "label")
    names, names_b = text_column_names(column for column in table.columns if column != label)
    text = choose_column(table, given.text, [name for name in names if name != label], "text")
    names_b = [name for name in names_b if name not in (text, label)]
    text_b = choose_column(table, given.text_b, names_b, "text b", required=False)
    log(
        f"{source}: {table.description}; text {text!r}"
        + (f", text b {text_b!r}" if text_b else "")
        + f", label {label!r}; {len(table.records):,} rows"
    )
    examples = []
    for place, values in table.records:
        row = [values.get(column) for column in (text, text_b, label) if column]
        if any(not isinstance(value, str | int | float | bool) for value in row):
            rejects.add(place, "text or label missing", values)
            continue
        cells = [str(value).strip() for value in row]
        if not all(cells[:-1]):
            rejects.add(place, "text empty", values)
        elif not cells[-1]:
            rejects.add(place, "label empty", values)
        else:
            second = cells[1] if text_b else None
            examples.append(TextExample(place, cells[0], second, cells[-1]))
    return examples


def encode_texts(
    examples: Sequence[TextExample], tokenizer: Tokenizer, max_length: int
) -> list[EncodedText]:
    """Encode [CLS] text [SEP], or [CLS] text [SEP] text b [SEP]; the longer of a pair is cut."""
    firsts = tokenizer.encode_batch([example.text for example in examples])
    seconds = tokenizer.encode_batch([example.text_b or "" for example in examples])
    encoded = []
    for index, (example, a, b) in enumerate(zip(examples, firsts, seconds, strict=True)):
        if example.text_b is None:
            text = encode_single(a, tokenizer, max_length)
        else:
            size_a, size_b = truncate_pair(len(a), len(b), max_length - 3)
            tokens = [tokenizer.cls_id, *a[:size_a], tokenizer.sep_id]
            tokens += [*b[:size_b], tokenizer.sep_id]
            text = EncodedText(tokens, size_a + 2, {})
        encoded.append(text._replace(example=index))
    return encoded


def encode_single(ids: Sequence[int], tokenizer: Tokenizer, max_length: int) -> EncodedText:
    """Return [CLS] ids [SEP]; ids that exceed `max_length` are cut off at the end."""
    tokens = [tokenizer.cls_id, *ids[: max_length - 2], tokenizer.sep_id]
    return EncodedText(tokens, len(tokens), {})


def truncate_pair(first: int, second: int, room: int) -> tuple[int, int]:
    """Return the lengths of two sequences, cut until their sum is at most `room`.

    Tokens are removed from the end of the longer one, or of the second if both are equal, as in
    `run_classifier.py`, `_truncate_seq_pair`.
    """
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


def parse_text(values: dict[str, Any], place: str) -> TextExample:
    """Return the text, or pair of texts, of a user's JSON object or table row.

    Raises:
        DataError: no text under a known name.
    """
    lower = {str(key).lower(): value for key, value in values.items()}
    names, names_b = text_column_names(lower)
    text = next((lower[name] for name in names if name in lower), None)
    text_b = next((lower[name] for name in names_b if name in lower), None)
    if not isinstance(text, str) or not isinstance(text_b, str | None):
        raise DataError(
            f"{place}: no text in {str(values)[:80]}",
            f"a text under one of {', '.join(TEXT[:5])}, …",
            "rename the column or key",
        )
    return TextExample(place, text, text_b)
