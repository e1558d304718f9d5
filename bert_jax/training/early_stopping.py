"""Early stopping on the scores of evaluations."""

from collections.abc import Sequence

import numpy as np


def stopped_early(scores: Sequence[float], patience: int | None) -> bool:
    """Return whether the last `patience` evaluations have not improved the best score.

    Args:
        scores: scores of all evaluations so far; higher is better.
        patience: number of evaluations. None: never stop.
    """
    if patience is None or not scores:
        return False
    return len(scores) - 1 - int(np.argmax(scores)) >= patience
