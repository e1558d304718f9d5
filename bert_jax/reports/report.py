"""Evaluation reports, report.json and report.html: scores, confusion matrix, calibration, errors.

The page is self-contained: it loads nothing and runs no script.
"""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from bert_jax.drawing.charts import bar_chart, reliability_diagram
from bert_jax.drawing.confusion_matrix import confusion_matrix
from bert_jax.drawing.svg import STYLE as SVG_STYLE
from bert_jax.filesystem import write_text
from bert_jax.labelled.batching import EncodedText
from bert_jax.reports.warnings import find_warnings
from bert_jax.tasks.metrics import calibration, confusion_counts
from bert_jax.tasks.task import Comparison, Prediction, Task

Report = dict[str, Any]
MAX_ERRORS = 100
NUM_LENGTH_GROUPS = 6
MAX_CLASSES_DRAWN = 30


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
        "wrong": _errors(comparisons),
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


def write_report(folder: Path, title: str, reports: Mapping[str, Report]) -> None:
    """Write report.json and report.html, with one report for each data set by its name."""
    text = json.dumps(reports, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in (("report.json", text), ("report.html", _page(title, reports))):
        write_text(folder / name, content)  # a lone surrogate, as JSON can hold, becomes "?"


def format_score(value: float | None, digits: int = 4) -> str:
    """Return a number as text, "–" for None: one that is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def format_interval(score: Mapping[str, float | None]) -> str:
    """Return the interval of a score as text."""
    return f"{format_score(score['low'])} … {format_score(score['high'])}"


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


def _errors(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """List the errors, the most confident first; without confidences, the worst first."""
    errors = [r for r in comparisons if r.correct < 0.999]
    errors.sort(key=lambda r: r.correct if math.isnan(r.confidence) else -r.confidence)
    return [
        {
            "text": r.text[:500],
            "gold": r.gold[:200],
            "predicted": r.predicted[:200],
            "correct": round(r.correct, 4),
            "confidence": None if math.isnan(r.confidence) else round(r.confidence, 4),
        }
        for r in errors[:MAX_ERRORS]
    ]


_STYLE = """
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
         color: #24292f; background: #fff; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #d0d7de;
           vertical-align: top; }
  td.number { text-align: right; font-variant-numeric: tabular-nums; }
  @media (prefers-color-scheme: dark) {
    body { color: #e6edf3; background: #0d1117; } th, td { border-color: #30363d; }
  }
"""


def _page(title: str, reports: Mapping[str, Report]) -> str:
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}{SVG_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
    ]
    for name, report in reports.items():
        parts += [f"<h2>{escape(name)}: {report['examples']:,} examples</h2>", *_section(report)]
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _section(report: Report) -> list[str]:
    scores = [
        (name, format_score(s["value"]), format_interval(s)) for name, s in report["scores"].items()
    ]
    parts = [f"<p><strong>Warning: {escape(line)}</strong></p>" for line in report["warnings"]]
    parts += [_table(("score", "value", "95 % interval"), scores)]
    if "by_class" in report:
        names = list(next(iter(report["by_class"].values())))
        rows = [
            (label, *(_cell(name, values[name]) for name in names))
            for label, values in report["by_class"].items()
        ]
        header = ("label", *(name.replace("_", " ") for name in names))
        parts += ["<h3>By label</h3>", _table(header, rows)]
    if "confusion" in report:
        labels, counts = report["confusion"]["labels"], report["confusion"]["counts"]
        if len(labels) <= MAX_CLASSES_DRAWN:
            parts += ["<h3>Confusion matrix (rows: true class, columns: predicted class)</h3>"]
            parts += [confusion_matrix(labels, counts)]
    if "calibration" in report:
        error = format_score(report["calibration"]["expected_error"])
        of = escape(report["calibration"]["of"])
        parts += [f"<h3>Calibration of {of} (expected calibration error: {error})</h3>"]
        parts += [reliability_diagram(report["calibration"]["bins"])]
    groups = [(f"{g['shortest']}–{g['longest']}", g["correct"]) for g in report["by_length"]]
    parts += ["<h3>Mean correctness by length in tokens</h3>", bar_chart(groups)]
    rows = [
        (
            error["text"],
            error["gold"],
            error["predicted"],
            "" if error["confidence"] is None else f"{error['confidence']:.3f}",
        )
        for error in report["wrong"]
    ]
    parts += ["<h3>Errors, most confident first</h3>"]
    return [*parts, _table(("text", "true", "predicted", "confidence"), rows)]


def _cell(name: str, value: float | None) -> str:
    return format_score(value, 0) if name == "support" else format_score(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cell(text: str) -> str:
        kind = ' class="number"' if text[:1].isdigit() and " " not in text else ""
        return f"<td{kind}>{escape(text)}</td>"

    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join(f"<tr>{''.join(cell(text) for text in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
