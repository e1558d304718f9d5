"""The model card: scores, settings, and snippets that run."""

import ast
import re

import pytest

from bert_jax.config import FinetuneConfig
from bert_jax.interop.huggingface import write_directory
from bert_jax.reports.card import model_card
from bert_jax.tasks.kinds import KINDS
from tests.tasks.tiny import make

SCORES = {"accuracy": {"value": 0.87654, "low": 0.8, "high": 0.95}}
REPORTS = {"dev": {"examples": 1234, "scores": SCORES}, "test": {"examples": 5, "scores": SCORES}}


def card(kind, **changes):
    model = make(kind)
    config = FinetuneConfig(
        task=kind, encoder="runs/base", train="reviews.tsv", dev="dev.tsv", name="tiny", **changes
    )
    return model_card(config, model, KINDS[kind].from_labels(model.labels), REPORTS)


def test_it_has_scores_data_model_and_settings():
    text = card("classification", learning_rate=2e-5, max_length=48)
    for line in (
        "pipeline_tag: text-classification",
        "# tiny",
        "| dev, 1,234 | accuracy | 0.8765 | 0.8000 … 0.9500 |",
        "| test, 5 | accuracy | 0.8765 | 0.8000 … 0.9500 |",
        "2 layers, width 8, 2 heads, vocabulary 41, up to 48 tokens. WordPiece, cased, "
        "accents kept. Labels: bad, good, so-so.",
        "| train | reviews.tsv |",
        "| learning_rate | 2e-05 |",
    ):
        assert line in text.splitlines()
    assert text.startswith("---\n")
    assert "| runs_dir |" not in text


def test_labels_and_names_have_no_meaning_in_markdown_or_yaml():
    evil = ("a|b", "<script>alert(1)</script>", "[x](http://y)", "*c*", "_d_", "`e`", "---\nf: g")
    model = make("classification")
    config = FinetuneConfig(
        task="classification", encoder="a|b\n---", train="x", dev="y", name="# **n**", labels=evil
    )
    warning = {"examples": 9, "scores": SCORES, "warnings": ["all are '<b>|'"]}
    text = model_card(config, model, KINDS["classification"].from_labels(evil), {"dev": warning})
    head, front, body = text.split("---\n", 2)
    assert head == ""
    assert [line.partition(":")[0] for line in front.splitlines()] == [
        "library_name", "pipeline_tag", "tags",
    ]  # fmt: skip
    assert not re.search(
        r"(?<!\\)[<>`*\[\]]", re.sub(r"```.*?```|\*\*Warning.*?\*\*", "", body, flags=re.DOTALL)
    )
    assert r"# \# \*\*n\*\*" in body.splitlines()
    tables = [line for line in body.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {3, 5}
    assert r"**Warning, dev:** all are '\<b\>\|'" in body.splitlines()
    assert r"Labels: a\|b, \<script\>alert(1)\</script\>," in body


def test_a_score_that_is_undefined_is_a_dash():
    undefined = {"value": None, "low": None, "high": None}
    reports = {"dev": {"examples": 9, "scores": {"mcc": undefined}, "warnings": []}}
    model = make("classification")
    config = FinetuneConfig(task="classification", encoder="", train="", dev="")
    task = KINDS["classification"].from_labels(model.labels)
    assert "| dev, 9 | mcc | – | – … – |" in model_card(config, model, task, reports)


def test_chosen_thresholds_are_mentioned():
    model = make("multilabel")
    config = FinetuneConfig(task="multilabel", encoder="", train="", dev="")
    task = KINDS["multilabel"].from_labels(model.labels, {"thresholds": [0.5, 0.25, 0.75]})
    text = model_card(config, model, task, REPORTS)
    assert "A BERT for multi-label classification, fine-tuned" in text
    assert "A label is predicted from its threshold on, which was chosen on the dev data." in text


@pytest.mark.parametrize("kind", KINDS)
def test_its_first_snippet_runs_for_every_kind(kind, tmp_path, capsys):
    write_directory(tmp_path / "model", make(kind), card(kind))
    text = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    ours, theirs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(ours.replace("THIS DIRECTORY", str(tmp_path / "model")), {})
    assert len(ast.literal_eval(capsys.readouterr().out)) == 1
    (auto,) = set(re.findall(r"AutoModel\w+", theirs))
    assert auto == f"AutoModel{KINDS[kind].head}"
