"""The confusion matrix of report.html: an `<svg>` element for a page that contains `svg.STYLE`."""

import math
from collections.abc import Sequence

from bert_jax.drawing.svg import fragment, rect, shorten, text, text_width

CELL, GAP, LINE = 46, 8, 12
LONGEST_LABEL = 16  # characters


def confusion_matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw counts by true class (rows) and predicted class (columns), shaded by share of the row.

    The names of the columns rise to the right, by 45 degrees; the picture is as large as they need.

    Args:
        labels: names of the C classes.
        counts: [C, C], the true class first.
    """
    names = [shorten(label, LONGEST_LABEL) for label in labels]
    rise = [(text_width(name) + LINE) * math.sqrt(0.5) for name in names]  # of a name at 45 degrees
    left = GAP + max(map(text_width, names), default=0) + GAP
    top = math.ceil(max(rise, default=0)) + GAP
    parts, right = [], left + CELL * len(names) + GAP
    for i, (name, row) in enumerate(zip(names, counts, strict=True)):
        total, middle_x, middle_y = (
            max(sum(row), 1),
            left + (i + 0.5) * CELL,
            top + (i + 0.5) * CELL,
        )
        parts.append(text(left - GAP, middle_y + 4, name, text_anchor="end"))
        parts.append(text(middle_x, top - GAP, name, rotate=-45))
        right = max(right, math.ceil(middle_x + rise[i]))
        for j, count in enumerate(row):
            x, opacity = left + j * CELL, 0.06 + 0.7 * count / total
            parts += [
                rect(x, top + i * CELL, CELL - 2, CELL - 2, class_="share", fill_opacity=opacity),
                text(x + CELL / 2 - 1, middle_y + 4, str(count), text_anchor="middle"),
            ]
    return fragment(parts, width=right, height=top + CELL * len(names) + GAP)
