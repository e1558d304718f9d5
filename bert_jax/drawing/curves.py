"""Training curves: losses over steps as an SVG file, one panel for each of them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.drawing.svg import document, element, text
from bert_jax.filesystem import write_text

WIDTH, HEIGHT = 760, 420  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 60, 36, 48, 48


class Panel(NamedTuple):
    """One loss, of training and of held-out data; its baselines share the axis."""

    key: str = "loss"
    """Name of the loss in the records."""
    title: str = "loss"
    """Name of the loss for the reader."""
    baselines: Mapping[str, float] = {}
    """Labelled horizontal lines, such as the loss of a unigram model."""


def plot_loss(
    records: Sequence[Mapping[str, Any]], output: Path, panels: Sequence[Panel] = (Panel(),)
) -> None:
    """Draw training and held-out losses over steps, one panel below the other.

    Args:
        records: evaluations with "step", "split" ("train" or "eval") and the panels' keys.
        output: the SVG to write; its directory is created if absent.
        panels: losses to draw; those that no record has are left out.
    """
    steps = max((x["step"] for x in records), default=1)
    shown = [p for p in panels if any(_is_number(x.get(p.key)) for x in records)] or panels[:1]
    drawings = [
        element("g", "\n".join(draw_panel(records, panel, steps)), transform=f"translate(0 {top})")
        for top, panel in zip(range(0, HEIGHT * len(shown), HEIGHT), shown, strict=True)
    ]
    view = f"0 0 {WIDTH} {HEIGHT * len(shown)}"
    write_text(output, document(drawings, corner=6, viewBox=view, font_size=13))


def draw_panel(records: Sequence[Mapping[str, Any]], panel: Panel, steps: int) -> list[str]:
    """Draw one panel; records whose value is no number are skipped."""
    measured = [x for x in records if _is_number(x.get(panel.key))]
    values = [x[panel.key] for x in measured] + list(panel.baselines.values())
    x_ticks, y_ticks = ticks(0, steps), ticks(min(values, default=0), max(values, default=1))
    low, high, bottom, right = y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, WIDTH - RIGHT
    parts: list[str] = []

    def x(step: float) -> float:
        return LEFT + (right - LEFT) * step / x_ticks[-1]

    def y(value: float) -> float:
        return TOP + (bottom - TOP) * (high - value) / (high - low)

    def line(kind: str, points: Sequence[tuple[float, float]]) -> None:
        pairs = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(element("polyline", class_=kind, points=pairs))

    for tick in y_ticks:
        line("grid", [(LEFT, y(tick)), (right, y(tick))])
        parts.append(text(LEFT - 8, y(tick) + 4, f"{tick:g}", text_anchor="end"))
    for tick in x_ticks:
        line("grid", [(x(tick), bottom), (x(tick), bottom + 5)])
        parts.append(text(x(tick), bottom + 20, f"{tick:,.10g}", text_anchor="middle"))
    parts.append(text((LEFT + right) / 2, HEIGHT - 8, "step", text_anchor="middle"))
    curves = {"train": f"training {panel.title}", "eval": f"held-out {panel.title}"}
    for i, (split, name) in enumerate(curves.items()):
        points = [(x(p["step"]), y(p[panel.key])) for p in measured if p.get("split") == split]
        if points:
            line(split, [*points, *points[-1:]])  # a single point, drawn twice, shows as a dot
            line(split, [(LEFT + 180 * i, 20), (LEFT + 180 * i + 24, 20)])
            parts.append(text(LEFT + 180 * i + 30, 24, name))
    for name, value in panel.baselines.items():
        line("base", [(LEFT, y(value)), (right, y(value))])
        caption = f"{name} {value:.2f}"
        parts.append(text(right, y(value) - 6, caption, text_anchor="end", class_="label"))
    return parts


def ticks(low: float, high: float) -> list[float]:
    """Return five to ten round numbers, 1, 2 or 5 times a power of ten apart, around a range."""
    span = high - low if high > low else max(abs(high), 1)
    power = 10 ** math.floor(math.log10(span / 8))
    gap = next(power * m for m in (1, 2, 5, 10) if power * m >= span / 8)
    first, last = math.floor(low / gap + 1e-9), math.ceil(high / gap - 1e-9)
    return [round(gap * i, 12) for i in range(first, max(last, first + 1) + 1)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
