"""The loss curve as an SVG that a browser shows without help, in light and dark."""

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path

from bert_jax.training.runlog import read_metrics

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 36, 48, 48
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round; }
  .page { fill: #ffffff; } .grid { stroke: #d0d7de; }
  .train { stroke: #8fb8e8; } .eval { stroke: #0b57d0; stroke-width: 2.5; }
  .base { stroke: #b35900; stroke-dasharray: 6 4; }
  .label { fill: #b35900; stroke: #ffffff; stroke-width: 4; paint-order: stroke; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .page { fill: #0d1117; } .grid { stroke: #30363d; }
    .train { stroke: #3f70ab; } .eval { stroke: #8cc0ff; }
    .base { stroke: #f0a050; } .label { fill: #f0a050; stroke: #0d1117; }
  }
"""


def loss_plot(metrics: Path, output: Path, baselines: Mapping[str, float]) -> None:
    """Draws training and held-out loss over steps.

    Args:
        metrics: a run's `metrics.jsonl`.
        output: the SVG to write; its folder is made if absent.
        baselines: labelled horizontal lines, such as the unigram entropy of the corpus.
    """
    lines = [x for x in read_metrics(metrics) if isinstance(x.get("loss"), int | float)]
    losses = [x["loss"] for x in lines] + list(baselines.values())
    x_ticks = ticks(0, max((x["step"] for x in lines), default=1))
    y_ticks = ticks(min(losses, default=0), max(losses, default=1))
    low, high, bottom, end = y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, WIDTH - RIGHT
    parts: list[str] = []

    def x(step: float) -> float:
        return LEFT + (end - LEFT) * step / x_ticks[-1]

    def y(loss: float) -> float:
        return TOP + (bottom - TOP) * (high - loss) / (high - low)

    def line(kind: str, points: list[tuple[float, float]]) -> None:
        text = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline class="{kind}" points="{text}"/>')

    def write(a: float, b: float, text: str, anchor: str = "start", kind: str = "") -> None:
        place = f'x="{a:.1f}" y="{b:.1f}" text-anchor="{anchor}" class="{kind}"'
        parts.append(f"<text {place}>{escape(text)}</text>")

    for tick in y_ticks:
        line("grid", [(LEFT, y(tick)), (end, y(tick))])
        write(LEFT - 8, y(tick) + 4, f"{tick:g}", "end")
    for tick in x_ticks:
        line("grid", [(x(tick), bottom), (x(tick), bottom + 5)])
        write(x(tick), bottom + 20, f"{tick:,.10g}", "middle")
    write((LEFT + end) / 2, HEIGHT - 8, "step", "middle")
    for i, (split, name) in enumerate({"train": "training loss", "eval": "held-out loss"}.items()):
        points = [(x(p["step"]), y(p["loss"])) for p in lines if p.get("split") == split]
        line(split, [*points, *points[-1:]])  # a single point, drawn twice, shows as a dot
        line(split, [(LEFT + 150 * i, 20), (LEFT + 150 * i + 24, 20)])
        write(LEFT + 150 * i + 30, 24, name)
    for name, value in baselines.items():
        line("base", [(LEFT, y(value)), (end, y(value))])
        write(end, y(value) - 6, f"{name} {value:.2f}", "end", "label")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
    page = '<rect class="page" width="100%" height="100%" rx="6"/>'
    output.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([head, f"<style>{_STYLE}</style>", page, *parts, "</svg>\n"])
    output.write_text(text, encoding="utf-8")


def ticks(low: float, high: float) -> list[float]:
    """Five to ten round numbers, 1, 2 or 5 times a power of ten apart, that enclose a range."""
    span = high - low if high > low else max(abs(high), 1)
    power = 10 ** math.floor(math.log10(span / 8))
    gap = next(power * m for m in (1, 2, 5, 10) if power * m >= span / 8)
    first, last = math.floor(low / gap + 1e-9), math.ceil(high / gap - 1e-9)
    return [round(gap * i, 12) for i in range(first, max(last, first + 1) + 1)]
