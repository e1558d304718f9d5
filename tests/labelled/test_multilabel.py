"""Texts with several labels: lists, delimited strings, a column for each label."""

import json

import pytest

from bert_jax.config import ColumnsConfig, FinetuneConfig
from bert_jax.errors import ConfigError, DataError
from bert_jax.labelled.multilabel import read_multilabel_examples
from bert_jax.labelled.rejects import Rejects
from tests.extras import need


def read(path, **changes):
    """Return the labels of each text, the rejects as (line, reason), and the log."""
    config = FinetuneConfig("multilabel", "", str(path), "", **changes)
    rejects, log = Rejects(), []
    examples = read_multilabel_examples(str(path), "train", config, rejects, log.append)
    rejected = [(row["place"].rpartition(":")[2], row["reason"]) for row in rejects.rows]
    return [(e.text, e.text_b, e.label) for e in examples], rejected, log


def test_lists_of_labels_in_jsonl(tmp_path):
    rows = [
        {"text": "t1", "labels": ["a", " b "]},
        {"text": "t2", "labels": []},
        {"text": "t3", "labels": [3, "a", "a", ""]},
        {"text": "t4", "labels": "a"},
        {"text": "t5", "labels": None},
        {"text": "t6", "labels": ["a", None]},
        {"text": "t7"},
        {"text": " ", "labels": ["a"]},
        {"text": "t9", "labels": 7},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples, rejected, log = read(path)
    assert examples == [
        ("t1", None, ("a", "b")), ("t2", None, ()), ("t3", None, ("3", "a")),
    ]  # fmt: skip
    missing = "labels missing, or not a list"
    assert rejected == [
        ("4", "labels are one text, not a list: pass --label-separator"),
        ("5", missing),
        ("6", "a label that is neither a text nor a number"),
        ("7", missing),
        ("8", "text missing or empty"),
        ("9", missing),
    ]
    assert log == [f"{path}: JSONL; text 'text', label 'labels'; 9 rows"]


def test_lists_of_labels_in_parquet(tmp_path):
    pyarrow = need("pyarrow")
    parquet = need("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    table = {"sentence1": ["t1", "t2"], "sentence2": ["u1", "u2"], "labels": [["b"], []]}
    parquet.write_table(pyarrow.table(table), path)
    examples, rejected, _ = read(path)
    assert examples == [("t1", "u1", ("b",)), ("t2", "u2", ())]
    assert rejected == []


def test_a_delimited_string_is_split_where_the_user_says_so(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("text\ttopics\nt1\ta; b\nt2\t\nt3\tb;;b\n")
    columns = ColumnsConfig(label="topics")
    examples, rejected, _ = read(path, columns=columns, label_separator=";")
    assert [labels for *_, labels in examples] == [("a", "b"), (), ("b",)]
    assert rejected == []
    examples, rejected, _ = read(path, columns=columns)
    assert examples == []
    assert {reason for _, reason in rejected} == {
        "labels are one text, not a list: pass --label-separator"
    }


def test_a_column_of_0_and_1_for_each_label(tmp_path):
    path = tmp_path / "a.csv"
    rows = ("1,t1,1,0", "2,t2,0,0", "3,t3,True,1.0", "4,t4,2,0", "5,t5,,0")
    path.write_text("\n".join(("id,comment,toxic,mild", *rows)))
    examples, rejected, log = read(path, labels=("mild", "toxic"))
    assert [labels for *_, labels in examples] == [("toxic",), (), ("mild", "toxic")]
    assert rejected == [("5", "toxic is '2', not 0 or 1"), ("6", "toxic is '', not 0 or 1")]
    assert log == [f"{path}: CSV with a header; text 'comment', labels 'mild', 'toxic'; 5 rows"]


def test_columns_are_labels_only_if_no_label_column_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "t", "a": 1, "b": 0, "tags": ["b"]}\n')
    assert read(path, labels=("a", "b"))[0] == [("t", None, ("a",))]
    by_list = read(path, labels=("a", "b"), columns=ColumnsConfig(label="tags"))
    assert by_list[0] == [("t", None, ("b",))]


def test_a_table_without_a_label_column_says_both_ways(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,comment,toxic,mild\n1,t1,1,0\n")
    with pytest.raises(DataError, match=r"it has id, comment, toxic(.|\n)*--labels") as caught:
        read(path, columns=ColumnsConfig(text="comment"))
    assert str(caught.value).count("\n") == 2


def test_a_separator_is_for_several_labels_alone():
    with pytest.raises(ConfigError, match=r"label_separator = ';' is invalid"):
        FinetuneConfig("classification", "", "", "", label_separator=";")
