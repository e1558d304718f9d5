"""Warnings about predictions that scores alone do not show, for log, report and card."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.tasks.classification import Classification
from bert_jax.tasks.task import Comparison, Prediction, Task

MIN_PREDICTIONS = 10  # fewer may well be the same by chance
MIN_FOR_CHANCE = 50  # fewer leave wide intervals, whatever the model
AT_CHANCE = ("mcc", "spearman")  # scores that are 0 for predictions that ignore the text
TRY = (
    "try more --epochs or another --learning-rate (usual: 1e-5 to 5e-5 for large models, up to 2e-3"
    " for tiny ones)"
)


def find_warnings(
    task: Task,
    examples: Sequence[Any],
    predictions: Sequence[Prediction],
    comparisons: Sequence[Comparison],
    scores: Mapping[str, Mapping[str, float]],
) -> list[str]:
    """Return a line for each thing that makes the scores of a split misleading.

    Args:
        task: the task.
        examples: the labelled data.
        predictions: one for each example.
        comparisons: `task.compare` of both.
        scores: each score with its interval.
    """
    classes = task.class_indices(examples, predictions)
    if classes is None:
        gold = [c.gold for c in comparisons]
        predicted = [
            f"{prediction['score']:.4g}" if "score" in prediction else comparison.predicted
            for prediction, comparison in zip(predictions, comparisons, strict=True)
        ]  # comparisons round scores
    else:
        gold, predicted = ([task.labels[i] for i in np.unique(side)] for side in classes)
    unweighted = isinstance(task, Classification) and not task.weights
    weights = ", or --class-weights balanced" if unweighted else ""
    of = "words" if classes is not None and len(classes[0]) != len(examples) else "examples"
    count = len(examples if classes is None else classes[0])
    if count > 1 and len(set(gold)) == 1:
        return [
            f"all {count:,} {of} have the same true value, {gold[0][:40]!r}: scores say little;"
            " take data in which every class occurs"
        ]
    if count >= MIN_PREDICTIONS and len(set(predicted)) == 1:
        return [
            f"every one of {count:,} {of} is predicted as {predicted[0][:40]!r}: {TRY}{weights}"
        ]
    for name in AT_CHANCE:
        if name in scores and count >= MIN_FOR_CHANCE and scores[name]["low"] <= 0:
            low, high = scores[name]["low"], scores[name]["high"]
            interval = f"its 95 % interval is {low:.3f} … {high:.3f}"
            return [f"{name} is no better than chance, 0: {interval}; {TRY}{weights}"]
    return []
