"""Texts and pairs of texts: how classification and regression read and encode them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bert_jax.config import FinetuneConfig
from bert_jax.data.batching import EncodedText
from bert_jax.data.rejects import Rejects
from bert_jax.data.tables import LABEL, TEXT, choose_column, read_table, text_names
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import DataError
from bert_jax.tasks.task import Say


class TextExample(NamedTuple):
    """A text, or a pair of texts, and its label as it was written; None where it has none."""

    place: str
    text: str
    text_b: str | None = None
    label: str | None = None


def read_texts(
    source: str, split: str, config: FinetuneConfig, rejects: Rejects, say: Say
) -> list[TextExample]:
    """Reads labelled texts; says which columns were taken."""
    given = config.columns
    asked = [name for name in (given.text, given.text_b, given.label) if name]
    table = read_table(source, rejects, asked, split, config.tfds_data_dir)
    label = choose_column(table, given.label, LABEL, "label")
    names, names_b = text_names(column for column in table.columns if column != label)
    text = choose_column(table, given.text, [name for name in names if name != label], "text")
    names_b = [name for name in names_b if name not in (text, label)]
    text_b = choose_column(table, given.text_b, names_b, "text b", required=False)
    say(
        f"{source}: {table.described}; text {text!r}"
        + (f", text b {text_b!r}" if text_b else "")
        + f", label {label!r}; {len(table.records):,} rows"
    )
    examples = []
    for place, values in table.records:
        found = [values.get(column) for column in (text, text_b, label) if column]
        if any(not isinstance(value, str | int | float | bool) for value in found):
            rejects.add(place, "text or label missing", values)
            continue
        cells = [str(value).strip() for value in found]
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
    """[CLS] text [SEP], or [CLS] text [SEP] text b [SEP]; of a pair the longer one is cut."""
    firsts = tokenizer.encode_batch([example.text for example in examples])
    seconds = tokenizer.encode_batch([example.text_b or "" for example in examples])
    encoded = []
    for number, (example, a, b) in enumerate(zip(examples, firsts, seconds, strict=True)):
        if example.text_b is None:
            a = a[: max_length - 2]
            tokens = [tokenizer.cls_id, *a, tokenizer.sep_id]
        else:
            size_a, size_b = fit_pair(len(a), len(b), max_length - 3)
            a = a[:size_a]
            tokens = [tokenizer.cls_id, *a, tokenizer.sep_id, *b[:size_b], tokenizer.sep_id]
        encoded.append(EncodedText(tokens, len(a) + 2, {}, number))
    return encoded


def fit_pair(first: int, second: int, room: int) -> tuple[int, int]:
    """Lengths after tokens are taken off the end of the longer of two; off the second on a tie.

    The same as `run_classifier.py`'s `_truncate_seq_pair`, which pops them one by one.
    """
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


def parse_text(values: dict[str, Any], place: str) -> TextExample:
    """A text, or a pair, from a user's JSON object or table row."""
    lower = {str(key).lower(): value for key, value in values.items()}
    names, names_b = text_names(lower)
    text = next((lower[name] for name in names if name in lower), None)
    text_b = next((lower[name] for name in names_b if name in lower), None)
    if not isinstance(text, str) or not isinstance(text_b, str | None):
        raise DataError(
            f"{place}: no text in {str(values)[:80]}",
            f"a text under one of {', '.join(TEXT[:5])}, …",
            "name the column so",
        )
    return TextExample(place, text, text_b)
