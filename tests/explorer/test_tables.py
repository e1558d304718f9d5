"""Pasted tables: read as predict.py reads files, and compared with their own labels."""

import json

import pytest

import bert_jax
from bert_jax.errors import DataError
from bert_jax.explorer import tables
from bert_jax.explorer.tables import predict_table
from tests.tasks.tiny import make


def rows(kind: str, pasted: str) -> list[dict]:
    answer = predict_table(bert_jax.Model(make(kind)), pasted)
    json.dumps(answer, allow_nan=False)
    return answer["rows"]


@pytest.mark.parametrize(
    "pasted",
    ["text\tlabel\nthe cat\tgood\na dog\tbad", "label,text\ngood,the cat\nbad,a dog",
     '{"text": "the cat", "label": "good"}\n{"text": "a dog", "label": "bad"}',
     '[{"text": "the cat", "label": "good"}, {"text": "a dog", "label": "bad"}]'],
)  # fmt: skip
def test_tables_of_every_format_with_their_labels(pasted):
    found = rows("classification", pasted)
    assert [row["input"] for row in found] == [{"text": "the cat"}, {"text": "a dog"}]
    assert [row["gold"] for row in found] == ["good", "bad"]
    assert [row["agrees"] for row in found] == [
        float(row["gold"] == row["predicted"]) for row in found
    ]
    assert all(0 < row["confidence"] <= 1 for row in found)


def test_lines_have_no_label_and_rows_have_their_line():
    found = rows("classification", "the cat\n\na dog\n")
    assert [(row["line"], row["gold"]) for row in found] == [(1, None), (2, None), (3, None)]
    assert found[1]["error"] == "line 2: text empty"


def test_pairs_keep_their_second_text():
    (row,) = rows("classification", "sentence1\tsentence2\tlabel\nthe cat\ta dog\tgood")
    assert row["input"] == {"text": "the cat", "text_b": "a dog"}
    assert row["gold"] == "good"


def test_labels_that_the_model_does_not_know_are_not_compared():
    model = bert_jax.Model(make("classification"))
    answer = predict_table(model, "text\tlabel\nthe cat\t1\na dog\tgood")
    assert [row["agrees"] is None for row in answer["rows"]] == [True, False]
    assert answer["notice"] == "Labels that the model does not know are not compared: 1"


def test_several_labels_as_a_list_or_in_columns():
    model = bert_jax.Model(make("multilabel"))
    (prediction,) = model.predict(["the cat"])
    right = prediction["labels"]
    (row,) = rows("multilabel", json.dumps({"text": "the cat", "labels": right}))
    assert (row["predicted"], row["agrees"]) == (", ".join(right), 1)
    applies = "\t".join(str(int(label in right)) for label in ("bad", "good", "long"))
    (row,) = rows("multilabel", f"text\tbad\tgood\tlong\nthe cat\t{applies}")
    assert (row["gold"], row["agrees"]) == (", ".join(right), 1)
    wrong = ",".join({"bad", "good", "long"} - set(right))
    (row,) = rows("multilabel", f"text\tlabels\nthe cat\t{wrong}")
    assert row["agrees"] == 0


def test_scores_are_numbers_without_agreement():
    model = bert_jax.Model(make("regression"))
    (prediction,) = model.predict(["the cat"])
    answer = predict_table(model, "text\tscore\nthe cat\t2.5")
    (row,) = answer["rows"]
    assert row["number"] == pytest.approx(prediction["score"], abs=1e-6)
    assert (row["gold"], row["agrees"], row["confidence"]) == ("2.5", None, None)
    assert answer["notice"] is None


def test_tags_of_conll_agree_in_part():
    model = bert_jax.Model(make("tagging"))
    (prediction,) = model.predict(["the cat"])
    first, second = prediction["tags"]
    other = next(tag for tag in model.labels if tag != second)
    found = rows("tagging", f"the {first}\ncat {second}\n\nthe {first}\ncat {other}\n")
    assert [row["agrees"] for row in found] == [1, 0.5]
    assert found[0]["input"] == {"text": "the cat"}


def test_questions_of_squad_and_of_a_table():
    model = bert_jax.Model(make("question_answering"))
    (prediction,) = model.predict([{"question": "who ?", "context": "the cat sat"}])
    answers = [{"text": prediction["text"], "answer_start": prediction["start"]}]
    paragraph = {"context": "the cat sat", "qas": [{"question": "who ?", "answers": answers}]}
    (row,) = rows("question_answering", json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    assert row["input"] == {"question": "who ?", "context": "the cat sat"}
    assert row["agrees"] == 1
    (row,) = rows("question_answering", "question\tcontext\tanswer\nwho ?\tthe cat sat\tfilm")
    assert (row["gold"], row["agrees"]) == ("film", 0)


def test_a_long_table_is_cut_with_a_notice(monkeypatch):
    monkeypatch.setattr(tables, "MAX_ROWS", 3)
    answer = predict_table(bert_jax.Model(make("classification")), "the cat\n" * 9)
    assert len(answer["rows"]) == 3
    assert answer["notice"] == "The table was cut after 3 rows."


def test_a_row_that_is_no_json_is_an_error_of_its_own():
    (row,) = rows("classification", '[{"text":')
    assert row["error"] == "line 1: not valid JSON"


@pytest.mark.parametrize(
    ("pasted", "message"),
    [("", "the table is empty"), (None, "the table is empty"), (" \n", "the table is empty"),
     ("text\ttext\nthe\tcat", "line 1: the header names a column twice"),
     ('{"data": [{"paragraphs": [{}]}]}', "the table is not a SQuAD file")],
)  # fmt: skip
def test_what_is_no_table_is_an_error_that_names_no_file(pasted, message):
    with pytest.raises(DataError, match=message) as caught:
        predict_table(bert_jax.Model(make("classification")), pasted)
    assert "/tmp" not in str(caught.value)
    assert tables.NAME not in str(caught.value)
