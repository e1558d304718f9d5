"""Benchmarks: the sides that they compare compute the same results."""

import os

import numpy as np
import pytest

import task_speed
from task_sides import OURS, THEIRS, Options, make_side
from tests.extras import need
from tests.toy_labelled import write_labelled

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.mark.parametrize("what", ["predict", "finetune"])
def test_both_sides_compute_the_same(tmp_path, what):
    need("torch")
    need("transformers")
    options = Options(
        what, model="nano", num_texts=256 if what == "finetune" else 72, max_length=16, dropout=0.0
    )
    folder = str(tmp_path / "model")
    texts = task_speed.write_model(options, folder)
    rounds = {name: make_side(name, options, folder, texts)[1] for name in (OURS, THEIRS)}
    first = {name: run()[1] for name, run in rounds.items()}
    if what == "predict":
        assert task_speed.agreement(first[OURS], first[THEIRS]).startswith("72 of 72 labels")
        wrong = (first[THEIRS][0], np.array(first[THEIRS][1]) + 0.001)
        with pytest.raises(SystemExit, match="probabilities differ by"):
            task_speed.agreement(first[OURS], wrong)
    else:  # the mean over eight steps, which a wrong update would change
        assert first[OURS] == pytest.approx(first[THEIRS], abs=1e-5)
        assert rounds[OURS]()[1] < first[OURS]


@pytest.mark.parametrize(("kind", "metric", "minimum"), [
    ("classification", "accuracy", 0.95), ("regression", "pearson", 0.9), ("tagging", "f1", 0.95),
    ("question_answering", "exact_match", 0.2),
])  # fmt: skip
def test_baselines_learn_the_toy_tasks(tmp_path, capsys, kind, metric, minimum):
    need("sklearn")
    from benchmarks import baselines

    end = {"tagging": "conll", "question_answering": "json"}.get(kind, "tsv")
    train = write_labelled(kind, tmp_path / f"train.{end}", 200)
    dev = write_labelled(kind, tmp_path / f"dev.{end}", 50, seed=1)
    baselines.main(baselines.Options(train, dev, kind, train_limit=150))
    output = capsys.readouterr().out
    assert "150 training examples, 50 held-out examples" in output
    scores = output.splitlines()[-1].split()
    assert float(scores[scores.index(metric) + 1]) >= minimum


def test_an_answer_is_next_to_the_words_of_the_question():
    need("sklearn")
    from benchmarks.baselines import best_span, letter_bigrams

    assert letter_bigrams("abc") == ["ab", "bc"]
    assert letter_bigrams("a") == ["a"]
    answer = best_span("who painted the ceiling", "So Michelangelo painted the ceiling")
    assert answer == "Michelangelo"
    assert best_span("who", "") == ""
