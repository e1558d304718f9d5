"""Scores of predictions, on the host: what tasks report."""

from collections.abc import Collection, Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float, Int

ENTITY_TAGS = ("B", "I", "E", "S")  # begins, inside, ends, single


def confusion(
    gold: Int[np.ndarray, "N"], guessed: Int[np.ndarray, "N"], num_classes: int
) -> Int[np.ndarray, "C C"]:
    """Counts by true class (rows) and guessed class (columns)."""
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (gold, guessed), 1)
    return counts


def by_class(counts: Int[np.ndarray, "C C"]) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support of each class; 0 where a quotient has no meaning."""
    hits = np.diag(counts).astype(float)
    guessed, support = counts.sum(0), counts.sum(1)
    return {
        "precision": hits / np.maximum(guessed, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(guessed + support, 1),
        "support": support,
    }


def classification_scores(counts: Int[np.ndarray, "C C"]) -> dict[str, float]:
    """Accuracy, macro-averaged F1 over the classes that occur, and Matthews' correlation."""
    total = counts.sum()
    guessed, support = counts.sum(0).astype(float), counts.sum(1).astype(float)
    covariance = np.trace(counts) * total - guessed @ support
    spread = np.sqrt((total**2 - guessed @ guessed) * (total**2 - support @ support))
    occurs = (guessed + support) > 0
    return {
        "accuracy": float(np.trace(counts) / max(total, 1)),
        "f1_macro": float(by_class(counts)["f1"][occurs].mean()),
        "mcc": float(covariance / spread) if spread > 0 else 0.0,
    }


def correlations(gold: Float[np.ndarray, "N"], guessed: Float[np.ndarray, "N"]) -> dict[str, float]:
    """Pearson's r and Spearman's rho; 0 where one side never changes."""
    if len(gold) < 2 or np.ptp(gold) == 0 or np.ptp(guessed) == 0:
        return {"pearson": 0.0, "spearman": 0.0}
    return {
        "pearson": float(scipy.stats.pearsonr(gold, guessed).statistic),
        "spearman": float(scipy.stats.spearmanr(gold, guessed).statistic),
    }


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Entities (type, first, last + 1) of IOB or IOBES tags, as conlleval and seqeval count them.

    An I- or E- that follows no entity of its type starts one too. A bare B, I, E or S has type "".
    """
    found, start, kind, before = set(), -1, "", "O"
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if start >= 0 and (prefix not in ("I", "E") or before in ("E", "S") or name != kind):
            found.add((kind, start, place))
            start = -1
        if start < 0 and prefix in ENTITY_TAGS:
            start, kind = place, name
        before = prefix
    return found


def are_of_entities(tags: Collection[str]) -> bool:
    """Whether these are tags of entities: "O", and B, I, E or S, alone or before "-" and a type."""
    inside = [tag for tag in tags if tag != "O"]
    return bool(inside) and all(tag.partition("-")[0] in ENTITY_TAGS for tag in inside)


def entity_scores(
    gold: Sequence[Sequence[str]], guessed: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Precision, recall and F1 over entities of all sentences; accuracy over words."""
    hits = wanted = found = right = words = 0
    for gold_tags, guessed_tags in zip(gold, guessed, strict=True):
        true, said = entities(gold_tags), entities(guessed_tags)
        hits, wanted, found = hits + len(true & said), wanted + len(true), found + len(said)
        right += sum(a == b for a, b in zip(gold_tags, guessed_tags, strict=True))
        words += len(gold_tags)
    return {
        "f1": 2 * hits / max(wanted + found, 1),
        "precision": hits / max(found, 1),
        "recall": hits / max(wanted, 1),
        "accuracy": right / max(words, 1),
    }


def calibration(
    confidence: Float[np.ndarray, "N"], correct: Float[np.ndarray, "N"], bins: int = 10
) -> tuple[float, list[tuple[float, float, int]]]:
    """Expected calibration error, and of each bin the mean confidence, accuracy and size.

    Guo et al. 2017, equation 3.
    """
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    table, error = [], 0.0
    for place in range(bins):
        inside = places == place
        size = int(inside.sum())
        if size:
            mean, accuracy = float(confidence[inside].mean()), float(correct[inside].mean())
            table.append((mean, accuracy, size))
            error += size / len(confidence) * abs(mean - accuracy)
    return error, table
