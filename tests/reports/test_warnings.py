"""Warnings where scores mislead: predictions that are all the same, data of one class."""

import pytest

from bert_jax.labelled.multilabel import MultiLabelExample
from bert_jax.labelled.squad import Answer, Question
from bert_jax.labelled.texts import TextExample
from bert_jax.reports.warnings import find_warnings
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.multilabel import MultiLabel
from bert_jax.tasks.question_answering import QuestionAnswering
from bert_jax.tasks.regression import Regression
from bert_jax.tasks.tagging import TagExample, Tagging


def warnings_of(task, examples, predictions, scores=None):
    compared = task.compare(examples, predictions)
    return find_warnings(task, examples, predictions, compared, scores or {})


def classified(golds, predicted, scores=None):
    examples = [TextExample("", "t", None, gold) for gold in golds]
    predictions = [{"label": label, "probability": 0.9} for label in predicted]
    return warnings_of(Classification(("0", "1")), examples, predictions, scores)


def test_a_classifier_that_always_says_the_same():
    (warning,) = classified(["0", "1"] * 200, ["1"] * 400)
    assert warning.startswith("every one of 400 examples is predicted as '1': try more --epochs or")
    assert warning.endswith("--class-weights balanced")
    assert "\n" not in warning
    assert classified(["0", "1"] * 200, ["1"] * 399 + ["0"]) == []


def test_class_weights_are_not_advised_to_a_classifier_that_has_them():
    examples = [TextExample("", "t", None, gold) for gold in ["0", "1"] * 200]
    predictions = [{"label": "1", "probability": 0.9}] * 400
    (warning,) = warnings_of(Classification(("0", "1"), (1.0, 2.0)), examples, predictions)
    assert "predicted as '1'" in warning
    assert "--class-weights" not in warning


def test_few_examples_may_be_the_same_by_chance():
    assert classified(["0", "1"] * 4, ["1"] * 8) == []


@pytest.mark.parametrize("count", [100, 40])
def test_predictions_that_are_no_better_than_chance(count):
    at_chance = {"mcc": {"value": 0.003, "low": -0.1, "high": 0.1}}
    better = {"mcc": {"value": 0.15, "low": 0.05, "high": 0.25}}
    given = ["0", "1"] * (count // 2), ["0", "0", "1", "1"] * (count // 4)
    assert classified(*given, better) == []
    lines = classified(*given, at_chance)
    assert len(lines) == (count == 100)  # few examples leave a wide interval in any case
    for line in lines:
        assert line.startswith(
            "mcc is no better than chance, 0: its 95 % interval is -0.100 … 0.100; try"
        )


def test_data_of_one_class_are_named_instead():
    (warning,) = classified(["0"] * 20, ["0"] * 20)
    assert warning.startswith("all 20 examples have the same true value, '0'")
    (warning,) = classified(["0"] * 20, ["1", "0"] * 10)
    assert warning.startswith("all 20 examples have the same true value, '0'")
    (warning,) = classified(["0"] * 2, ["1", "0"])
    assert warning.startswith("all 2 examples have the same true value, '0'")
    assert classified(["0"], ["1"]) == []


def test_a_tagger_that_always_says_the_same():
    examples = [TagExample("", ("a", "b"), ("O", "B-X"))] * 10
    predictions = [{"tags": ["O", "O"], "probabilities": [0.9, 0.8]}] * 10
    (warning,) = warnings_of(Tagging(("O", "B-X")), examples, predictions)
    assert warning.startswith("every one of 20 words is predicted as 'O': try")
    assert "--class-weights" not in warning
    predictions[3] = {"tags": ["O", "B-X"], "probabilities": [0.9, 0.8]}
    assert warnings_of(Tagging(("O", "B-X")), examples, predictions) == []


@pytest.mark.parametrize("kind", ["multilabel", "regression", "question_answering"])
def test_other_tasks_that_always_say_the_same(kind):
    task: object
    if kind == "multilabel":
        task = MultiLabel(("x", "y"))
        examples = [MultiLabelExample("", "t", None, label) for label in (("x",), ())] * 6
        predictions = [{"labels": [], "probabilities": {"x": 0.1, "y": 0.1}}] * 12
    elif kind == "regression":
        task = Regression()
        examples = [TextExample("", "t", None, score) for score in ("1", "2")] * 6
        predictions = [{"score": 1.5 + 1e-5 * i} for i in range(12)]
    else:
        task = QuestionAnswering()
        answers = (Answer("cat", 4),), ()
        examples = [Question("", "q", "the cat", a, may_be_none=True) for a in answers] * 6
        none = {"text": "cat", "none_margin": 1.0, "probability": 0.1, "none_probability": 0.9}
        predictions = [none] * 12
    (warning,) = warnings_of(task, examples, predictions)
    assert warning.startswith("every one of 12 examples is predicted as '")


def test_scores_that_differ_in_the_third_decimal_are_not_the_same():
    examples = [TextExample("", "t", None, score) for score in ("1", "2")] * 6
    predictions = [{"score": 1.15 + 1e-3 * i} for i in range(4)] * 3
    assert warnings_of(Regression(), examples, predictions) == []
