"""The confusion matrix: every count in its cell, with its shade and its labels."""

import math
import re
from xml.etree import ElementTree

import pytest

from bert_jax.drawing.confusion_matrix import CELL, confusion_matrix
from bert_jax.drawing.svg import text_width
from tests.drawing.test_charts import elements, numbers


def test_confusion_matrix_has_the_true_class_in_rows_and_shades_shares_of_a_row():
    picture = confusion_matrix(
        ["a", "<b>", "a label that is long"], [[3, 1, 0], [0, 0, 0], [0, 2, 2]]
    )
    texts = [text.text for text in elements(picture, "text")]
    short = "a label that is…"
    assert texts == [
        "a", "a", "3", "1", "0", "<b>", "<b>", "0", "0", "0", short, short, "0", "2", "2",
    ]  # fmt: skip
    cells = elements(picture, "rect")
    x, y = numbers(cells[0], "x", "y")
    assert [numbers(cell, "x", "y") for cell in cells] == [
        [x + CELL * column, y + CELL * row] for row in range(3) for column in range(3)
    ]
    opacities = [float(cell.get("fill-opacity")) for cell in cells]
    expected = [0.585, 0.235, 0.06, 0.06, 0.06, 0.06, 0.06, 0.41, 0.41]
    assert opacities == pytest.approx(expected)


@pytest.mark.parametrize(
    "labels", [["a", "b"], ["a", "seventeen letters"], ["부정적인 감정", "긍정적인 감정"]]
)
def test_every_name_is_inside_the_picture_and_there_is_no_empty_band(labels):
    picture = confusion_matrix(labels, [[1, 0], [0, 1]])
    width, height = numbers(ElementTree.fromstring(picture), "width", "height")
    highest, leftmost = height, width
    for text in elements(picture, "text"):
        (x, y), length = numbers(text, "x", "y"), text_width(text.text)
        if turned := re.match(r"rotate\(-45 ", text.get("transform") or ""):
            end = length * math.sqrt(0.5)
            assert x + end <= width
            highest = min(highest, y - end)
        elif text.get("text-anchor") == "end":
            leftmost = min(leftmost, x - length)
        assert turned or y < height
    assert 0 <= highest < 20
    assert 0 <= leftmost < 20
    last = elements(picture, "rect")[-1]
    assert numbers(last, "x")[0] + CELL <= width
    assert height - numbers(last, "y")[0] - CELL < 10
