"""Early stopping: a run ends when its evaluations have brought nothing better for a while."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bert_jax.training.runlog import read_metrics


def past_scores(metrics: Path, metric: str) -> list[float]:
    """What the evaluations of a run that is resumed have found, by its `metrics.jsonl`."""
    records = read_metrics(metrics) if metrics.exists() else []
    return [record[metric] for record in records if record["split"] == "eval"]


def stopped_early(scores: Sequence[float], patience: int | None) -> bool:
    """Whether the last evaluations, as many as patience has, brought nothing better.

    Args:
        scores: of all evaluations so far; higher is better.
        patience: None never stops.
    """
    if patience is None or not scores:
        return False
    return len(scores) - 1 - int(np.argmax(scores)) >= patience
