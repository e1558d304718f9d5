"""Heat maps: squares, labels, and matrices that are refused."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from bert_jax.drawing.heatmap import heat_map

SVG = "{http://www.w3.org/2000/svg}"


def cells(picture):
    """Return (title, class, opacity) of every square that is drawn."""
    squares = []
    for rect in ET.fromstring(picture).iter(f"{SVG}rect"):
        for title in rect.iter(f"{SVG}title"):
            squares.append((title.text, rect.get("class"), float(rect.get("fill-opacity"))))
    return squares


def texts(picture):
    return [text.text for text in ET.fromstring(picture).iter(f"{SVG}text")]


def test_each_square_has_its_position_sign_and_share_of_the_largest():
    picture = heat_map([[0.5, 0.0], [-2.0, 1.0]], ["a", "b"], ["x", "y"], "four")
    assert cells(picture) == [
        ("a · x: 0.5", "more", 0.25), ("b · x: -2", "less", 1.0), ("b · y: 1", "more", 0.5),
    ]  # fmt: skip
    assert texts(picture) == ["four", "a", "b", "x", "y", "±2"]
    rects = {r[0].text: r for r in ET.fromstring(picture).iter(f"{SVG}rect") if len(r)}
    first, below, right = (rects[name] for name in ("a · x: 0.5", "b · x: -2", "b · y: 1"))
    assert first.get("x") == below.get("x") < right.get("x")
    assert first.get("y") < below.get("y") == right.get("y")


def test_text_is_escaped():
    picture = heat_map([[1.0]], ["<s>"], ["a&b"], "<script>")
    assert texts(picture) == ["<script>", "<s>", "a&b", "0 to 1"]
    picture = heat_map([[1.0]], ["\x02"], ["\x03"], "\x01")
    assert texts(picture)[:3] == ["\ufffd"] * 3
    assert cells(picture)[0][0] == "\ufffd · \ufffd: 1"


def test_small_squares_show_every_nth_label():
    picture = heat_map(np.eye(128), [f"r{i}" for i in range(128)], [""] * 128, "")
    assert [t for t in texts(picture) if t and t[0] == "r"] == [f"r{i}" for i in range(0, 128, 3)]
    assert len(cells(picture)) == 128
    picture = heat_map(np.eye(128), [f"r{i}" for i in range(128)], [""] * 128, "", cell=14)
    assert [t for t in texts(picture) if t and t[0] == "r"] == [f"r{i}" for i in range(128)]


def test_zeros_and_nothing_can_be_drawn():
    assert cells(heat_map(np.zeros((2, 2)), ["", ""], ["", ""], "zeros")) == []
    assert cells(heat_map(np.zeros((0, 3)), [], ["a", "b", "c"], "nothing")) == []


def test_wrong_labels_and_nan_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 2\) with 1 row labels and 2 column labels"):
        heat_map(np.eye(2), ["a"], ["b", "c"], "")
    with pytest.raises(ValueError, match="NaN or Inf"):
        heat_map([[np.nan]], ["a"], ["b"], "")
