"""What a report says in one sentence, and in a second one its weakest class."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Confusion(NamedTuple):
    """A class, another one, and how many of the first were predicted as the second."""

    true: str
    predicted: str
    count: int
    of: int
    """Examples of the true class."""


def summarize(report: Mapping[str, Any]) -> str:
    """Return the sentences at the head of a report: its first score, and the worst class."""
    name, score = next(iter(report["scores"].items()))
    parts = f"{name.replace('_', ' ')} is {format_score(score['value'], 3)}"
    if score["low"] is not None:
        parts += f" (95 % interval {format_interval(score, 3)})"
    sentence = f"On {report['examples']:,} examples, {parts}"
    if "confusion" in report:
        counts = report["confusion"]["counts"]
        total = sum(map(sum, counts))
        wrong = total - sum(row[i] for i, row in enumerate(counts))
        sentence += f"; {wrong:,} of {total:,} labels are wrong" if wrong else "; none is wrong"
    return f"{sentence}.{describe_worst(report)}"


def describe_worst(report: Mapping[str, Any]) -> str:
    """Return the sentence on the class with the lowest F1, and what it is confused with.

    Empty without classes, or where all of them are always right.
    """
    classes = {
        label: values["f1"] or 0.0
        for label, values in report.get("by_class", {}).items()
        if values["support"]
    }
    if len(classes) < 2 or min(classes.values()) == 1.0:
        return ""
    worst = min(classes, key=classes.__getitem__)
    sentence = f" The worst class is “{worst}”, with F1 {classes[worst]:.3f}"
    if confusion := most_confused(report.get("confusion"), worst):
        true, predicted, count, of = confusion
        sentence += f": {count:,} of {of:,} “{true}” are predicted as “{predicted}”"
    return f"{sentence}."


def most_confused(confusion: Mapping[str, Any] | None, label: str) -> Confusion | None:
    """Return the most frequent error that takes a class for another, or another for it."""
    if confusion is None or label not in confusion["labels"]:
        return None
    labels: Sequence[str] = confusion["labels"]
    counts: Sequence[Sequence[int]] = confusion["counts"]
    own = labels.index(label)
    pairs = [
        pair
        for other in range(len(labels))
        if other != own
        for pair in ((own, other), (other, own))
    ]
    true, predicted = max(pairs, key=lambda pair: counts[pair[0]][pair[1]])
    count = counts[true][predicted]
    of = sum(counts[true])
    return Confusion(labels[true], labels[predicted], count, of) if count else None


def format_score(value: float | None, digits: int = 4) -> str:
    """Return a number as text, "–" for None: one that is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def format_interval(score: Mapping[str, float | None], digits: int = 4) -> str:
    """Return the interval of a score as text."""
    return f"{format_score(score['low'], digits)} … {format_score(score['high'], digits)}"
