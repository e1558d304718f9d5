"""Benchmarks: the sides that they compare compute the same results."""

import json
import os

import numpy as np
import pytest

import bert_jax
import task_speed
from bert_jax.interop.huggingface import write_directory
from task_sides import OURS, THEIRS, Options, make_side
from tests.extras import need
from tests.tasks import tiny
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


def test_sif_by_hand():
    """Arora et al. 2017, algorithm 1, on three texts of one and two words."""
    from benchmarks import sentence_vectors as sv

    ids = [np.array([1]), np.array([1, 2]), np.array([2, 1])]
    weights = sv.sif_weights(ids, 4, a=0.6)
    np.testing.assert_allclose(weights, [1, 0.5, 0.6, 1])  # p = 0, 3/5, 2/5, 0
    vectors = np.array([[0, 0], [2, 0], [0, 1], [0, 0]], np.float32)
    means = sv.weighted_means([vectors[tokens] for tokens in ids], ids, weights)
    np.testing.assert_allclose(means, [[1, 0], [0.5, 0.3], [0.5, 0.3]])
    component = sv.common_component(means)
    np.testing.assert_allclose(abs(np.linalg.svd(means)[2][0] @ component), 1)
    np.testing.assert_allclose(sv.remove(means, component) @ component, 0, atol=1e-12)
    cosines = sv.cosines(means[[0, 1, 1]], np.stack([means[0], means[2], np.zeros(2)]))
    np.testing.assert_allclose(cosines, [1, 1, 0])


def test_sentence_vectors_of_every_layer_are_compared(tmp_path, capsys):
    from benchmarks import sentence_vectors as sv

    model = tiny.make("regression")
    write_directory(tmp_path / "model", model)
    texts = write_labelled("regression", tmp_path / "pairs.tsv", 30)
    sv.main(sv.Options(str(tmp_path / "model"), texts, texts))
    rows = capsys.readouterr().out.splitlines()[-5:]
    assert [row[2:26].strip() for row in rows] == [
        "random, one for a word", "word embeddings", "first layer", "last layer",
        "mean of first and last",
    ]  # fmt: skip
    vectors = dict(sv.layers(model, [["the cat sat"]], [[np.array([1, 2, 3])]]))
    expected = bert_jax.load(tmp_path / "model").encode(["the cat sat"])[0][1:-1]
    np.testing.assert_allclose(vectors["last layer"][0][0], expected, atol=1e-6)
    both = (vectors["first layer"][0][0] + vectors["last layer"][0][0]) / 2
    np.testing.assert_array_equal(vectors["mean of first and last"][0][0], both)


def test_a_split_is_spaced_evenly_and_squad_is_split_by_article(tmp_path, capsys):
    from benchmarks import splits
    from bert_jax.errors import ConfigError

    table = tmp_path / "table.tsv"
    table.write_text("text\tlabel\n" + "".join(f"t{i}\t{i % 2}\n" for i in range(10)))
    splits.main(splits.Options(str(table), str(tmp_path / "a"), dev=4))
    lines = {x: (tmp_path / "a" / f"{x}.jsonl").read_text().splitlines() for x in ("train", "dev")}
    parts = {name: [json.loads(line)["text"] for line in part] for name, part in lines.items()}
    assert parts == {"dev": ["t0", "t2", "t5", "t7"], "train": ["t1", "t3", "t4", "t6", "t8", "t9"]}
    with pytest.raises(ConfigError, match="dev = 10 is invalid"):
        splits.main(splits.Options(str(table), str(tmp_path / "a"), dev=10))

    articles = [
        {"title": i, "paragraphs": [{"context": "c", "qas": [{"question": "q"}] * i}]}
        for i in range(4)
    ]
    squad = tmp_path / "squad.json"
    squad.write_text(json.dumps({"version": "1.1", "data": articles}))
    splits.main(splits.Options(str(squad), str(tmp_path / "b"), dev=2))
    assert "dev.json: 2 articles, 2 questions" in capsys.readouterr().out
    dev = json.loads((tmp_path / "b" / "dev.json").read_text())
    assert dev == {"version": "1.1", "data": [articles[0], articles[2]]}
