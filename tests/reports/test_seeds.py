"""Scores over several seeds, worked by hand."""

from bert_jax.reports.seeds import describe_seeds


def test_mean_and_sample_standard_deviation():
    results = {7: {"dev f1": 0.5, "dev recall": 1.0}, 8: {"dev f1": 0.7, "dev recall": 1.0}}
    lines = describe_seeds(results).split("\n")
    assert lines[0] == "2 seeds, mean ± standard deviation:"
    assert [line.split() for line in lines[1:]] == [
        ["dev", "f1", "0.6000", "±", "0.1414"],
        ["dev", "recall", "1.0000", "±", "0.0000"],
    ]
