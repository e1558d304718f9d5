"""Early stopping by hand."""

import json

import pytest

from bert_jax.training.early_stopping import past_scores, stopped_early


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
def test_a_run_ends_after_so_many_evaluations_without_a_better_score(scores, patience, stopped):
    assert stopped_early(scores, patience) is stopped


def test_past_scores_are_those_of_evaluations(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert past_scores(path, "f1") == []
    records = [("train", 1, 0.0), ("eval", 1, 0.25), ("train", 2, 0.0), ("eval", 2, 0.5)]
    lines = [json.dumps({"step": step, "split": split, "f1": f1}) for split, step, f1 in records]
    path.write_text("\n".join(lines) + "\n")
    assert past_scores(path, "f1") == [0.25, 0.5]
