"""A matrix as a heat map: alignments of a translation, or memory heads over time."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bert_jax.drawing.svg import document, element, escape, rect, shorten, text, text_width

LARGEST_CELL, SMALLEST_CELL, SIDE = 28, 4, 640
LINE, GAP, LONGEST_LABEL = 14, 8, 24


def heat_map(
    matrix: ArrayLike,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str,
    cell: int | None = None,
) -> str:
    """Draw a matrix as squares: blue above 0, orange below, opaque at the largest magnitude.

    Where squares are too small for text, every n-th label is shown; the tooltip of a square has
    its labels and value.

    Args:
        matrix: finite numbers [rows, columns].
        row_labels: one for each row, from the top; an empty one shows nothing.
        column_labels: one for each column.
        title: the line above the matrix.
        cell: a square's side in pixels, to align the columns of several pictures; None fits the
            matrix.

    Returns:
        The text of an SVG file.

    Raises:
        ValueError: not one label for each row and column, or a number that is not finite.

    Example:
        >>> Path("alignment.svg").write_text(heat_map(weights, ["ich", "bin"], ["I", "am"], ""))
    """
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2 or values.shape != (len(row_labels), len(column_labels)):
        raise ValueError(
            f"matrix of shape {values.shape} with {len(row_labels)} row labels and "
            f"{len(column_labels)} column labels, expected one label for each row and column"
        )
    if not np.isfinite(values).all():
        raise ValueError("matrix has NaN or Inf, expected finite numbers")
    rows, columns = (
        [shorten(label, LONGEST_LABEL) for label in labels]
        for labels in (row_labels, column_labels)
    )
    cell = cell or max(SMALLEST_CELL, min(LARGEST_CELL, SIDE // max(*values.shape, 1)))
    left = GAP + max(map(text_width, rows), default=0) + GAP
    top = GAP + LINE + GAP + max(map(text_width, columns), default=0) + GAP
    grid_width, grid_height = cell * values.shape[1], cell * values.shape[0]
    largest = float(np.abs(values).max(initial=0))
    width = max(left + grid_width + GAP, GAP + text_width(title) + GAP, 240)
    height = top + grid_height + GAP + LINE + GAP

    parts = [text(GAP, GAP + LINE, title, class_="title")]
    step = math.ceil(LINE / cell)  # every `step`-th label has room
    for i in range(0, len(rows), step):
        parts.append(text(left - GAP, top + cell * (i + 0.5) + 4, rows[i], text_anchor="end"))
    for j in range(0, len(columns), step):
        parts.append(text(left + cell * (j + 0.5) + 4, top - GAP, columns[j], rotate=-90))
    for i, j in np.argwhere(np.abs(values) > 0.005 * largest):
        value, x, y = values[i, j], left + cell * j, top + cell * i
        tooltip = escape(f"{row_labels[i]} · {column_labels[j]}: {value:.3g}")
        kind, opacity = "more" if value > 0 else "less", abs(value) / largest
        parts.append(
            rect(x, y, cell, cell, element("title", tooltip), class_=kind, fill_opacity=opacity)
        )
    parts.append(rect(left, top, grid_width, grid_height, class_="frame"))
    scale = f"0 to {largest:.3g}" if (values >= 0).all() else f"±{largest:.3g}"
    parts.append(text(left, height - GAP, scale))
    return document(parts, width=width, height=height)
