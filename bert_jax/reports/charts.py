"""Small pictures as SVG: a confusion matrix, a reliability diagram, bars."""

from collections.abc import Sequence
from html import escape

CELL, LABEL = 46, 120
BLUE = "11,87,208"


def heat_map(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A square of counts, each row shaded by its share."""
    size = CELL * len(labels)
    parts = [_open(LABEL + size + 10, LABEL + size + 10)]
    for i, (label, row) in enumerate(zip(labels, counts, strict=True)):
        total = max(sum(row), 1)
        middle = LABEL + i * CELL + CELL / 2
        name = escape(label if len(label) <= 16 else label[:15] + "…")
        parts.append(f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{name}</text>')
        turn = f"rotate(-45 {middle} {LABEL - 8})"
        parts.append(f'<text x="{middle}" y="{LABEL - 8}" transform="{turn}">{name}</text>')
        for j, count in enumerate(row):
            x, y, share = LABEL + j * CELL, LABEL + i * CELL, count / total
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL - 2}" height="{CELL - 2}"'
                f' fill="rgba({BLUE},{0.06 + 0.7 * share:.3f})"/>'
                f'<text x="{x + CELL / 2 - 1}" y="{middle + 4}" text-anchor="middle">{count}</text>'
            )
    return "".join([*parts, "</svg>"])


def reliability(bins: Sequence[Sequence[float]]) -> str:
    """Accuracy over confidence; on the diagonal, the model knows how sure it can be."""
    side, left, top = 260, 40, 10
    bottom = top + side
    parts = [
        _open(left + side + 20, bottom + 40),
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="#8c959f"/>',
        f'<line x1="{left}" y1="{bottom}" x2="{left + side}" y2="{top}" stroke="#8c959f"'
        ' stroke-dasharray="5 4"/>',
    ]
    total = max(sum(size for _, _, size in bins), 1)
    for confidence, accuracy, size in bins:
        radius = 3 + 12 * (size / total) ** 0.5
        parts.append(
            f'<circle cx="{left + side * confidence:.1f}" cy="{bottom - side * accuracy:.1f}"'
            f' r="{radius:.1f}" fill="rgba({BLUE},0.6)"/>'
        )
    for value in (0, 0.5, 1):
        parts.append(f'<text x="{left + side * value - 8}" y="{bottom + 18}">{value}</text>')
        parts.append(f'<text x="4" y="{bottom - side * value + 4}">{value}</text>')
    parts.append(
        f'<text x="{left + side / 2 - 60}" y="{bottom + 36}">confidence (share right ↑)</text>'
    )
    return "".join([*parts, "</svg>"])


def bars(groups: Sequence[tuple[str, float]]) -> str:
    """A bar from 0 to 1 for each group."""
    width, height = 360, 24
    parts = [_open(LABEL + width + 60, height * len(groups) + 8)]
    for i, (name, value) in enumerate(groups):
        y = i * height + 4
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{LABEL}" y="{y}" width="{width * value:.1f}" height="{height - 6}"'
            f' fill="rgba({BLUE},0.6)"/>'
            f'<text x="{LABEL + width * value + 6:.1f}" y="{y + 14}">{value:.3f}</text>'
        )
    return "".join([*parts, "</svg>"])


def _open(width: float, height: float) -> str:
    return f'<svg width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">'
