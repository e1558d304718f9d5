import warnings

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.tasks.metrics import (
    are_entity_tags,
    calibration,
    class_scores,
    classification_scores,
    confusion_counts,
    correlations,
    entity_scores,
    extract_entities,
)
from tests.extras import need


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_classification_scores_are_scikit_learns(pairs):
    gold, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    counts = confusion_counts(gold, predicted, 4)
    scores = classification_scores(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert scores["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(gold, predicted))
        f1_macro = sklearn.metrics.f1_score(gold, predicted, average="macro", zero_division=0)
        assert scores["f1_macro"] == pytest.approx(f1_macro)
        assert scores["mcc"] == pytest.approx(sklearn.metrics.matthews_corrcoef(gold, predicted))
        per_class = sklearn.metrics.precision_recall_fscore_support(
            gold, predicted, labels=range(4), zero_division=0
        )
    for name, values in zip(("precision", "recall", "f1", "support"), per_class, strict=True):
        np.testing.assert_allclose(class_scores(counts)[name], values)


def test_correlations():
    scores = correlations(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    assert scores == pytest.approx({"pearson": 0.5, "spearman": 0.5})
    assert correlations(np.array([1.0, 2.0]), np.array([1.0, 1.0]))["pearson"] == 0.0


def test_entities_by_hand():
    tags = ["B-A", "I-A", "I-B", "O", "I-A", "B-A", "B-A"]
    assert extract_entities(tags) == {
        ("A", 0, 2),
        ("B", 2, 3),
        ("A", 4, 5),
        ("A", 5, 6),
        ("A", 6, 7),
    }
    assert extract_entities([]) == set()


def test_bare_tags_and_last_and_single_words_by_hand():
    assert extract_entities(["B", "I", "O", "I", "B"]) == {("", 0, 2), ("", 3, 4), ("", 4, 5)}
    tags = ["S-A", "B-A", "I-A", "E-A", "E-A", "I-A", "S-A", "I-A"]
    expected = {("A", 0, 1), ("A", 1, 4), ("A", 4, 5), ("A", 5, 6), ("A", 6, 7), ("A", 7, 8)}
    assert extract_entities(tags) == expected


def test_entity_tags_are_recognized():
    for tags in (["O", "B-A", "I-A"], ["O", "B", "I"], ["O", "S-A", "B-A", "E-A"], ["I-A", "I-B"]):
        assert are_entity_tags(tags)
    for tags in (["0", "1"], ["O", "A-B", "A-I"], ["NOUN", "B-A"], ["O", "Bad"], ["O"]):
        assert not are_entity_tags(tags)


SCHEMES = (
    ["O", "B-A", "I-A", "B-B", "I-B"],
    ["O", "B", "I"],
    ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"],
)


def sentences(tags):
    tag = st.sampled_from(tags)
    return st.lists(st.lists(st.tuples(tag, tag), min_size=1, max_size=8), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SCHEMES).flatmap(sentences))
def test_entity_scores_are_seqevals(sentences):
    seqeval = need("seqeval.metrics")
    gold = [[a for a, _ in sentence] for sentence in sentences]
    predicted = [[b for _, b in sentence] for sentence in sentences]
    scores = entity_scores(gold, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert scores["f1"] == pytest.approx(seqeval.f1_score(gold, predicted, zero_division=0))
        assert scores["precision"] == pytest.approx(
            seqeval.precision_score(gold, predicted, zero_division=0)
        )
        assert scores["accuracy"] == pytest.approx(seqeval.accuracy_score(gold, predicted))


def test_calibration_by_hand():
    error, bins = calibration(np.array([0.95, 0.95, 0.55, 1.0]), np.array([1.0, 0.0, 1.0, 1.0]))
    assert bins == [
        (pytest.approx(0.55), 1.0, 1),
        (pytest.approx(0.9666667), pytest.approx(2 / 3), 3),
    ]
    assert error == pytest.approx(0.25 * 0.45 + 0.75 * 0.3)


def test_numbers_that_are_constant_up_to_rounding_have_no_correlation_and_no_warning():
    nearly = np.array([1.0, 1.0 + 2.3e-16, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = correlations(np.array([1.0, 2.0, 3.0]), nearly)
    assert scores == {"pearson": 0.0, "spearman": 0.0}
