"""Answers of the view of runs."""

import json

import pytest

from bert_jax.errors import DataError
from bert_jax.explorer.opening import kind_of, open_views
from bert_jax.explorer.views import run as run_module
from bert_jax.explorer.views.run import MAX_CHOSEN, run_view
from tests.explorer.test_runs import hold, make_run


def ask(view, *names):
    answer = view.answer({"runs": [{"name": name} for name in names]})
    json.dumps(answer, allow_nan=False)
    return answer


def test_a_run_beside_the_others_of_its_folder(tmp_path):
    for name in ("b", "a", "c/seed-0"):
        make_run(tmp_path / name)
    view = run_view(tmp_path / "b")
    assert view.about["first"] == ["b"]
    answer = ask(view, "b", "c/seed-0", "../b", "gone")
    assert answer["runs"] == ["b", "a", "c/seed-0"]
    one, seed, outside, gone = answer["chosen"]
    assert one["state"]["step"] == seed["state"]["step"] == 10
    assert outside["error"] == gone["error"] == ["There is no such run.", None, None]


def test_a_folder_shows_its_newest_runs_and_those_that_come_later(tmp_path):
    for age in range(6):
        make_run(tmp_path / f"run{age}", age=1000 * age)
    assert kind_of(tmp_path) == (None, True)
    opened = open_views(str(tmp_path))
    (view,) = opened.views
    assert opened.about == "a folder of runs"
    assert view.about["first"] == ["run0", "run1", "run2", "run3"]
    make_run(tmp_path / "later")
    assert "later" in ask(view)["runs"]


def test_a_pretraining_run_has_its_baselines_data_and_curves(nano_run):
    (run,) = ask(run_view(nano_run), "nano")["chosen"]
    assert run["state"]["name"] == "finished"
    assert run["state"]["step"] == run["state"]["total"] == 10
    columns = run["curves"]["splits"]
    assert columns["train"]["mean"]["step"] == [*range(1, 11)]
    assert columns["eval"]["mean"]["step"] == [5, 10]
    details = run["details"]
    assert details["script"] == "pretrain.py"
    assert [x["name"] for x in details["baselines"]["mlm_loss"]] == [
        "unigram model", "all tokens alike",
    ]  # fmt: skip
    assert details["data"]["block"]["facts"][0][0] == "vocabulary"


def test_only_what_is_new_is_answered(tmp_path):
    run = make_run(tmp_path / "a", step=1)
    view = run_view(run)
    (first,) = ask(view, "a")["chosen"]
    assert first["details"]["log"] == []
    with (run / "metrics.jsonl").open("a") as file:
        for step in (2, 3):
            file.write(json.dumps({"step": step, "split": "train", "loss": 1.0}) + "\n")
    known = {
        "name": "a", "details": first["version"],
        "curves": [first["curves"]["version"], {"train": 1, "eval": 0}],
    }  # fmt: skip
    (second,) = view.answer({"runs": [known]})["chosen"]
    assert second["details"] is None
    assert second["curves"]["splits"]["train"]["mean"]["step"] == [1, 2, 3]
    known["curves"][1]["train"] = 3
    (run / "train.log").write_text("warning: x\n")
    (third,) = view.answer({"runs": [known]})["chosen"]
    assert third["curves"]["splits"]["train"]["mean"]["step"] == [3]
    assert third["details"]["alerts"] == ["warning: x"]


def test_a_run_without_a_checkpoint_has_the_view_of_the_run_alone(tmp_path, capsys):
    run = make_run(tmp_path / "a")
    (run / "config.json").write_text('{"masking": {}, "model": {}}')
    opened = open_views(str(run))
    assert [view.name for view in opened.views] == ["run"]
    assert opened.about.endswith("has no checkpoint yet")
    assert "only the views of the run" in capsys.readouterr().err


def test_the_devices_are_left_to_a_run_in_progress(nano_run, tmp_path, monkeypatch, capsys):
    updates = []
    monkeypatch.setattr("jax.config.update", lambda *args: updates.append(args))
    run = make_run(tmp_path / "a")
    open_views(str(run))
    assert updates == []
    hold(run)
    open_views(str(run))
    assert ("jax_platforms", "cpu") in updates
    assert "is being trained" in capsys.readouterr().err


@pytest.mark.parametrize(
    "runs",
    [
        None, "a", [{}], [{"name": 1}], [["a"]], [{"name": "a"}] * (MAX_CHOSEN + 1),
        [{"name": "a", "curves": [1]}], [{"name": "a", "curves": [1, {"train": "x", "eval": 0}]}],
        [{"name": "a", "curves": {"version": 1}}],
    ],
)  # fmt: skip
def test_requests_are_checked(tmp_path, runs):
    view = run_view(make_run(tmp_path / "a"))
    with pytest.raises(DataError):
        view.answer({"runs": runs})


def test_a_run_that_cannot_be_read_is_an_error_of_its_own(tmp_path):
    run = make_run(tmp_path / "a")
    view = run_view(tmp_path)
    ask(view, "a")
    (run / "train.log").write_text("")
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").mkdir()
    make_run(tmp_path / "b")
    bad, good = ask(view, "a", "b")["chosen"]
    assert "cannot be read" in bad["error"][0]
    assert good["state"]["step"] == 10


def test_pages_are_the_reports_of_evaluations_and_nothing_else(tmp_path):
    run = make_run(tmp_path / "seeds" / "seed-0")
    folder = run / "evaluation" / "10"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}")
    (folder / "report.html").write_text("<p>report</p>")
    view = run_view(tmp_path)
    assert view.page("seeds/seed-0/evaluation/10/report.html") == "<p>report</p>"
    for path in ("seeds/seed-0/config.json", "seeds/seed-0/../../x", "", "seeds/seed-0", "/etc/x"):
        assert view.page(path) is None


def test_a_run_in_an_object_store_is_looked_at_again_but_seldom(store, tmp_path, monkeypatch):
    local = make_run(tmp_path / "a", step=1)
    store.put(f"{local}/", "/bucket/a/", recursive=True)
    view = next(v for v in open_views("memory://bucket/a").views if v.name == "run")
    assert ask(view, "a")["chosen"][0]["state"]["step"] == 1
    with (local / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 2, "split": "train"}) + "\n")
    store.put(f"{local}/metrics.jsonl", "/bucket/a/metrics.jsonl")
    assert ask(view, "a")["chosen"][0]["state"]["step"] == 1
    monkeypatch.setattr(run_module, "STORE_SECONDS", 0.0)
    assert ask(view, "a")["chosen"][0]["state"]["step"] == 2
    assert ask(view, "a")["chosen"][0]["state"]["name"] == "running"  # it has no lock to look at
