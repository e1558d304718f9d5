"""Charts of report.html: reliability diagram, bar chart.

Each is an `<svg>` element for a page that contains `svg.STYLE`.
"""

from collections.abc import Sequence

from bert_jax.drawing.svg import element, fragment, rect, text

MARGIN = 120


def reliability_diagram(bins: Sequence[Sequence[float]]) -> str:
    """Draw accuracy over confidence; points of a calibrated model are on the diagonal.

    Args:
        bins: (mean confidence, accuracy, number of examples) each; larger bins are larger points.
    """
    side, left, top = 260, 40, 20  # the largest point has a radius of 15
    right, bottom = left + side, top + side
    parts = [
        rect(left, top, side, side, class_="frame"),
        element(
            "line", x1=left, y1=bottom, x2=right, y2=top, class_="frame", stroke_dasharray="5 4"
        ),
    ]
    total = max(sum(size for _, _, size in bins), 1)
    for confidence, accuracy, size in bins:
        x, y = left + side * confidence, bottom - side * accuracy
        radius = 3 + 12 * (size / total) ** 0.5
        parts.append(element("circle", cx=x, cy=y, r=radius, class_="share", fill_opacity=0.6))
    for value in (0, 0.5, 1):
        parts.append(text(left + side * value - 8, bottom + 18, str(value)))
        parts.append(text(4, bottom - side * value + 4, str(value)))
    parts.append(text(left + side / 2 - 75, bottom + 36, "accuracy ↑ over confidence →"))
    return fragment(parts, width=right + 20, height=bottom + 40)


def bar_chart(groups: Sequence[tuple[str, float]]) -> str:
    """Draw a horizontal bar from 0 to 1 for each (name, value)."""
    width, height, parts = 360, 24, []
    for i, (name, value) in enumerate(groups):
        y = i * height + 4
        parts += [
            text(MARGIN - 8, y + 14, name, text_anchor="end"),
            rect(MARGIN, y, width * value, height - 6, class_="share", fill_opacity=0.6),
            text(MARGIN + width * value + 6, y + 14, f"{value:.3f}"),
        ]
    return fragment(parts, width=MARGIN + width + 60, height=height * len(groups) + 8)
