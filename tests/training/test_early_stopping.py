"""Early stopping, against hand-worked cases."""

import pytest

from bert_jax.training.early_stopping import stopped_early


@pytest.mark.parametrize(
    ("scores", "patience", "stopped"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.5], 1, True),  # as good is not better
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.45], 2, True),  # better than the last, but not than the best
        ([0.5, 0.4, 0.6, 0.3], 2, False),
        ([0.9, 0.1, 0.1, 0.1], None, False),
    ],
)
def test_a_run_ends_after_patience_evaluations_without_a_better_score(scores, patience, stopped):
    assert stopped_early(scores, patience) is stopped
