"""A matrix as a picture: alignments, weightings over time, positions. SVG, in light and dark."""

import math
import re
import unicodedata
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

LARGEST_CELL, SMALLEST_CELL, SIDE = 28, 4, 640
LINE, GAP, LONGEST_LABEL = 14, 8, 24
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f; } .title { font-weight: 600; }
  .page { fill: #ffffff; } .frame { fill: none; stroke: #8c959f; }
  .more { fill: #0b57d0; } .less { fill: #b35900; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .page { fill: #0d1117; }
    .more { fill: #8cc0ff; } .less { fill: #f0a050; }
  }
"""


def heat_map(
    matrix: ArrayLike,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str,
    cell: int | None = None,
) -> str:
    """A matrix as squares: blue above 0, orange below, full where the largest magnitude is.

    Where squares are too small for text, every n-th label is shown; a pointer resting on a square
    shows its labels and value.

    Args:
        matrix: finite numbers [rows, columns].
        row_labels: one for each row, from the top; an empty text shows nothing.
        column_labels: one for each column.
        title: stands above.
        cell: a square's side in pixels, for pictures whose columns are compared; None chooses.

    Returns:
        An SVG file's text.

    Raises:
        ValueError: a label too many or too few, or a number that is not finite.

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
        raise ValueError("matrix holds NaN or Inf, expected finite numbers")
    rows, columns = ([_cut(label) for label in labels] for labels in (row_labels, column_labels))
    cell = cell or max(SMALLEST_CELL, min(LARGEST_CELL, SIDE // max(*values.shape, 1)))
    left = GAP + max(map(_text_width, rows), default=0) + GAP
    top = GAP + LINE + GAP + max(map(_text_width, columns), default=0) + GAP
    grid_width, grid_height = cell * values.shape[1], cell * values.shape[0]
    largest = float(np.abs(values).max(initial=0))
    width = max(left + grid_width + GAP, GAP + _text_width(title) + GAP, 240)
    height = top + grid_height + GAP + LINE + GAP

    parts = [f'<text class="title" x="{GAP}" y="{GAP + LINE}">{escape(title)}</text>']
    every = math.ceil(LINE / cell)
    for i in range(0, len(rows), every):
        y = top + cell * (i + 0.5) + 4
        parts.append(f'<text x="{left - GAP}" y="{y}" text-anchor="end">{escape(rows[i])}</text>')
    for j in range(0, len(columns), every):
        place = f"translate({left + cell * (j + 0.5) + 4},{top - GAP}) rotate(-90)"
        parts.append(f'<text transform="{place}">{escape(columns[j])}</text>')
    for i, j in np.argwhere(np.abs(values) > 0.005 * largest):
        value = values[i, j]
        says = f"{row_labels[i]} · {column_labels[j]}: {value:.3g}"
        parts.append(
            f'<rect class="{"more" if value > 0 else "less"}" x="{left + cell * j}"'
            f' y="{top + cell * i}" width="{cell}" height="{cell}"'
            f' fill-opacity="{abs(value) / largest:.3f}"><title>{escape(says)}</title></rect>'
        )
    parts.append(
        f'<rect class="frame" x="{left}" y="{top}" width="{grid_width}" height="{grid_height}"/>'
    )
    scale = f"0 to {largest:.3g}" if (values >= 0).all() else f"±{largest:.3g}"
    parts.append(f'<text x="{left}" y="{height - GAP}">{scale}</text>')
    return _picture(width, height, parts)


def stack_pictures(pictures: Sequence[str]) -> str:
    """Several pictures of this module in one, one below another."""
    parts, width, height = [], 0, 0
    for picture in pictures:
        found = re.match(r'<svg [^>]*width="([\d.]+)" height="([\d.]+)"', picture)
        assert found, "a picture that heat_map did not make"
        parts.append(f'<svg y="{height:g}"' + picture.removeprefix("<svg"))
        width, height = max(width, float(found[1])), height + float(found[2])
    return _picture(width, height, parts)


def _picture(width: float, height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}">'
    page = '<rect class="page" width="100%" height="100%"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", page, *parts, "</svg>\n"])


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _text_width(text: str) -> int:
    """About how many pixels a text takes; Korean letters take two places."""
    return math.ceil(7 * sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text))
