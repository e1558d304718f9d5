"""Training curves: lines, labels and ticks at their positions."""

import json
from xml.etree import ElementTree

import pytest

from bert_jax.drawing.curves import (
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Curve,
    Panel,
    plot_curves,
    plot_loss,
    ticks,
)
from bert_jax.training.runlog import read_metrics

SVG = "{http://www.w3.org/2000/svg}"


def draw(tmp_path, lines, *panels):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plot_loss(read_metrics(metrics), tmp_path / "plots" / "loss.svg", panels or [Panel()])
    return ElementTree.parse(tmp_path / "plots" / "loss.svg").getroot()


def points(root, kind):
    lines = [e for e in root.iter(f"{SVG}polyline") if e.get("class") == kind]
    return [tuple(map(float, p.split(","))) for x in lines[:1] for p in x.get("points").split()]


def test_curves_and_baselines_match_the_axes(tmp_path):
    lines = [{"step": s, "split": "train", "loss": 10 - s / 100} for s in range(100, 1001, 100)]
    lines += [{"step": s, "split": "eval", "loss": 8 - s / 250} for s in (500, 1000)]
    lines += [{"step": 1000, "split": "train", "loss": None}, {"step": 1000, "split": "eval"}]
    root = draw(tmp_path, lines, Panel(baselines={"unigram <entropy>": 6.0}))
    texts = {e.text: (float(e.get("x")), float(e.get("y"))) for e in root.iter(f"{SVG}text")}
    assert {"step", "training loss", "held-out loss", "unigram <entropy> 6.00"} <= texts.keys()
    assert {"0", "1,000", "4", "8"} <= texts.keys()
    assert texts["8"][1] < texts["4"][1]  # the y of an SVG grows downwards
    assert (texts["0"][0], texts["1,000"][0]) == (LEFT, WIDTH - RIGHT)
    train = points(root, "train")
    assert train[-1] == train[-2]
    assert train[-1][0] == texts["1,000"][0]  # step 1000 above its tick
    assert train[1][1] == pytest.approx(texts["8"][1] - 4, abs=0.1)  # loss 8 next to its tick
    assert points(root, "eval")[-1][1] == pytest.approx(texts["4"][1] - 4, abs=0.1)
    (left, y), (right, same) = points(root, "base")
    assert y == same == pytest.approx(texts["6"][1] - 4, abs=0.1)
    assert left < right
    for kind in "train", "eval", "base", "grid":
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(root, kind))


@pytest.mark.parametrize("lines", [[], [{"step": 1, "split": "eval", "loss": 3.0}]])
def test_short_runs_are_drawn_too(tmp_path, lines):
    root = draw(tmp_path, lines)
    assert sum(1 for _ in root.iter(f"{SVG}text")) > 5


def test_each_loss_has_a_panel_and_an_axis_of_its_own(tmp_path):
    lines = [{"step": s, "split": "train", "loss": 99, "a": s, "b": s / 100} for s in (5, 10)]
    lines += [{"step": 10, "split": "eval", "loss": 99, "a": 8}]
    root = draw(tmp_path, lines, Panel("a", "A loss", {"base": 9}), Panel("b", "B loss"))
    assert root.get("viewBox") == f"0 0 {WIDTH} {2 * HEIGHT}"
    first, second = root.findall(f"{SVG}g")
    assert (first.get("transform"), second.get("transform")) == (
        "translate(0 0)", f"translate(0 {HEIGHT})",
    )  # fmt: skip
    captions = [[e.text for e in g.iter(f"{SVG}text")] for g in (first, second)]
    assert {"training A loss", "held-out A loss", "base 9.00", "5", "10"} <= {*captions[0]}
    assert {"training B loss", "0.05", "0.1"} <= {*captions[1]}
    assert not any("99" in c or "held-out B" in c for c in captions[0] + captions[1])
    assert points(first, "train")[-1][0] == points(second, "train")[-1][0]
    assert points(second, "eval") == []


def test_a_loss_that_was_never_recorded_has_no_panel(tmp_path):
    lines = [{"step": 1, "split": "train", "a": 2.0, "b": None}]
    root = draw(tmp_path, lines, Panel("a", "A"), Panel("b", "B"), Panel("c", "C"))
    assert len(root.findall(f"{SVG}g")) == 1


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (3, 9.9, [3, 4, 5, 6, 7, 8, 9, 10]),
        (0, 1_000_000, [0, 200_000, 400_000, 600_000, 800_000, 1_000_000]),
        (3, 3, [3, 3.5]),
        (0, 0, [0, 0.2]),
    ],
)
def test_ticks_are_round_and_enclose_the_range(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_curves_of_several_runs_share_axes_and_have_one_legend(tmp_path):
    runs = [
        Curve("", [(0.5, 7.0), (2.0, 5.0)], "other-train"),
        Curve("original", [(2.0, 5.0)], "other-eval"),
        Curve("modern", [(0.5, 5.0), (1.0, 4.0)]),
        Curve("target", [(0.0, 5.0), (2.0, 5.0)], "base"),
        Curve("nothing", []),
    ]
    plot_curves(runs, tmp_path / "race.svg", "minutes")
    root = ElementTree.parse(tmp_path / "race.svg").getroot()
    texts = {e.text: float(e.get("x")) for e in root.iter(f"{SVG}text")}
    assert {"minutes", "original", "modern", "target"} <= texts.keys()
    assert "nothing" not in texts
    assert texts["original"] < texts["modern"] < texts["target"]
    ((left, top), (right, low), _) = points(root, "other-train")
    dot = points(root, "other-eval")
    assert dot[0] == dot[1] == (right, low)
    assert (left - LEFT) / (right - LEFT) == pytest.approx(0.25, abs=1e-3)
    assert top < low == points(root, "base")[0][1]
