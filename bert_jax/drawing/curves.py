"""Training curves: losses over steps as an SVG file, one panel for each of them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
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


class Curve(NamedTuple):
    """A line through points."""

    name: str
    """Name in the legend; empty: none."""
    points: Sequence[tuple[float, float]]
    """Its points; the loss is the second of each pair."""
    kind: str = "eval"
    """Class in `svg.STYLE`: train and eval, thin and thick; other-train and
    other-eval; base, dashed."""


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
    curves = [
        Curve(
            name,
            [(p["step"], p[panel.key]) for p in measured if p.get("split") == split],
            split,
        )
        for split, name in (
            ("train", f"training {panel.title}"),
            ("eval", f"held-out {panel.title}"),
        )
    ]
    return draw_curves(curves, "step", steps, panel.baselines)


def plot_curves(curves: Sequence[Curve], output: Path, x_title: str) -> None:
    """Draw losses over time, or over whatever else a run takes, as an SVG file.

    Args:
        curves: curves of any number of runs.
        output: the SVG to write; its directory is created if absent.
        x_title: title of the horizontal axis, which begins at 0.
    """
    longest = max((x for curve in curves for x, _ in curve.points), default=1.0)
    parts = draw_curves(curves, x_title, longest)
    view = f"0 0 {WIDTH} {HEIGHT}"
    write_text(output, document(parts, corner=6, viewBox=view, font_size=13))


def draw_curves(
    curves: Sequence[Curve],
    x_title: str,
    longest: float,
    baselines: Mapping[str, float] = MappingProxyType({}),
) -> list[str]:
    """Draw curves on one pair of axes, the horizontal one from 0 to `longest`."""
    values = [y for curve in curves for _, y in curve.points] + list(baselines.values())
    x_ticks, y_ticks = ticks(0, longest), ticks(min(values, default=0), max(values, default=1))
    low, high, bottom, right = y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, WIDTH - RIGHT
    parts: list[str] = []

    def x(value: float) -> float:
        return LEFT + (right - LEFT) * value / x_ticks[-1]

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
    parts.append(text((LEFT + right) / 2, HEIGHT - 8, x_title, text_anchor="middle"))
    legend = LEFT
    for curve in curves:
        points = [(x(a), y(b)) for a, b in curve.points]
        if points:
            line(curve.kind, [*points, *points[-1:]])  # a single point, drawn twice, is a dot
        if points and curve.name:
            line(curve.kind, [(legend, 20), (legend + 24, 20)])
            parts.append(text(legend + 30, 24, curve.name))
            legend += 180
    for name, value in baselines.items():
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
