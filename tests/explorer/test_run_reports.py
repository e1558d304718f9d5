"""Reports of data and of evaluations as blocks of text, also old and damaged ones."""

import json
import os

import pytest

from bert_jax.explorer.run_reports import (
    MAX_ROWS,
    describe_data,
    describe_evaluation,
    describe_evaluations,
    majority_share,
    read_data_report,
)

CONFUSION = {"labels": ["neg", "pos"], "counts": [[51, 17], [9, 1059]]}


def tables(block):
    return {table["title"]: table for table in block["tables"]}


def test_the_report_of_prepared_rows(prepared):
    report = json.loads((prepared / "report.json").read_text(encoding="utf-8"))
    block = describe_data(report)
    facts = dict(block["facts"])
    assert facts["vocabulary"] == f"{report['vocab_size']:,}"
    assert facts["unigram loss, nats"] == f"{report['unigram_loss']:.4g}"
    text, rows = tables(block)["Text"], tables(block)["Rows"]
    assert text["columns"] == ["", "all", "train", "eval"]
    assert text["rows"][0][:2] == ["documents", f"{report['text']['documents']:,}"]
    names = [row[0] for row in rows["rows"]]
    assert {"T32 train", "T32 eval"} <= {*names}
    assert rows["rows"][names.index("T32 train")][1] == (
        f"{report['datasets']['32']['splits']['train']['rows']:,}"
    )
    assert block["warnings"] == report["warnings"]


def test_the_data_is_found_from_anywhere(prepared, tmp_path, monkeypatch):
    work = tmp_path / "work"
    run = work / "runs" / "one"
    (work / "data").mkdir(parents=True)
    (work / "data" / "report.json").write_text('{"vocab_size": 7}')
    monkeypatch.chdir(tmp_path)
    assert read_data_report(run, {"data": "data"}) == {"vocab_size": 7}
    assert read_data_report(run, {"data": str(work / "data")}) == {"vocab_size": 7}
    for config in ({}, {"data": 3}, {"data": "absent"}, {"data": "gs://nowhere/data"}):
        assert read_data_report(run, config) is None


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"text": 3, "datasets": {"32": 1}, "warnings": "x", "bad_input": {"a": 1}},
        {"text": {"lines": None}, "datasets": {"32": {"splits": {"train": [], "eval": {}}}}},
    ],
)
def test_what_a_report_lacks_is_left_out(report):
    blocks = [describe_data(report), describe_evaluation(report)]
    assert json.loads(json.dumps(blocks, allow_nan=False))


def test_scores_confusion_and_warnings_of_an_evaluation():
    score = {"value": 0.80882, "low": 0.74, "high": 0.8676}
    classes = {"neg": {"precision": 0.85, "support": 68.0}}
    report = {
        "examples": 1136, "warnings": ["w"], "scores": {"accuracy": score, "f1": 0.5},
        "confusion": CONFUSION, "by_class": classes, "wrong": [{"text": "secret"}],
    }  # fmt: skip
    block = describe_evaluation(report)
    assert dict(block["facts"]) == {
        "examples": "1,136", "accuracy": "0.8088 (0.74 – 0.8676)", "f1": "0.5",
    }  # fmt: skip
    found = tables(block)
    assert found["Confusion"]["rows"] == [["neg", "51", "17"], ["pos", "9", "1,059"]]
    assert found["By class"]["rows"] == [["neg", "0.85", "68"]]
    assert "secret" not in json.dumps(block)
    assert block["warnings"] == ["w"]


def test_evaluations_of_every_script_the_newest_first(tmp_path):
    def put(folder, report, page=False):
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(report))
        if page:
            (folder / "report.html").write_text("<p>")

    root = tmp_path / "evaluation"
    for step in (20, 100):  # not in the order of the alphabet
        put(root / str(step), {"dev": {"confusion": CONFUSION}, "test": {}}, page=True)
    (root / "30").mkdir()
    (root / "30" / "report.json").write_text("{")
    found = describe_evaluations(tmp_path)
    assert [(x["name"], x["page"]) for x in found] == [
        ("100", os.path.join("evaluation", "100", "report.html")),
        ("20", os.path.join("evaluation", "20", "report.html")),
    ]
    assert [part["name"] for part in found[0]["parts"]] == ["dev", "test"]
    assert majority_share(found) == pytest.approx(1068 / 1136)
    assert majority_share([]) is None
    put(tmp_path / "translator" / "evaluation", {"dev": {"bleu": 31.25}})
    (translator,) = describe_evaluations(tmp_path / "translator")
    assert translator["name"] == ""
    assert translator["parts"][0]["block"]["facts"] == [["bleu", "31.25"]]
    sizes = [{"size": n, "wrong_bits": 0.5} for n in range(MAX_ROWS + 2)]
    put(tmp_path / "memory" / "evaluation" / "5", {"task": "copy", "sizes": sizes})
    (memory,) = describe_evaluations(tmp_path / "memory")
    (table,) = memory["parts"][0]["block"]["tables"]
    assert (table["title"], len(table["rows"]), table["num_more"]) == ("By length", MAX_ROWS, 2)
    assert majority_share([memory]) is None
