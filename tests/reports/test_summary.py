"""The first sentences of a report, by hand."""

import pytest

from bert_jax.reports.summary import most_confused, summarize


def a_report(counts=((8, 2), (1, 9)), f1=(0.842, 0.857), support=(10, 10)):
    labels = ["bad", "good"]
    return {
        "examples": 20,
        "scores": {"accuracy": {"value": 0.85, "low": 0.7, "high": 0.95}},
        "confusion": {"labels": labels, "counts": counts},
        "by_class": {
            label: {"f1": f, "support": s} for label, f, s in zip(labels, f1, support, strict=True)
        },
    }


def test_a_summary_has_the_score_the_errors_and_the_worst_class():
    assert summarize(a_report()) == (
        "On 20 examples, accuracy is 0.850 (95 % interval 0.700 … 0.950); 3 of 20 labels are wrong."
        " The worst class is “bad”, with F1 0.842: 2 of 10 “bad” are predicted as “good”."
    )


def test_a_class_may_be_bad_because_others_are_taken_for_it():
    assert summarize(a_report(counts=((9, 0), (5, 6)))).endswith(
        "with F1 0.842: 5 of 11 “good” are predicted as “bad”."
    )


@pytest.mark.parametrize(
    ("report", "ending"),
    [
        (a_report(((10, 0), (0, 10)), (1.0, 1.0)), "0.950); none is wrong."),
        (a_report(f1=(None, 0.9)), "“bad”, with F1 0.000: 2 of 10 “bad” are predicted as “good”."),
        (a_report(f1=(None, 0.9), support=(0, 20)), "3 of 20 labels are wrong."),
    ],
)
def test_classes_without_errors_or_examples(report, ending):
    assert summarize(report).endswith(ending)


def test_scores_alone_are_enough():
    scores = {"mean_squared_error": {"value": 0.5, "low": None, "high": None}}
    assert summarize({"examples": 1, "scores": scores}) == (
        "On 1 examples, mean squared error is 0.500."
    )


def test_labels_that_the_matrix_does_not_have_are_not_confused():
    assert most_confused(a_report()["confusion"], "B-X") is None
    assert most_confused(None, "bad") is None
    assert most_confused({"labels": ["a", "b"], "counts": [[1, 0], [0, 1]]}, "a") is None
