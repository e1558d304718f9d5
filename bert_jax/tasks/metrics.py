"""Metrics of predictions, on the host: accuracy, F1, correlations, entities, calibration."""

from collections.abc import Collection, Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float, Int

ENTITY_PREFIXES = ("B", "I", "E", "S")  # begin, inside, end, single


def confusion_counts(
    gold: Int[np.ndarray, "N"], predicted: Int[np.ndarray, "N"], num_classes: int
) -> Int[np.ndarray, "C C"]:
    """Return the confusion matrix: counts by true class (rows) and predicted class (columns)."""
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (gold, predicted), 1)
    return counts


def class_scores(counts: Int[np.ndarray, "C C"]) -> dict[str, np.ndarray]:
    """Return precision, recall, F1 and support of each class; 0 for an undefined quotient.

    Args:
        counts: the confusion matrix.
    """
    hits = np.diag(counts).astype(float)
    predicted, support = counts.sum(0), counts.sum(1)
    return {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(predicted + support, 1),
        "support": support,
    }


def scores_by_class(
    labels: Sequence[str], gold: Int[np.ndarray, "N"], predicted: Int[np.ndarray, "N"]
) -> dict[str, dict[str, float]]:
    """Return `class_scores` of each class, by its label."""
    scores = class_scores(confusion_counts(gold, predicted, len(labels)))
    return {
        label: {name: float(values[i]) for name, values in scores.items()}
        for i, label in enumerate(labels)
    }


def classification_scores(counts: Int[np.ndarray, "C C"]) -> dict[str, float]:
    """Return accuracy, macro F1 over the classes that occur, and Matthews' correlation.

    Args:
        counts: the confusion matrix.
    """
    total = counts.sum()
    predicted, support = counts.sum(0).astype(float), counts.sum(1).astype(float)
    covariance = np.trace(counts) * total - predicted @ support
    scale = np.sqrt((total**2 - predicted @ predicted) * (total**2 - support @ support))
    occurs = (predicted + support) > 0
    return {
        "accuracy": float(np.trace(counts) / max(total, 1)),
        "f1_macro": float(class_scores(counts)["f1"][occurs].mean()),
        "mcc": float(covariance / scale) if scale > 0 else 0.0,
    }


def correlations(
    gold: Float[np.ndarray, "N"], predicted: Float[np.ndarray, "N"]
) -> dict[str, float]:
    """Return Pearson's r and Spearman's rho; 0 if either side is constant, up to rounding."""
    if len(gold) < 2 or any(np.ptp(x) <= 1e-12 * np.abs(x).max() for x in (gold, predicted)):
        return {"pearson": 0.0, "spearman": 0.0}
    return {
        "pearson": float(scipy.stats.pearsonr(gold, predicted).statistic),
        "spearman": float(scipy.stats.spearmanr(gold, predicted).statistic),
    }


def extract_entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Return entities (type, first, last + 1) of IOB or IOBES tags, as conlleval and seqeval do.

    An I- or E- that follows no entity of its type starts one too. A bare B, I, E or S has type "".
    """
    entities, start, kind, before = set(), -1, "", "O"
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if start >= 0 and (prefix not in ("I", "E") or before in ("E", "S") or name != kind):
            entities.add((kind, start, i))
            start = -1
        if start < 0 and prefix in ENTITY_PREFIXES:
            start, kind = i, name
        before = prefix
    return entities


def are_entity_tags(tags: Collection[str]) -> bool:
    """Return whether tags name entities: "O", and B, I, E or S, bare or with "-" and a type."""
    inside = [tag for tag in tags if tag != "O"]
    return bool(inside) and all(tag.partition("-")[0] in ENTITY_PREFIXES for tag in inside)


def entity_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return precision, recall and F1 over entities of all sentences, and accuracy over words."""
    hits = num_gold = num_predicted = num_right = num_words = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        gold_entities = extract_entities(gold_tags)
        predicted_entities = extract_entities(predicted_tags)
        hits += len(gold_entities & predicted_entities)
        num_gold += len(gold_entities)
        num_predicted += len(predicted_entities)
        num_right += sum(a == b for a, b in zip(gold_tags, predicted_tags, strict=True))
        num_words += len(gold_tags)
    return {
        "f1": 2 * hits / max(num_gold + num_predicted, 1),
        "precision": hits / max(num_predicted, 1),
        "recall": hits / max(num_gold, 1),
        "accuracy": num_right / max(num_words, 1),
    }


def calibration(
    confidence: Float[np.ndarray, "N"], correct: Float[np.ndarray, "N"], bins: int = 10
) -> tuple[float, list[tuple[float, float, int]]]:
    """Return the expected calibration error, and (mean confidence, accuracy, size) of each bin.

    Guo et al. 2017, equation 3. Empty bins are left out.
    """
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    table, error = [], 0.0
    for i in range(bins):
        inside = bin_of == i
        size = int(inside.sum())
        if size:
            mean, accuracy = float(confidence[inside].mean()), float(correct[inside].mean())
            table.append((mean, accuracy, size))
            error += size / len(confidence) * abs(mean - accuracy)
    return error, table
