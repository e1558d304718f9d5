"""The confusion matrix of report.html: an `<svg>` element for a page that contains `svg.STYLE`."""

from collections.abc import Sequence

from bert_jax.drawing.svg import fragment, rect, text

CELL, MARGIN = 46, 120


def confusion_matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw counts by true class (rows) and predicted class (columns), shaded by share of the row.

    Args:
        labels: names of the C classes.
        counts: [C, C], the true class first.
    """
    parts = []
    for i, (label, row) in enumerate(zip(labels, counts, strict=True)):
        total, start = max(sum(row), 1), MARGIN + i * CELL
        middle = start + CELL / 2
        name = label if len(label) <= 16 else label[:15] + "…"
        parts.append(text(MARGIN - 8, middle + 4, name, text_anchor="end"))
        parts.append(text(middle, MARGIN - 8, name, rotate=-45))
        for j, count in enumerate(row):
            x, opacity = MARGIN + j * CELL, 0.06 + 0.7 * count / total
            parts += [
                rect(x, start, CELL - 2, CELL - 2, class_="share", fill_opacity=opacity),
                text(x + CELL / 2 - 1, middle + 4, str(count), text_anchor="middle"),
            ]
    size = MARGIN + CELL * len(labels) + 10
    return fragment(parts, width=size, height=size)
