"""Training curves: loss over steps as an SVG file."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_jax.drawing.svg import document, element, text

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 36, 48, 48


def plot_loss(
    records: Sequence[Mapping[str, Any]], output: Path, baselines: Mapping[str, float]
) -> None:
    """Draw training and held-out loss over steps.

    Args:
        records: evaluations with "step", "split" ("train" or "eval") and "loss"; records whose
            loss is no number are skipped.
        output: the SVG to write; its directory is created if absent.
        baselines: labelled horizontal lines, such as the unigram entropy of the corpus.
    """
    measured = [x for x in records if isinstance(x.get("loss"), int | float)]
    losses = [x["loss"] for x in measured] + list(baselines.values())
    x_ticks = ticks(0, max((x["step"] for x in measured), default=1))
    y_ticks = ticks(min(losses, default=0), max(losses, default=1))
    low, high, bottom, right = y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, WIDTH - RIGHT
    parts: list[str] = []

    def x(step: float) -> float:
        return LEFT + (right - LEFT) * step / x_ticks[-1]

    def y(loss: float) -> float:
        return TOP + (bottom - TOP) * (high - loss) / (high - low)

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
    for i, (split, name) in enumerate({"train": "training loss", "eval": "held-out loss"}.items()):
        points = [(x(p["step"]), y(p["loss"])) for p in measured if p.get("split") == split]
        line(split, [*points, *points[-1:]])  # a single point, drawn twice, shows as a dot
        line(split, [(LEFT + 150 * i, 20), (LEFT + 150 * i + 24, 20)])
        parts.append(text(LEFT + 150 * i + 30, 24, name))
    for name, loss in baselines.items():
        line("base", [(LEFT, y(loss)), (right, y(loss))])
        caption = f"{name} {loss:.2f}"
        parts.append(text(right, y(loss) - 6, caption, text_anchor="end", class_="label"))
    output.parent.mkdir(parents=True, exist_ok=True)
    picture = document(parts, corner=6, viewBox=f"0 0 {WIDTH} {HEIGHT}", font_size=13)
    output.write_text(picture, encoding="utf-8")


def ticks(low: float, high: float) -> list[float]:
    """Return five to ten round numbers, 1, 2 or 5 times a power of ten apart, around a range."""
    span = high - low if high > low else max(abs(high), 1)
    power = 10 ** math.floor(math.log10(span / 8))
    gap = next(power * m for m in (1, 2, 5, 10) if power * m >= span / 8)
    first, last = math.floor(low / gap + 1e-9), math.ceil(high / gap - 1e-9)
    return [round(gap * i, 12) for i in range(first, max(last, first + 1) + 1)]
