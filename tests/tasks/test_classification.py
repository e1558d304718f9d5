import math

import numpy as np
import pytest

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import TextExample
from bert_jax.tasks.classification import Classification
from tests.tasks.tiny import TOKENIZER

TASK = Classification(("bad", "good"))


def examples(*labels):
    return [TextExample(f"a.tsv:{i}", f"text {i}", None, x) for i, x in enumerate(labels, 2)]


def config(**changes):
    return FinetuneConfig(task="classification", encoder="", train="a.tsv", dev="", **changes)


@pytest.mark.parametrize(
    ("occurring", "sorted_labels"),
    [
        (("10", "9", "2"), ("2", "9", "10")),
        (("b", "a", "b"), ("a", "b")),
        (("b", "10", "-1", "9"), ("-1", "9", "10", "b")),
        (("nan", "a", "1"), ("1", "a", "nan")),
        (("nan", "z", "inf", "2"), ("2", "inf", "nan", "z")),
    ],
)
def test_classes_are_sorted_and_numbers_by_value(occurring, sorted_labels):
    for order in (occurring, occurring[::-1]):
        assert Classification.from_examples(examples(*order), config()).labels == sorted_labels


def test_given_classes_keep_their_order():
    task = Classification.from_examples(examples("a", "c"), config(labels=("c", "b", "a")))
    assert task.labels == ("c", "b", "a")


@pytest.mark.parametrize(
    ("occurring", "labels", "message"),
    [
        (("a", "a"), (), r"its labels are \['a'\](.|\n)*at least two classes"),
        (("a", "b"), ("a", "c"), r"its labels are \['a', 'b'\]"),
        ([str(i) for i in range(1001)], (), r"1,001 different labels, such as '0'(.|\n)*1000"),
    ],
)
def test_labels_that_are_no_classes_are_refused(occurring, labels, message):
    with pytest.raises(DataError, match=message) as caught:
        Classification.from_examples(examples(*occurring), config(labels=labels))
    assert str(caught.value).count("\n") == 2


def test_a_class_that_is_unknown_is_rejected():
    rejects = Rejects()
    accepted = TASK.accept(examples("good", "Good", "bad"), rejects)
    assert [example.label for example in accepted] == ["good", "bad"]
    assert [(row["place"], row["reason"]) for row in rejects.rows] == [
        ("a.tsv:3", "label 'Good' is not one of bad, good")
    ]


def test_rows_have_the_number_of_their_class_and_none_without_a_label():
    rows = TASK.encode([*examples("good", "bad"), TextExample("", "cat")], TOKENIZER, 16)
    assert [row.targets for row in rows] == [{"label": 1}, {"label": 0}, {}]


def test_probabilities_and_scores_by_hand():
    # Class "good": one hit, one miss, two false alarms; "bad" is right three times.
    golds = examples("bad", "good", "bad", "bad", "good", "bad", "bad")
    odds = [1 / 3, 4, 9, 3, 1 / 4, 1 / 3, 1 / 3]
    outputs = [np.array([[0.5, 0.5 + math.log(x)]], np.float32) for x in odds]
    predictions = TASK.decode(golds, [], outputs)
    assert [p["label"] for p in predictions] == ["bad", "good", "good", "good", "bad", "bad", "bad"]
    assert [p["probability"] for p in predictions[:5]] == pytest.approx([0.75, 0.8, 0.9, 0.75, 0.8])
    assert predictions[0]["probabilities"] == pytest.approx({"bad": 0.75, "good": 0.25})
    assert TASK.score(golds, predictions) == pytest.approx(
        {
            "accuracy": 4 / 7,
            "f1": 2 * 1 / (2 + 3),  # of the second class
            "f1_macro": (2 * 1 / (2 + 3) + 2 * 3 / (5 + 4)) / 2,
            "mcc": (1 * 3 - 2 * 1) / math.sqrt(3 * 2 * 5 * 4),
        }
    )
    gold, predicted = TASK.class_indices(golds, predictions)
    assert gold.tolist() == [0, 1, 0, 0, 1, 0, 0]
    assert predicted.tolist() == [0, 1, 1, 1, 0, 0, 0]
    assert [(r.text, r.correct) for r in TASK.compare(golds, predictions)][:3] == [
        ("text 2", 1.0), ("text 3", 1.0), ("text 4", 0.0),
    ]  # fmt: skip
    assert TASK.decode([], [], []) == []


def test_the_f1_of_one_class_is_for_two_classes_only():
    task = Classification(("a", "b", "c"))
    assert "f1" not in task.score(examples("a"), [{"label": "a"}])
    assert "f1" not in task.metrics
    assert "f1" in TASK.metrics
