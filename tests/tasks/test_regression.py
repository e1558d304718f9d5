import math

import numpy as np
import pytest

from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import TextExample
from bert_jax.tasks.regression import Regression
from tests.tasks.tiny import TOKENIZER

TASK = Regression()


def examples(*scores):
    return [TextExample(f"a.tsv:{i}", "cat", "dog", x) for i, x in enumerate(scores, 2)]


def predictions(*scores):
    return TASK.decode([], [], [np.array([[score]], np.float32) for score in scores])


def test_what_is_not_a_number_that_float32_can_square_is_rejected():
    rejects = Rejects()
    accepted = TASK.accept(examples("2.5", "nan", "1e3", "x", "inf", "1e300", "-1"), rejects)
    assert [example.label for example in accepted] == ["2.5", "1e3", "-1"]
    assert [row["reason"] for row in rejects.rows] == [
        f"score {x!r} is not a number, or is too large" for x in ("nan", "x", "inf", "1e300")
    ]


def test_rows_have_their_score_as_a_float():
    rows = TASK.encode([*examples("2"), TextExample("", "cat")], TOKENIZER, 16)
    assert rows[0].targets == {"score": 2.0}
    assert isinstance(rows[0].targets["score"], float)
    assert rows[1].targets == {}


def test_scores_by_hand():
    golds, predicted = examples("1", "2", "3", "6"), predictions(2, 1, 3, 10)
    scores = TASK.score(golds, predicted)
    assert scores["mean_squared_error"] == (1 + 1 + 0 + 16) / 4
    assert scores["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))  # two neighbours are swapped
    # Deviations from the means 3 and 4: (-2, -1, 0, 3) and (-2, -3, -1, 6).
    assert scores["pearson"] == pytest.approx((4 + 3 + 0 + 18) / math.sqrt(14 * 50))


def test_correctness_is_relative_to_the_range_of_scores():
    compared = TASK.compare(examples("0", "4", "2"), predictions(1, 4, 9))
    assert [(r.text, r.gold, r.predicted, r.correct) for r in compared] == [
        ("cat | dog", "0.00", "1.00", 0.75),
        ("cat | dog", "4.00", "4.00", 1.0),
        ("cat | dog", "2.00", "9.00", 0.0),  # never below 0
    ]
    assert all(math.isnan(r.confidence) for r in compared)
    assert TASK.compare(examples("3"), predictions(3.5))[0].correct == 0.5
