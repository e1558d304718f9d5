"""Weights of classes in the loss, for data in which some classes are rare."""

import collections
import math
from collections.abc import Sequence

from bert_jax.errors import ConfigError

BALANCED = "balanced"


def class_weights(
    given: Sequence[str], labels: Sequence[str], in_training: Sequence[str]
) -> tuple[float, ...]:
    """Return a weight for each class; () if none are given.

    Args:
        given: "balanced", or "LABEL=WEIGHT" for some classes; the others have weight 1. Balanced
            weights are N / (C · count of the class), as in scikit-learn, and 1 for a class that
            does not occur.
        labels: names of the C classes.
        in_training: the label of each training example; others than `labels` are not counted.

    Raises:
        ConfigError: an unknown class, or a weight that is not a positive number.
    """
    if not given:
        return ()
    if tuple(given) == (BALANCED,):
        counts = collections.Counter(in_training)
        total = sum(counts[label] for label in labels)
        return tuple(total / (len(labels) * (n or total)) for n in map(counts.get, labels))
    weights = dict.fromkeys(labels, 1.0)
    for item in given:
        label, _, number = item.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if label not in weights or not 0 < weight < 1e6:
            raise ConfigError(
                f"class_weights: {item!r}",
                f"balanced, or LABEL=WEIGHT with a label of {', '.join(labels[:8])} and a"
                " positive number",
                "for example: --class-weights "
                + " ".join(f"{x}={i}" for i, x in enumerate(labels[:2], 1)),
            )
        weights[label] = weight
    return tuple(weights[label] for label in labels)
