"""Subword and character vocabularies: round trips, special tokens, damaged files."""

import json

import pytest

from bert_jax.errors import ConfigError, DataError
from bert_jax.lineage.subwords import (
    END,
    PAD,
    START,
    UNK,
    Subwords,
    train_characters,
    train_subwords,
)

TEXTS = ["hello, world! we go.", "guten tag, welt! 안녕 하세요?", "we're at 5.5 €"] * 5


@pytest.mark.parametrize("train", [lambda: train_subwords(TEXTS, 100, False),
                                   lambda: train_characters(TEXTS, False)])  # fmt: skip
def test_text_survives_both_ways(train, tmp_path):
    vocabulary = train()
    vocabulary.save(tmp_path)
    loaded = Subwords.load(tmp_path)

    for text in TEXTS:
        (ids,) = loaded.encode([text])
        assert loaded.decode(ids) == text
        assert UNK not in ids
    assert loaded.sha256 == vocabulary.sha256 == train().sha256
    assert loaded.encode([""]) == [[]]


def test_lower_case_and_runs_of_spaces():
    vocabulary = train_subwords([text.upper() for text in TEXTS], 100, True)

    (ids,) = vocabulary.encode(["  HELLO,\t world!  "])

    assert vocabulary.decode(ids) == "hello, world!"


MARKUP = ["a <s> pad> </s> b <unk"] * 5


@pytest.mark.parametrize("train", [lambda: train_subwords(MARKUP, 60, False),
                                   lambda: train_characters(MARKUP, False)])  # fmt: skip
def test_special_tokens_in_a_text_are_plain_text(train, tmp_path):
    train().save(tmp_path)
    vocabulary, text = Subwords.load(tmp_path), "a <pad> </s> <unk> b"

    (ids,) = vocabulary.encode([text])

    assert not {PAD, UNK, START, END} & set(ids)
    assert vocabulary.decode(ids) == text
    assert vocabulary.unknown([text]) == [[]]


def test_what_is_after_the_end_is_left_out():
    vocabulary = train_characters(["abc"], False)
    (a, b, c) = vocabulary.encode(["abc"])[0]

    assert vocabulary.decode([START, a, b, END, c, PAD]) == "ab"
    assert vocabulary.tokens([a, END]) == ["a", "</s>"]


def test_unknown_symbols_are_found():
    vocabulary = train_characters(["abc"], False)

    assert vocabulary.unknown(["abxcy", "abc"]) == [["x", "y"], []]


def test_a_vocabulary_needs_text():
    with pytest.raises(DataError, match="no characters"):
        train_subwords(["", "  "], 100, False)


def test_files_that_are_no_vocabulary_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"vocabulary\.json cannot be read"):
        Subwords.load(tmp_path)
    train_characters(["abc"], False).save(tmp_path)
    path = tmp_path / "vocabulary.json"
    values = json.loads(path.read_text())
    values["added_tokens"], values["model"]["vocab"] = [], {"a": 0, "b": 1, "c": 2, "<unk>": 3}
    path.write_text(json.dumps(values))

    with pytest.raises(ConfigError, match="starts with"):
        Subwords.load(tmp_path)
