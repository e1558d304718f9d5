"""metrics.jsonl as it grows: what is new, what is thinned, what is not a record."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bert_jax.errors import UserError
from bert_jax.explorer.metrics import MetricsFile


def line(step: int, split: str = "train", **values: Any) -> str:
    return json.dumps({"step": step, "split": split, "time": 1000.0 + step, **values}) + "\n"


def read(metrics: MetricsFile) -> dict[str, Any]:
    while metrics.read():
        pass
    return metrics.send(None)["splits"]["train"]["mean"]


def splice(page: dict[str, list], answer: Mapping[str, Any], split: str = "train") -> dict:
    """What the page does with an answer."""
    start, new = answer["start"][split], answer["splits"][split]["mean"]
    length = len(new.get("step", ()))
    return {
        name: (page.get(name, [None] * start))[:start] + new.get(name, [None] * length)
        for name in {**page, **new}
    }


@pytest.fixture
def file(tmp_path):
    return tmp_path / "metrics.jsonl"


def test_only_what_is_new_is_read_and_a_line_without_its_end_is_waited_for(file):
    metrics = MetricsFile(file)
    assert read(metrics) == {}
    text = line(1, loss=3.0) + line(2, loss=2.0)
    file.write_text(text[:-9])
    assert read(metrics)["loss"] == [3.0]
    with file.open("a") as more:
        more.write(text[-9:] + line(3, loss=1.5))
    assert read(metrics) == {"loss": [3, 2, 1.5], "step": [1, 2, 3], "time": [0, 1, 2]}
    assert metrics.num_records == 3  # none was read twice


def test_an_answer_has_only_the_points_that_the_page_does_not_have(file):
    metrics, page, version, num_sent = MetricsFile(file, max_points=40), {}, None, []
    with file.open("w") as out:
        for step in range(1, 31):
            out.write(line(step, loss=1 / step, **({"late": 1.0} if step > 20 else {})))
            out.flush()
            metrics.read()
            known = (version, {"train": len(page.get("step", ())), "eval": 0}) if version else None
            answer = metrics.send(known)
            page, version = splice(page, answer), answer["version"]
            num_sent.append(len(answer["splits"]["train"]["mean"]["step"]))
    assert page == metrics.send(None)["splits"]["train"]["mean"]
    assert num_sent == [1] + [2] * 29  # the last point that it has may have changed


@pytest.mark.parametrize("new", [line(1, loss=9.0), line(1, loss=9.0) * 9])
def test_a_file_that_shrinks_or_is_another_is_read_again(file, new):
    metrics = MetricsFile(file)
    file.write_text("".join(line(step, loss=2.5) for step in (1, 2, 3)))
    read(metrics)
    version = metrics.send(None)["version"]
    file.write_text(new)
    assert {*read(metrics)["loss"]} == {9.0}
    assert metrics.send((version, {"train": 3, "eval": 0}))["start"]["train"] == 0
    file.unlink()
    assert read(metrics) == {}


def test_steps_that_go_back_replace_those_that_were_taken_before(file):
    metrics = MetricsFile(file)
    file.write_text("".join(line(step, loss=2.0) for step in (10, 20, 30, 40)))
    read(metrics)
    version = metrics.send(None)["version"]
    with file.open("a") as more:
        more.write(line(20, "eval", loss=7.0) + line(30, loss=1.0))
    assert read(metrics)["step"] == [10, 20, 30]
    assert read(metrics)["loss"] == [2, 2, 1]
    assert metrics.send((version, {"train": 4, "eval": 0}))["start"] == {"train": 0, "eval": 0}


def test_a_long_run_is_thinned_as_it_is_read_and_keeps_its_range(file):
    metrics = MetricsFile(file, max_points=50)
    losses = [5.0 if step == 777 else 1 / (1 + step % 7) for step in range(2000)]
    file.write_text("".join(line(10 * i, loss=x) for i, x in enumerate(losses)))
    while metrics.read(max_bytes=3001):
        assert len(metrics.curves["train"].points) <= 50
    sent = metrics.send(None)
    columns = sent["splits"]["train"]
    assert 25 <= len(columns["mean"]["loss"]) <= 50
    assert max(columns["high"]["loss"]) == 5.0
    assert min(columns["low"]["loss"]) == pytest.approx(1 / 7, rel=1e-6)
    assert sent["width"] == 512  # steps, a power of two
    per_point = [len([i for i in range(2000) if i * 10 // 512 == n]) for n in range(40)]
    means = [mean * count for mean, count in zip(columns["mean"]["loss"], per_point, strict=True)]
    assert sum(means) == pytest.approx(sum(losses), rel=1e-5)


def test_what_is_no_record_is_skipped(file):
    metrics = MetricsFile(file)
    bad = [
        "", "{", "[1]", "nul\0l", '"text"', "[" * 100_000, json.dumps({"step": 1}),
        json.dumps({"step": -1, "split": "train"}), json.dumps({"step": True, "split": "train"}),
        json.dumps({"step": 10**30, "split": "train"}), json.dumps({"step": 5, "split": ["eval"]}),
    ]  # fmt: skip
    good = json.dumps({"step": 7, "split": "train", "loss": 1, "name": "x", "huge": 10**400})
    file.write_text("\n".join([*bad, good, "\x85"]) + "\n")
    assert read(metrics) == {"loss": [1.0], "step": [7]}


def test_a_line_without_an_end_is_dropped_and_the_next_one_counts(file):
    metrics = MetricsFile(file)
    long = "x" * (3 << 19) + line(1, loss=9.0)  # its end alone would be a record
    file.write_text(long + line(2, loss=2.0))
    while metrics.read(max_bytes=1 << 19):
        assert len(metrics._rest) <= 1 << 21
    assert read(metrics)["loss"] == [2.0]


def test_numbers_that_are_not_finite_are_gaps_and_counted(file):
    metrics = MetricsFile(file)
    nan = '{"step": 3, "split": "train", "loss": NaN, "b": 1.0}\n'
    file.write_text(line(1, loss=1.0) + line(2, loss=None, grad_norm=None) + nan)
    assert read(metrics)["loss"] == [1.0, None, None]
    assert metrics.num_not_finite == 2
    json.dumps(metrics.send(None), allow_nan=False)


def test_tokens_are_counted_by_the_speeds_of_each_part_of_the_run(file):
    metrics = MetricsFile(file)
    speeds = {"tokens_per_second": 400.0, "steps_per_second": 4.0}
    longer = {"tokens_per_second": 900.0, "steps_per_second": 3.0}
    text = [line(5), line(10, **speeds), line(10, "eval", loss=1.0), line(20, **longer)]
    file.write_text("".join(text))
    assert read(metrics)["tokens"] == [None, 1000, 4000]
    assert metrics.send(None)["splits"]["eval"]["mean"]["tokens"] == [1000]


def test_a_file_that_cannot_be_read_is_a_user_s_error(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        MetricsFile(tmp_path / "metrics.jsonl").read()
