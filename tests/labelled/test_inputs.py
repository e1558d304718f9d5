import io
import json

import pytest

from bert_jax.errors import DataError
from bert_jax.labelled.inputs import Input, as_input, main_text, read_inputs


@pytest.mark.parametrize(
    ("format", "line", "expected"),
    [
        ("auto", "a\tb", Input({"text": "a\tb"})),
        ("tsv", "a\tb\tc", Input({"sentence1": "a", "sentence2": "b\tc"})),
        ("tsv", "a", Input({"text": "a"})),
        ("auto", '{"text": "a", "error": "of a user"}', Input({"text": "a", "error": "of a user"})),
        ("auto", "[1]", Input({"text": "[1]"})),
        ("jsonl", "[1]", Input({"json": [1]})),
        ("lines", '{"text": "a"}', Input({"text": '{"text": "a"}'})),
        ("auto", "{", Input({"line": "{"}, "not valid JSON")),
        ("auto", "", Input({"text": ""})),
    ],
)
def test_lines_by_format(monkeypatch, format, line, expected):
    monkeypatch.setattr("sys.stdin", io.StringIO(line + "\r\n"))
    assert list(read_inputs("-", format)) == [expected]


def test_rejected_rows_of_a_table_keep_their_places(corpus):
    path = corpus("id\ttext\n1\ta\n2\n3\tb\n", "a.tsv")
    assert list(read_inputs(path)) == [
        Input({"id": "1", "text": "a"}),
        Input({"row": '["2"]'}, f"{path}:3: 1 fields, expected 2"),
        Input({"id": "3", "text": "b"}),
    ]
    assert [example.values for example in read_inputs(path, "lines")][:2] == [
        {"text": "id\ttext"}, {"text": "1\ta"}
    ]  # fmt: skip


def test_questions_of_a_squad_file(corpus):
    qas = [{"question": "who"}, {"question": "what", "answers": []}]
    path = corpus(json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": qas}]}]}), "a.json")
    assert [example.values for example in read_inputs(path)] == [
        {"question": "who", "context": "c"}, {"question": "what", "context": "c"}
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.json", "a.parquet"])
def test_a_missing_file_is_refused_before_any_input_is_asked_for(name):
    with pytest.raises(DataError, match=name):
        read_inputs(f"nowhere/{name}")


def test_texts_pairs_and_dicts_are_inputs():
    assert as_input("a") == Input({"text": "a"})
    assert as_input(("a", "b")) == Input({"sentence1": "a", "sentence2": "b"})
    assert as_input({"question": "q", "context": "c"}).values == {"question": "q", "context": "c"}
    values = ({"text": 5}, {"sentence1": "a"}, {"question": "q", "sentence": "s"}, {"line": "x"})
    assert [main_text(each) for each in values] == ["5", "a", "q", ""]
