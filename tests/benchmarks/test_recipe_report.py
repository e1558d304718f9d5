"""The race's table and figure: what is together on a line, and what is drawn."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from benchmarks.recipe_protocol import Result
from benchmarks.recipe_report import COLUMNS, draw, table
from bert_jax.drawing.curves import LEFT, RIGHT, WIDTH

ORIGINAL = Result(
    name="", side="original", rate=1e-3, fraction=1, seed=0, removed="", steps=1200, tokens=2.5e6,
    loss=5.0, mask_loss=5.5, seconds=480.0, step_seconds=450.0, processor=500.0, stolen=0.0,
    resumed=False, curve=[(4.0, 6.0), (8.0, 5.0)],
)  # fmt: skip
MODERN = replace(
    ORIGINAL, side="modern", rate=0.02, fraction=6, seconds=60.0, loss=4.9,
    curve=[(0.5, 6.0), (1.0, 4.9)],
)  # fmt: skip


def test_seeds_share_a_line_and_other_runs_have_their_own():
    runs = [
        MODERN,
        replace(ORIGINAL, seed=1, loss=5.2, resumed=True, processor=None),
        ORIGINAL,
        replace(ORIGINAL, rate=4e-3, loss=None, mask_loss=None),
        replace(MODERN, removed="Muon"),
        replace(MODERN, removed="MLM alone"),
    ]
    header, rule, *lines = table(runs)
    assert header.count("|") == rule.count("|") == len(COLUMNS) + 1
    assert lines == [
        "| original (2 seeds) | 0.001 | 1 | 1,200 | 2.50M | 5.100 ± 0.141 | 5.500 ± 0.000 "
        "| 8.00 ± 0.00* | 7.50 ± 0.00 | 8.33 |",
        "| original | 0.004 | 1 | 1,200 | 2.50M | 1 of 1 diverged | 1 of 1 diverged "
        "| 8.00 | 7.50 | 8.33 |",
        "| modern | 0.02 | 1/6 | 1,200 | 2.50M | 4.900 | 5.500 | 1.00 | 7.50 | 8.33 |",
        "| with NSP | 0.02 | 1/6 | 1,200 | 2.50M | 4.900 | 5.500 | 1.00 | 7.50 | 8.33 |",
        "| without Muon | 0.02 | 1/6 | 1,200 | 2.50M | 4.900 | 5.500 | 1.00 | 7.50 | 8.33 |",
    ]


def test_the_figure_has_the_best_rate_of_both_and_the_target(tmp_path):
    worse = replace(ORIGINAL, rate=2e-3, loss=5.3, curve=[(8.0, 5.3)])
    half = replace(MODERN, fraction=2, seconds=240.0, loss=4.5, curve=[(4.0, 4.5)])
    removed = replace(MODERN, removed="Muon", loss=4.0)
    draw([worse, ORIGINAL, MODERN, half, removed], tmp_path / "loss.svg")
    root = ElementTree.parse(tmp_path / "loss.svg").getroot()
    drawn: dict[str, list] = {}
    for line in root.iter("{http://www.w3.org/2000/svg}polyline"):
        points = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        drawn.setdefault(line.get("class"), []).append(points)
    assert len(drawn["other-train"]) == 1
    assert len(drawn["train"]) == 2
    (first, last, _), _ = drawn["eval"]  # and the legend
    assert (first[0] - LEFT) / (WIDTH - RIGHT - LEFT) == pytest.approx(1 / 8, abs=1e-3)
    assert (last[0] - LEFT) / (WIDTH - RIGHT - LEFT) == pytest.approx(4 / 8, abs=1e-3)
    target, end = drawn["base"][0][0], drawn["other-eval"][0][0]
    assert target[1] == end[1]
