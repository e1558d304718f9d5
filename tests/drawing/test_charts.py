"""Charts: every number is at its position, with its shade and its label."""

from xml.etree import ElementTree

import pytest

from bert_jax.drawing.charts import MARGIN, bar_chart, reliability_diagram

SVG = "{http://www.w3.org/2000/svg}"


def elements(picture, tag):
    return list(ElementTree.fromstring(picture).iter(f"{SVG}{tag}"))


def numbers(element, *names):
    return [float(element.get(name)) for name in names]


def test_reliability_diagram_has_a_point_for_each_bin_that_grows_with_its_size():
    picture = reliability_diagram([(0.5, 0.25, 1), (1.0, 1.0, 3)])
    (frame,), (line,) = elements(picture, "rect"), elements(picture, "line")
    x, y, width, height = numbers(frame, "x", "y", "width", "height")
    assert numbers(line, "x1", "y1", "x2", "y2") == [x, y + height, x + width, y]
    half, full = elements(picture, "circle")
    assert numbers(half, "cx", "cy", "r") == [x + width / 2, y + height * 3 / 4, 3 + 12 * 0.5]
    assert numbers(full, "cx", "cy") == [x + width, y]
    assert float(full.get("r")) == pytest.approx(3 + 12 * 0.75**0.5, abs=1e-3)
    assert elements(reliability_diagram([]), "circle") == []


def test_bars_are_as_long_as_their_values_and_labelled():
    picture = bar_chart([("1–9", 0.25), ("<10", 1.0), ("none", 0.0)])
    texts = [text.text for text in elements(picture, "text")]
    assert texts == ["1–9", "0.250", "<10", "1.000", "none", "0.000"]
    bars = elements(picture, "rect")
    assert [numbers(bar, "x", "width") for bar in bars] == [
        [MARGIN, 90],
        [MARGIN, 360],
        [MARGIN, 0],
    ]
    first, second, third = (numbers(bar, "y")[0] for bar in bars)
    assert first < second < third
