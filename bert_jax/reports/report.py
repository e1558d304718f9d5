"""Evaluation reports (report.json, report.html): scores, confusion, calibration, errors."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_jax.filesystem import write_text
from bert_jax.labelled.batching import EncodedText
from bert_jax.reports.page import Explorer, make_page
from bert_jax.reports.warnings import find_warnings
from bert_jax.tasks.metrics import calibration, confusion_counts
from bert_jax.tasks.task import Comparison, Prediction, Task

Report = dict[str, Any]
MAX_ERRORS = 100
MAX_TEXT_CHARS, MAX_INPUT_CHARS = 500, 2000  # of an error, as it is shown, and as it is explored
NUM_LENGTH_GROUPS = 6


def make_report(
    task: Task,
    examples: Sequence[Any],
    encoded: Sequence[EncodedText],
    predictions: Sequence[Prediction],
    seed: int = 0,
) -> Report:
    """Build the report of one evaluation, as report.json holds it.

    It has warnings, scores with intervals, mean correctness by length and the errors; with labels,
    also scores by label, and the confusion matrix if each example has one; with probabilities, also
    the calibration. A number that is not finite is None.

    Args:
        task: the task, with its labels.
        examples: the labelled data.
        encoded: the examples as tokens, for their lengths.
        predictions: one for each example.
        seed: seed of the resampling for the intervals.
    """
    comparisons = task.compare(examples, predictions)
    correct = np.array([r.correct for r in comparisons])
    lengths = np.zeros(len(examples), np.int64)
    for text in encoded:
        lengths[text.example] += len(text.tokens)
    scores = _with_intervals(task, examples, predictions, seed)
    report: Report = {
        "examples": len(examples),
        "warnings": find_warnings(task, examples, predictions, comparisons, scores),
        "scores": scores,
        "by_length": _by_length(lengths, correct),
        "wrong": _errors(comparisons, examples),
    }
    if decisions := task.confidences(examples, predictions):
        error, bins = calibration(decisions.probability, decisions.correct.astype(float))
        report["calibration"] = {"of": decisions.of, "expected_error": error, "bins": bins}
    classes = task.class_indices(examples, predictions)
    if classes is not None:
        counts = confusion_counts(*classes, len(task.labels))
        report["confusion"] = {"labels": list(task.labels), "counts": counts.tolist()}
    if of_labels := task.by_label(examples, predictions):
        report["by_class"] = of_labels
    return _finite(report)


def write_report(folder: Path, title: str, reports: Mapping[str, Report], model: str = "") -> None:
    """Write report.json and report.html, with one report for each data set by its name.

    Args:
        folder: where to.
        title: title of the page.
        reports: the reports.
        model: name of the model's directory, in which errors can be explored; empty: none.
    """
    page = make_page(title, reports, Explorer(model, folder) if model else None)
    text = json.dumps(reports, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in (("report.json", text), ("report.html", page)):
        write_text(folder / name, content)  # a lone surrogate, as JSON can hold, becomes "?"


def _finite(value: Any) -> Any:
    """Replace numbers that JSON does not have, NaN and Inf, by None."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_intervals(
    task: Task, examples: Sequence[Any], predictions: Sequence[Prediction], seed: int
) -> dict[str, dict[str, float]]:
    """Return each score with a 95 % bootstrap interval over examples (Efron 1979, percentiles)."""
    scores, count = task.score(examples, predictions), len(examples)
    rng = np.random.default_rng(seed)
    num_resamples = min(1000, max(50, 400_000 // count))
    samples = []
    for _ in range(num_resamples):
        picks = rng.integers(0, count, count).tolist()
        samples.append(task.score([examples[i] for i in picks], [predictions[i] for i in picks]))
    intervals = {}
    for name, value in scores.items():
        low, high = np.percentile([sample[name] for sample in samples], [2.5, 97.5])
        intervals[name] = {"value": value, "low": float(low), "high": float(high)}
    return intervals


def _by_length(lengths: np.ndarray, correct: np.ndarray) -> list[dict[str, float]]:
    """Return the mean correctness of examples from short to long, in groups of about equal size.

    Examples of one length are in one group, so no two groups overlap.
    """
    order = np.argsort(lengths, kind="stable")
    parts = np.array_split(order, NUM_LENGTH_GROUPS)
    group_of = np.repeat(np.arange(NUM_LENGTH_GROUPS), [len(part) for part in parts])
    _, first, number = np.unique(lengths[order], return_index=True, return_inverse=True)
    group_of = group_of[first][number]
    return [
        {
            "shortest": int(lengths[group].min()),
            "longest": int(lengths[group].max()),
            "examples": len(group),
            "correct": float(correct[group].mean()),
        }
        for group in (order[group_of == i] for i in np.unique(group_of))
    ]


def _errors(comparisons: Sequence[Comparison], examples: Sequence[Any]) -> list[dict[str, Any]]:
    """List the errors, the most confident first; without confidences, the worst first."""
    errors = [(r, x) for r, x in zip(comparisons, examples, strict=True) if r.correct < 0.999]
    errors.sort(key=lambda e: e[0].correct if math.isnan(e[0].confidence) else -e[0].confidence)
    rows = []
    for r, example in errors[:MAX_ERRORS]:
        row = {
            "text": r.text[:MAX_TEXT_CHARS],
            "gold": r.gold[:200],
            "predicted": r.predicted[:200],
            "correct": round(r.correct, 4),
            "confidence": None if math.isnan(r.confidence) else round(r.confidence, 4),
        }
        typed = _as_typed(example)[:MAX_INPUT_CHARS]
        rows.append(row if typed == row["text"] else {**row, "input": typed})
    return rows


def _as_typed(example: Any) -> str:
    """Return an example as it is given to explore.py: a pair has a tab in between."""
    if hasattr(example, "words"):
        return " ".join(example.words)
    if hasattr(example, "question"):
        return f"{example.question}\t{example.context}"
    return example.text if example.text_b is None else f"{example.text}\t{example.text_b}"
