"""finetune.py end to end: every kind of task learns, resumes, reports and exports."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np
import pytest

import bert_jax
import finetune
from bert_jax.config import ColumnsConfig, FinetuneConfig, SearchConfig
from bert_jax.errors import ConfigError, DataError
from bert_jax.interop.huggingface import read_directory, write_directory
from bert_jax.pretrained import read_model
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.kinds import KINDS
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.runlog import read_metrics
from bert_jax.training.signals import StopSignal
from tests.extras import need
from tests.tasks import tiny
from tests.toy_labelled import KINDS as TASK_KINDS
from tests.toy_labelled import write_labelled
from tests.training.interrupted import interrupt_while_saving


@pytest.fixture(scope="session")
def still_encoder(nano_run, tmp_path_factory):
    """Write the tiny encoder without dropout to a directory."""
    model = read_model(nano_run)
    still = replace(model.config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    folder = tmp_path_factory.mktemp("still") / "model"
    write_directory(folder, model._replace(config=still))
    return folder


def make(kind, folder, encoder, **changes):
    config = FinetuneConfig(
        task=kind,
        encoder=str(encoder),
        train=write_labelled(kind, folder / "train", 24),
        dev=write_labelled(kind, folder / "dev", 12, seed=1),
        max_length=32 if kind != "question_answering" else 48,
        epochs=2,
        batch_size=8,
        eval_batch_size=8,
        learning_rate=1e-3,
        name="run",
        runs_dir=str(folder),
        log_every=2,
    )
    return replace(config, **changes)


def points_of(plot, split):
    """Return the points of a split's curve, the first of its class; the second is the legend."""
    (curve, _) = re.findall(f'class="{split}" points="([^"]*)"', plot.read_text())
    return curve.split()


@pytest.fixture(scope="module")
def memorized(request, still_encoder, tmp_path_factory):
    """Train a kind of task on eight examples for 250 epochs; return the kind and the run."""
    kind, folder = request.param, tmp_path_factory.mktemp("memorized")
    eight = write_labelled(kind, folder / "eight", 8)
    config = make(kind, folder, still_encoder, train=eight, dev=eight, learning_rate=3e-3)
    config = replace(config, epochs=250, evals_per_epoch=0.01, log_every=10)
    assert finetune.main(config) == 0
    return kind, folder / "run"


@pytest.mark.parametrize("memorized", TASK_KINDS, indirect=True)
def test_eight_examples_are_memorized(memorized):
    kind, run = memorized
    records = read_metrics(run / "metrics.jsonl")
    losses = {r["split"]: r["loss"] for r in records}  # the last ones
    assert losses["train"] < 0.01
    assert losses["eval"] < 0.01
    report = json.loads(next((run / "evaluation").glob("*/report.json")).read_text())
    best = "pearson" if kind == "regression" else KINDS[kind].metric  # ranks: scores are tied
    assert report["dev"]["scores"][best]["value"] > 0.99


def test_a_run_leaves_a_report_a_model_and_a_card(nano_run, tmp_path, capsys):
    config = make("classification", tmp_path, nano_run, test=str(tmp_path / "dev"))
    assert finetune.main(config) == 0
    out = capsys.readouterr().out
    assert "text 'text', label 'label'" in out
    assert "labels: sea, town, wood" in out
    assert "12 examples of the test data are in the training" not in out
    run = tmp_path / "run"
    assert f"\nnext: python predict.py {run} {config.test} -o run_predictions.tsv\n" in out
    (folder,) = (run / "evaluation").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert set(report) == {"dev", "test"}
    assert report["dev"]["examples"] == 12
    counts = np.array(report["dev"]["confusion"]["counts"])
    score = report["dev"]["scores"]["accuracy"]
    assert counts.sum() == 12
    assert np.trace(counts) / 12 == pytest.approx(score["value"])
    assert score["low"] <= score["value"] <= score["high"]
    assert len(report["dev"]["wrong"]) == 12 - np.trace(counts)
    evals = [r for r in read_metrics(run / "metrics.jsonl") if r["split"] == "eval"]
    assert all(r["loss"] > 0 for r in evals)
    assert len(points_of(run / "plots" / "loss.svg", "eval")) == len(evals) + 1  # the last twice
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 6
    assert "http" not in page.replace("http://www.w3.org", "")
    model = bert_jax.load(run)
    assert model.reading.columns == {"text": "text"}
    texts = [line.split("\t")[0] for line in (tmp_path / "dev").read_text().splitlines()[1:]]
    predictions = model.predict(texts)
    golds = [line.split("\t")[1] for line in (tmp_path / "dev").read_text().splitlines()[1:]]
    num_correct = sum(p["label"] == gold for p, gold in zip(predictions, golds, strict=True))
    assert num_correct / 12 == pytest.approx(score["value"])
    card = (run / "model" / "README.md").read_text()
    assert f"| dev, 12 | accuracy | {score['value']:.4f} |" in card
    for block in card.split("```python\n")[1:]:
        code = block.split("```")[0].replace("THIS DIRECTORY", str(run / "model"))
        if "transformers" not in code:
            exec(code, {})


def test_thresholds_chosen_on_dev_are_reported_saved_and_used(nano_run, tmp_path):
    config = make("multilabel", tmp_path, nano_run, epochs=20, learning_rate=3e-3)
    config = replace(config, test=config.train, evals_per_epoch=0.2)
    assert finetune.main(config) == 0
    run = tmp_path / "run"
    report = json.loads(next((run / "evaluation").glob("*/report.json")).read_text())
    assert set(report["dev"]["scores"]) == {
        "f1_micro", "f1_macro", "mean_average_precision", "exact_match",
    }  # fmt: skip
    model = bert_jax.load(run)
    saved = json.loads((run / "model" / "bert_jax.json").read_text())["task"]["thresholds"]
    for name in ("dev", "test"):
        assert [x["threshold"] for x in report[name]["by_class"].values()] == saved
    assert list(model.task.thresholds) == saved
    assert saved != [0.5] * 3
    rows = [json.loads(line) for line in Path(config.dev).read_text().splitlines()]
    predictions = model.predict([row["text"] for row in rows])
    right = [p["labels"] == row["labels"] for p, row in zip(predictions, rows, strict=True)]
    assert np.mean(right) == pytest.approx(report["dev"]["scores"]["exact_match"]["value"])
    losses = [r["loss"] for r in read_metrics(run / "metrics.jsonl") if r["split"] == "train"]
    assert losses[-1] < losses[0] - 0.05
    exported = json.loads((run / "model" / "config.json").read_text())
    assert exported["problem_type"] == "multi_label_classification"


def test_a_classifier_that_always_says_the_same_is_named(nano_run, tmp_path, capsys):
    config = make("classification", tmp_path, nano_run, epochs=0.1, learning_rate=1e-9)
    assert finetune.main(config) == 0
    said = "every one of 12 examples is predicted as '"
    assert capsys.readouterr().out.count(f"warning: dev: {said}") == 1
    (page,) = (tmp_path / "run" / "evaluation").glob("*/report.html")
    assert f"Warning: {said}".replace("'", "&#x27;") in page.read_text()
    assert f"**Warning, dev:** {said}" in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("memorized", ["tagging"], indirect=True)
def test_the_cards_snippet_for_transformers_runs(memorized):
    need("transformers")
    _, run = memorized
    card = (run / "model" / "README.md").read_text()
    (code,) = [b.split("```")[0] for b in card.split("```python\n") if b.startswith("from transf")]
    names = {}
    exec(code.replace("THIS DIRECTORY", str(run / "model")), names)
    assert names["model"].config.id2label[0] == "O"


def test_resuming_gives_the_same_bits(nano_run, tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole = make("classification", tmp_path / "a", nano_run)
    assert finetune.main(whole) == 0
    parts = make("classification", tmp_path / "b", nano_run)
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == 4)
        assert finetune.main(parts) == 75
    assert finetune.main(parts) == 0
    params = [load_params(tmp_path / name / "run")[0] for name in ("a", "b")]
    jax.tree.map(np.testing.assert_array_equal, *params)
    with pytest.raises(ConfigError, match=r"learning_rate \(saved 0\.001, given 0\.1\)"):
        finetune.main(replace(parts, learning_rate=0.1))
    write_labelled("classification", tmp_path / "b" / "train", 24, seed=5)
    with pytest.raises(ConfigError, match=r"data \(saved"):
        finetune.main(parts)


def test_early_stopping_keeps_the_best_and_stays_stopped(nano_run, tmp_path, capsys):
    config = make("classification", tmp_path, nano_run, learning_rate=1e-9, epochs=20, patience=2)
    assert finetune.main(config) == 0
    steps = [
        r["step"] for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if r["split"] == "eval"
    ]
    assert steps == [3, 6, 9]
    assert "2 evaluations without a better accuracy" in capsys.readouterr().out
    assert finetune.main(config) == 0
    assert "eval step" not in capsys.readouterr().out


def test_the_history_of_scores_travels_in_the_checkpoint(nano_run, tmp_path, monkeypatch):
    """Resume without metrics.jsonl, which process 0 rewrites while others would read it."""
    config = make("classification", tmp_path, nano_run, learning_rate=1e-9, epochs=20, patience=2)
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == 7)
        assert finetune.main(config) == 75
    (tmp_path / "run" / "metrics.jsonl").unlink()
    assert finetune.main(config) == 0
    steps = [
        r["step"] for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if r["split"] == "eval"
    ]
    assert steps == [9]  # after those at 3 and 6, the second without a better score


def test_kernel_and_frequency_of_evaluations_may_differ_on_resume(nano_run, tmp_path, monkeypatch):
    config = make("classification", tmp_path, nano_run)
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == 4)
        assert finetune.main(config) == 75
    assert finetune.main(replace(config, attention="xla", evals_per_epoch=0.5)) == 0


def test_several_seeds_are_summed_up_and_the_best_is_exported(nano_run, tmp_path, capsys):
    config = make("classification", tmp_path, nano_run, seeds=2, epochs=1)
    assert finetune.main(config) == 0
    assert "2 seeds, mean ± standard deviation" in capsys.readouterr().out
    scores = json.loads((tmp_path / "run" / "summary.json").read_text())
    best = max(scores, key=lambda seed: scores[seed]["dev accuracy"])
    exported = read_directory(tmp_path / "run" / "model").params
    expected = read_directory(tmp_path / "run" / f"seed-{best}" / "model").params
    jax.tree.map(np.testing.assert_array_equal, exported, expected)


def test_a_seed_among_others_is_what_it_is_alone(nano_run, tmp_path):
    both = make("classification", tmp_path, nano_run, seeds=2, epochs=1)
    alone = replace(both, seeds=1, seed=1, name="alone")
    assert finetune.main(both) == 0
    assert finetune.main(alone) == 0
    one, same = (load_params(tmp_path / name)[0] for name in ("run/seed-1", "alone"))
    jax.tree.map(np.testing.assert_array_equal, one, same)


def scripted(kind, metric, values):
    """Return a kind of task whose evaluations give these values of a metric, then always 0.5."""
    values = iter(values)

    class Scripted(KINDS[kind]):
        def score(self, examples, predictions):
            return super().score(examples, predictions) | {metric: next(values, 0.5)}

    return {kind: Scripted}


@pytest.mark.parametrize(
    ("kind", "metric", "values"),
    [
        ("regression", "mean_squared_error", (0.9, 0.2, 0.7, 0.8)),
        ("regression", "pearson", (0.1, 0.8, 0.3, 0.2)),
        ("classification", "mcc", (0.1, 0.8, 0.3, 0.2)),
    ],
)
def test_a_metric_chooses_the_checkpoint_and_when_to_stop(nano_run, tmp_path, kind, metric, values):
    config = make(kind, tmp_path, nano_run, metric=metric, patience=2, epochs=20)
    assert finetune.main(config, scripted(kind, metric, values)) == 0
    run = tmp_path / "run"
    evals = [r["step"] for r in read_metrics(run / "metrics.jsonl") if r["split"] == "eval"]
    assert evals == [3, 6, 9, 12]
    assert [path.name for path in (run / "evaluation").iterdir()] == ["6"]  # neither last nor first
    exported, best = read_model(run).params, load_params(run, "best")
    assert best[1]["step"] == 6
    jax.tree.map(np.testing.assert_array_equal, exported, best[0])


def test_a_metric_chooses_the_seed(nano_run, tmp_path, monkeypatch, capsys):
    config = make("regression", tmp_path, nano_run, seeds=3)
    config = replace(config, metric="mean_squared_error")
    results = {0: 0.5, 1: 0.2, 2: 0.7}

    def scores_of(config, run, *others):
        write_directory(run / "model", read_model(nano_run), card="# A card")
        return {"dev mean_squared_error": results[config.seed]}

    monkeypatch.setattr(finetune, "finetune_one_seed", scores_of)
    assert finetune.main(config) == 0
    assert "best seed by dev mean_squared_error: 1; its model is in" in capsys.readouterr().out


def test_a_metric_that_the_task_does_not_have_is_refused_at_once(nano_run, tmp_path):
    config = make("classification", tmp_path, nano_run, metric="acuracy", dry_run=True)
    with pytest.raises(ConfigError, match=r"acuracy(.|\n)*accuracy, f1_macro, mcc\n") as caught:
        finetune.main(config)
    assert str(caught.value).count("\n") == 2


GRID = SearchConfig((0.01,), epochs=(), dropout=(0.0,), word_dropout=(), train_limit=16)


def test_a_search_never_sees_test_data_and_its_best_settings_are_used(
    nano_run, tmp_path, monkeypatch
):
    config = make("classification", tmp_path, nano_run, search=True, grid=GRID)
    config = replace(config, test=str(tmp_path / "train"))
    trained = []

    def scores_of(config, folder, data, setup):
        dropout = setup.encoder.config.hidden_dropout_prob
        trained.append((config.learning_rate, dropout, len(data["train"].encoded), "test" in data))
        return {"dev accuracy": config.learning_rate + (dropout == 0)}

    monkeypatch.setattr(finetune, "finetune_one_seed", scores_of)
    assert finetune.main(config) == 0
    trials = [(0.001, 0.1, 16, False), (0.01, 0.1, 16, False), (0.01, 0.0, 16, False)]
    assert trained == [*trials, (0.01, 0.0, 24, True)]
    assert finetune.main(config) == 0
    assert trained == [*trials, *[(0.01, 0.0, 24, True)] * 2]


@pytest.mark.heavy
def test_an_interrupted_search_resumes(nano_run, tmp_path, monkeypatch):
    grid = replace(GRID, dropout=())
    config = make("classification", tmp_path, nano_run, search=True, grid=grid, epochs=1)
    folders = []
    train_one = finetune.finetune_one_seed

    def count(config, folder, *others):
        folders.append(folder)
        return train_one(config, folder, *others)

    monkeypatch.setattr(finetune, "finetune_one_seed", count)
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == 1 and len(folders) == 2)
        assert finetune.main(config) == 75
    assert finetune.main(config) == 0
    _, second, again, run = folders
    assert (second, run) == (again, tmp_path / "run")
    steps = [r["step"] for r in read_metrics(second / "metrics.jsonl") if r["split"] == "train"]
    assert steps == [2]
    saved = json.loads((run / "search.json").read_text())["trials"]
    best = max(saved, key=lambda trial: trial["score"])
    chosen = json.loads((run / "config.json").read_text())
    assert chosen["learning_rate"] == best["learning_rate"]
    assert not list(run.glob("search/*/checkpoints"))


@pytest.mark.heavy
def test_from_scratch_starts_from_random_weights(nano_run, tmp_path):
    config = make("classification", tmp_path, nano_run, learning_rate=1e-12, epochs=1)
    old = read_model(nano_run).params["bert"]["embeddings"]["word"]
    for scratch, near in ((False, True), (True, False)):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        assert finetune.main(replace(config, from_scratch=scratch)) == 0
        new = read_model(tmp_path / "run").params["bert"]["embeddings"]["word"]
        assert (np.abs(new - old).max() < 1e-4) == near


def test_rows_in_are_rows_used_plus_rows_rejected(nano_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(finetune, "finetune_one_seed", lambda *args: {"dev accuracy": 1.0})
    config = make("classification", tmp_path, nano_run, max_rejected=0.2)
    with open(config.train, "a", encoding="utf-8") as file:
        file.write('only text\n"stray quote\tsea\n\ta label alone\nno label\t\na\tb\tc\n')
    with open(config.dev, "a", encoding="utf-8") as file:
        file.write("unseen\tmoon\n")
    assert finetune.main(config) == 0
    out = capsys.readouterr().out
    assert "train: 25 examples used, 4 rejected" in out
    assert "dev: 12 examples used, 1 rejected" in out
    assert "label 'moon' is not one of sea, town, wood" in out
    rejected = (tmp_path / "run" / "rejects.jsonl").read_text().splitlines()
    places = {json.loads(line)["place"].removeprefix(str(tmp_path)) for line in rejected}
    assert places == {"/train:26", "/train:28", "/train:29", "/train:30", "/dev:14"}


@pytest.mark.parametrize(
    ("train", "dev", "message"),
    [
        ("text\tlabel\na\t1\nb\t1\n", None, "at least two classes"),
        (None, "text\tlabel\n", "has no rows"),
        (None, "text\tlabel\na\tmoon\n", "none of its rows can be used"),
        ("text\tscore_of\na\t1\n", None, r"for the label(.|\n)*--columns\.label"),
    ],
)
def test_unusable_data_is_refused(nano_run, tmp_path, train, dev, message):
    config = make("classification", tmp_path, nano_run)
    for path, text in ((config.train, train), (config.dev, dev)):
        if text:
            Path(path).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        finetune.main(config)
    assert str(caught.value).count("\n") == 2


def test_overlap_of_training_and_held_out_data_is_logged(nano_run, tmp_path, capsys):
    config = make("classification", tmp_path, nano_run, dry_run=True)
    assert finetune.main(replace(config, dev=config.train)) == 0
    printed = capsys.readouterr().out
    assert "24 examples of the dev data are also in the training data" in printed
    assert "rows of 64 tokens: fits: 0.00 of " in printed


@dataclasses.dataclass(frozen=True)
class Reversed(Classification):
    """A new kind of task, which is one class, as CONTRIBUTING describes it."""

    kind: ClassVar[str] = "reversed"

    def encode(self, examples, tokenizer, max_length):
        rows = super().encode(examples, tokenizer, max_length)
        return [r._replace(tokens=[r.tokens[0], *r.tokens[-2:0:-1], r.tokens[-1]]) for r in rows]


def test_a_new_kind_of_task_is_one_class(nano_run, tmp_path):
    config = make("classification", tmp_path, nano_run, epochs=1)
    assert finetune.main(config, {"classification": Reversed}) == 0


def test_a_new_data_set_is_one_value_as_contributing_shows(nano_run, tmp_path, capsys):
    text = Path("CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Add a data set of a known kind")[1]
    names = {"FinetuneConfig": FinetuneConfig, "ColumnsConfig": ColumnsConfig}
    exec(section.split("```python")[1].split("```")[0], names)
    config = replace(names["hotels"](), encoder=str(nano_run), runs_dir=str(tmp_path), dry_run=True)
    for name in ("train", "dev"):
        lines = ['"fine, and quiet",5', "loud,1", "so so,3", '"the ""best"" of all",5']
        (tmp_path / f"{name}.csv").write_text("\n".join(["review,stars", *lines]) + "\n")
    config = replace(config, train=str(tmp_path / "train.csv"), dev=str(tmp_path / "dev.csv"))
    assert finetune.main(config) == 0
    output = capsys.readouterr().out
    assert "labels: 1, 3, 5" in output
    assert "train: 4 examples used, 0 rejected" in output


def test_the_command_line_prints_errors_as_three_lines(tmp_path):
    command = [sys.executable, "finetune.py", "texts", "--encoder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 3


def test_a_save_in_progress_is_finished_when_the_run_is_interrupted(
    nano_run, tmp_path, monkeypatch
):
    assert (
        interrupt_while_saving(finetune, make("classification", tmp_path, nano_run), monkeypatch)
        == 1
    )


def test_an_encoder_with_one_segment_refuses_pairs_and_a_missing_pooler_is_named(tmp_path, capsys):
    tagger = tiny.with_one_segment(tiny.make("tagging"))
    write_directory(tmp_path / "tagger", tagger)
    table = tmp_path / "pairs.tsv"
    options = {"train": str(table), "dev": str(table), "dry_run": True}
    table.write_text("sentence1\tsentence2\tlabel\na\tb\tgood\nc\td\tbad\n")
    with pytest.raises(DataError, match=r"pairs\.tsv:2: two texts, but the model has one segment"):
        finetune.main(make("classification", tmp_path, tmp_path / "tagger", **options))
    table.write_text("text\tlabel\na\tgood\nc\tbad\n")
    assert finetune.main(make("classification", tmp_path, tmp_path / "tagger", **options)) == 0
    assert "tagger has no pooler: it starts from random weights" in capsys.readouterr().out
