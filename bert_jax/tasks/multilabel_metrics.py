"""Metrics of several labels per text: F1, average precision, and thresholds that maximize F1."""

import numpy as np
from jaxtyping import Bool, Float

DEFAULT_THRESHOLD = 0.5


def multilabel_scores(
    gold: Bool[np.ndarray, "N C"],
    predicted: Bool[np.ndarray, "N C"],
    probabilities: Float[np.ndarray, "N C"],
) -> dict[str, float]:
    """Return micro and macro F1, mean average precision, and the share of rows that are all right.

    Macro F1 is the mean over the labels that occur or are predicted, mean average precision over
    those that occur; 0 if there are none.
    """
    of_labels = label_scores(gold, predicted, probabilities)
    hits, wrong = (gold & predicted).sum(), (gold ^ predicted).sum()
    is_used, occurs = (gold | predicted).any(axis=0), gold.any(axis=0)
    precisions = of_labels["average_precision"]
    return {
        "f1_micro": float(2 * hits / max(2 * hits + wrong, 1)),
        "f1_macro": float(of_labels["f1"][is_used].mean()) if is_used.any() else 0.0,
        "mean_average_precision": float(precisions[occurs].mean()) if occurs.any() else 0.0,
        "exact_match": float((gold == predicted).all(axis=1).mean()),
    }


def label_scores(
    gold: Bool[np.ndarray, "N C"],
    predicted: Bool[np.ndarray, "N C"],
    probabilities: Float[np.ndarray, "N C"],
) -> dict[str, np.ndarray]:
    """Return precision, recall, F1, average precision and support of each label, 0 if undefined."""
    hits = (gold & predicted).sum(axis=0).astype(float)
    num_predicted, support = predicted.sum(axis=0), gold.sum(axis=0)
    return {
        "precision": hits / np.maximum(num_predicted, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(num_predicted + support, 1),
        "average_precision": average_precision(gold, probabilities),
        "support": support,
    }


def average_precision(
    gold: Bool[np.ndarray, "N C"], probabilities: Float[np.ndarray, "N C"]
) -> Float[np.ndarray, "C"]:
    """Return Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct probabilities of each label; 0 without a positive.

    This is scikit-learn's `average_precision_score`.
    """
    order = np.argsort(-probabilities, axis=0, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=0)
    is_hit = np.take_along_axis(gold, order, axis=0)
    count = np.arange(1, len(gold) + 1)[:, None]
    is_end = np.vstack([ranked[:-1] != ranked[1:], np.ones((1, gold.shape[1]), bool)])
    # Rows of one probability are taken together: each counts with the precision at their end.
    ends = np.where(is_end, count - 1, len(gold))
    ends = np.minimum.accumulate(ends[::-1], axis=0)[::-1]
    precision = np.take_along_axis(is_hit.cumsum(axis=0) / count, ends, axis=0)
    return (is_hit * precision).sum(axis=0) / np.maximum(gold.sum(axis=0), 1)


def choose_threshold(gold: Bool[np.ndarray, "N"], probability: Float[np.ndarray, "N"]) -> float:
    """Return the threshold with the best F1 for one label, the nearest to 0.5 of equally good ones.

    It is halfway between two probabilities that occur, and 0.5 for a label that does not occur.
    """
    if not gold.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    lower = np.append(ranked[1:], 0.0)
    f1 = 2 * gold[order].cumsum() / (np.arange(1, len(gold) + 1) + gold.sum())
    f1[ranked == lower] = -1  # no threshold is between equal probabilities
    middle = (ranked + lower) / 2
    thresholds = np.where(middle > lower, middle, ranked)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    # Every threshold in (lower, ranked] gives the same F1: take 0.5 where it is one of them.
    thresholds = np.where((lower < 0.5) & (ranked >= 0.5), DEFAULT_THRESHOLD, thresholds)
    return float(thresholds[best[np.abs(thresholds[best] - DEFAULT_THRESHOLD).argmin()]])
