"""The confusion matrix: every count in its cell, with its shade and its labels."""

import pytest

from bert_jax.drawing.confusion_matrix import CELL, MARGIN, confusion_matrix
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
    assert [numbers(cell, "x", "y") for cell in cells] == [
        [MARGIN + CELL * column, MARGIN + CELL * row] for row in range(3) for column in range(3)
    ]
    opacities = [float(cell.get("fill-opacity")) for cell in cells]
    expected = [0.585, 0.235, 0.06, 0.06, 0.06, 0.06, 0.06, 0.41, 0.41]
    assert opacities == pytest.approx(expected)
