"""Texts and pairs of texts: read and encoded for classification and regression."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import (
    LABEL,
    TEXT,
    Table,
    choose_column,
    find_column,
    open_table,
    read_label,
    read_table,
    text_column_names,
)
from bert_jax.tokenizer.tokenizer import Tokenizer

CHARS_PER_TOKEN = 32  # of a text's start that is tokenized first; few texts need more


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
    text, text_b = choose_text_columns(table, given.text, given.text_b, label)
    log(
        f"{source}: {table.description}; text {text!r}"
        + (f", text b {text_b!r}" if text_b else "")
        + f", label {label!r}; {len(table.records):,} rows"
    )
    examples = []
    for place, values in table.records:
        try:
            first = _read_text(values.get(text))
            second = _read_text(values.get(text_b)) if text_b else None
            examples.append(TextExample(place, first, second, read_label(values.get(str(label)))))
        except ValueError as reason:
            rejects.add(place, str(reason), values)
    if not table.has_header and len(examples) > 2:
        first, counts = examples[0].label, Counter(example.label for example in examples)
        if counts[first] == 1 and not any(map(str.isdecimal, str(first))):
            log(
                f"warning: {examples[0].place}: no other row has the label {first!r}; if this row "
                f"is a header, say so by naming a column: --columns.label {first!r}"
            )
    return examples


def training_columns(source: str, split: str, config: FinetuneConfig) -> dict[str, str]:
    """Return the columns of the text and, of pairs, of text b, as `read_text_examples` finds them.

    The exported model remembers them.
    """
    given = config.columns
    asked = [name for name in (given.text, given.text_b, given.label) if name]
    table = open_table(source, Rejects(), asked, split, config.tfds_data_dir)
    label = find_column(table.columns, given.label) if given.label else None
    label = label or choose_column(table, None, LABEL, "label", required=False)
    text, text_b = choose_text_columns(table, given.text, given.text_b, label)
    return {"text": text} | ({"text_b": text_b} if text_b else {})


def choose_text_columns(
    table: Table, text: str | None, text_b: str | None, label: str | None = None
) -> tuple[str, str | None]:
    """Return the columns of the text and, of pairs, of text b: those given, or by known names.

    Args:
        table: the table.
        text: the text's column, if it is given.
        text_b: text b's column, if it is given.
        label: the label's column, which is none of them.

    Raises:
        DataError: a given column does not exist, or none has a known name.
    """
    names, names_b = text_column_names(column for column in table.columns if column != label)
    first = choose_column(table, text, [name for name in names if name != label], "text")
    names_b = [name for name in names_b if name not in (first, label)]
    return str(first), choose_column(table, text_b, names_b, "text b", required=False)


def _read_text(value: Any) -> str:
    """Return the text of a cell.

    Raises:
        ValueError: it is missing, empty, or no text or number; the message is the reason.
    """
    if not isinstance(value, str | int | float | bool):
        raise ValueError("text missing")
    text = str(value).strip()
    if not text:
        raise ValueError("text empty")
    return text


def encode_texts(
    examples: Sequence[TextExample], tokenizer: Tokenizer, max_length: int
) -> list[EncodedText]:
    """Encode [CLS] text [SEP], or [CLS] text [SEP] text b [SEP]; the longer of a pair is cut.

    RoBERTa's tokenizer has a second [SEP] before text b, which belongs to the second segment.
    """
    firsts = encode_starts([example.text for example in examples], tokenizer, max_length)
    seconds = encode_starts([example.text_b or "" for example in examples], tokenizer, max_length)
    encoded = []
    for index, (example, a, b) in enumerate(zip(examples, firsts, seconds, strict=True)):
        if example.text_b is None:
            text = encode_single(a, tokenizer, max_length)
        else:
            room = max_length - len(tokenizer.join([], []))
            size_a, size_b = truncate_pair(len(a), len(b), room)
            tokens = tokenizer.join(a[:size_a], b[:size_b])
            truncated = size_a + size_b < len(a) + len(b)
            text = EncodedText(tokens, size_a + 2, {}, truncated=truncated)
        encoded.append(text._replace(example=index))
    return encoded


def encode_starts(texts: Sequence[str], tokenizer: Tokenizer, max_length: int) -> list[list[int]]:
    """Return the ids of each text; of a long text, the first ones, at least `max_length` of them.

    A text of megabytes is not tokenized as a whole: its first words are, and more of them as long
    as they give too few ids.
    """
    encoded: list[list[int]] = [[]] * len(texts)
    size = max_length * CHARS_PER_TOKEN
    waiting: Sequence[int] = range(len(texts))
    while waiting:
        starts = [_first_words(texts[i], size) for i in waiting]
        for i, ids in zip(waiting, tokenizer.encode_batch(starts), strict=True):
            encoded[i] = ids
        waiting = [
            i
            for i, start in zip(waiting, starts, strict=True)
            if len(start) < len(texts[i]) and len(encoded[i]) < max_length
        ]
        size *= 8
    return encoded


def _first_words(text: str, size: int) -> str:
    """Return the whole words in the first `size` characters; all of a text without spaces."""
    if len(text) <= size:
        return text
    end = max(text.rfind(space, 0, size) for space in " \n\t")
    return text[:end] if end > 0 else text


def encode_single(ids: Sequence[int], tokenizer: Tokenizer, max_length: int) -> EncodedText:
    """Return [CLS] ids [SEP]; ids that exceed `max_length` are cut off at the end."""
    tokens = tokenizer.join(ids[: max_length - 2])
    return EncodedText(tokens, len(tokens), {}, truncated=len(ids) > max_length - 2)


def require_single_texts(encoded: Sequence[EncodedText], places: Sequence[str]) -> None:
    """Check that no text is a pair, for a model that knows one segment only.

    Args:
        encoded: the encoded examples.
        places: the place of each example, for the message.

    Raises:
        DataError: a pair.
    """
    pair = next((text for text in encoded if len(text.tokens) > text.first_length), None)
    if pair is not None:
        raise DataError(
            f"{places[pair.example]}: two texts, but the model has one segment (type_vocab_size 1)",
            "one text, or a model with two segments",
            "leave out the second text, or use another model",
        )


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
            "rename the column or key, or name it: --columns.text",
        )
    if not text.strip() or (text_b is not None and not text_b.strip()):
        raise DataError(f"{place}: text empty", "a text with a word", "leave the row out")
    return TextExample(place, text, text_b)
