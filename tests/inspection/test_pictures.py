"""Pictures of attention as JSON and as SVG."""

import numpy as np
import pytest

from bert_jax.inspection.pictures import SCALE, Panel, Picture, draw

WEIGHTS = np.array([[[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]], [[0.75, 0.25], [0.0, 1.0], [0.5, 0.5]]])
PICTURE = Picture("T", [Panel("Layer 1", ["a", "b", "c"], ["x", "<y>"], WEIGHTS, ("one", "two"))])


def test_json_has_whole_multiples_of_the_scale():
    picture = PICTURE.as_json()
    panel = picture["panels"][0]
    assert (picture["title"], picture["notice"], picture["scale"]) == ("T", None, SCALE)
    assert (panel["rows"], panel["columns"]) == (["a", "b", "c"], ["x", "<y>"])
    assert panel["row_groups"] is None
    assert [head["name"] for head in panel["heads"]] == ["one", "two"]
    assert panel["heads"][0]["weights"] == [[2500, 7500], [10000, 0], [5000, 5000]]


def test_heads_without_names_are_counted():
    assert Panel("", ["a"], ["x"], np.ones((2, 1, 1))).head_names() == ["head 1", "head 2"]


@pytest.mark.parametrize(("head", "expected"), [(0, "b · x: 1"), (None, "b · x: 0.5")])
def test_a_head_or_the_mean_is_drawn(head, expected):
    picture = draw(PICTURE, -1, head)
    assert picture.startswith("<svg")
    assert f"<title>{expected}</title>" in picture
    assert ("Layer 1, one" if head == 0 else "Layer 1, mean of all heads") in picture
    assert "<y>" not in picture
