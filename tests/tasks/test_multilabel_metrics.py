"""Scores of several labels per text, equal to scikit-learn's, and thresholds by trying them all."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bert_jax.tasks.multilabel_metrics import (
    average_precision,
    choose_threshold,
    label_scores,
    multilabel_scores,
)
from tests.extras import need


def random_case(seed, num_rows=60, num_labels=7, digits=1):
    """Return what applies, what is predicted and probabilities, many of them equal."""
    rng = np.random.default_rng(seed)
    gold = rng.random((num_rows, num_labels)) < rng.random(num_labels)
    probabilities = rng.random((num_rows, num_labels)).round(digits)
    gold[0] = True  # every label occurs
    return gold, probabilities >= 0.6, probabilities


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 16])
def test_scores_are_those_of_scikit_learn(seed, digits):
    metrics = need("sklearn.metrics")
    gold, predicted, probabilities = random_case(seed, digits=digits)
    assert multilabel_scores(gold, predicted, probabilities) == pytest.approx(
        {
            "f1_micro": metrics.f1_score(gold, predicted, average="micro"),
            "f1_macro": metrics.f1_score(gold, predicted, average="macro"),
            "mean_average_precision": metrics.average_precision_score(gold, probabilities),
            "exact_match": metrics.accuracy_score(gold, predicted),
        }
    )
    of_labels = label_scores(gold, predicted, probabilities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label that is never predicted
        theirs = metrics.precision_recall_fscore_support(gold, predicted)
    for name, values in zip(("precision", "recall", "f1", "support"), theirs, strict=True):
        np.testing.assert_allclose(of_labels[name], values, err_msg=name)


def test_average_precision_by_hand():
    gold = np.array([[1, 0], [0, 0], [1, 0]], bool)
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    assert average_precision(gold, probabilities) == pytest.approx([1 / 2 + 1 / 2 * 2 / 3, 0])


def test_labels_that_do_not_occur_are_left_out_of_the_means():
    gold = np.array([[1, 0, 0], [0, 0, 0]], bool)
    predicted = np.array([[1, 0, 1], [0, 0, 0]], bool)
    probabilities = np.array([[0.9, 0.2, 0.7], [0.1, 0.3, 0.3]])
    scores = multilabel_scores(gold, predicted, probabilities)
    assert scores["f1_macro"] == pytest.approx((1 + 0) / 2)  # the third is predicted
    assert scores["mean_average_precision"] == 1.0
    nothing = multilabel_scores(gold[1:], predicted[1:], probabilities[1:])
    assert nothing == {
        "f1_micro": 0.0, "f1_macro": 0.0, "mean_average_precision": 0.0, "exact_match": 1.0,
    }  # fmt: skip


def f1_at(threshold, gold, probability):
    predicted = probability >= threshold
    return 2 * (gold & predicted).sum() / (gold.sum() + predicted.sum())


CASES = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        arrays(bool, n),
        arrays(np.float64, n, elements=st.sampled_from([0, 0.01, 0.2, 0.4, 0.5, 0.9, 1])),
    )
)


@settings(max_examples=200, deadline=None)
@given(CASES)
def test_no_threshold_has_a_better_f1(case):
    gold, probability = case
    threshold = choose_threshold(gold, probability)
    assert 0 <= threshold <= 1
    if not gold.any():
        assert threshold == 0.5
        return
    every = [f1_at(t, gold, probability) for t in np.linspace(0.005, 1, 200)]
    assert f1_at(threshold, gold, probability) >= max(every) - 1e-9


def test_of_equally_good_thresholds_it_is_the_one_nearest_to_one_half():
    gold = np.array([1, 1, 0, 0], bool)
    assert choose_threshold(gold, np.array([0.9, 0.8, 0.3, 0.1])) == 0.5
    assert choose_threshold(gold, np.array([0.4, 0.3, 0.2, 0.1])) == pytest.approx(0.25)
    assert choose_threshold(gold, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(0.75)
