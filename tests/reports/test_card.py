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


@pytest.mark.parametrize("kind", KINDS)
def test_its_first_snippet_runs_for_every_kind(kind, tmp_path, capsys):
    write_directory(tmp_path / "model", make(kind), card(kind))
    text = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    ours, theirs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(ours.replace("THIS DIRECTORY", str(tmp_path / "model")), {})
    assert len(ast.literal_eval(capsys.readouterr().out)) == 1
    (auto,) = set(re.findall(r"AutoModel\w+", theirs))
    assert auto.replace("AutoModel", "Bert") == KINDS[kind].architecture
