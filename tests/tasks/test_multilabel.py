"""Multi-label classification: worked by hand, and equal to transformers'."""

import dataclasses
import json
import os
import warnings

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.config import FinetuneConfig
from bert_jax.errors import ConfigError, DataError
from bert_jax.interop.huggingface import write_directory
from bert_jax.labelled.batching import collate
from bert_jax.labelled.multilabel import MultiLabelExample
from bert_jax.labelled.rejects import Rejects
from bert_jax.tasks.multilabel import MultiLabel
from tests.extras import need
from tests.tasks.tiny import TOKENIZER, make

TASK = MultiLabel(("a", "b", "c"))


def examples(*labels):
    return [MultiLabelExample(f"a:{i}", f"text {i}", None, x) for i, x in enumerate(labels)]


def logits(*probabilities):
    p = np.array(probabilities)
    return np.log(p / (1 - p)).astype(np.float32)[None]


def config(**changes):
    return FinetuneConfig(task="multilabel", encoder="", train="a.jsonl", dev="", **changes)


def test_labels_are_those_that_occur_or_those_that_are_given():
    given = examples(("10", "9"), (), ("b",))
    assert MultiLabel.from_examples(given, config()).labels == ("9", "10", "b")
    assert MultiLabel.from_examples(given, config(labels=("b", "c"))).labels == ("b", "c")
    for wrong, labels in ((examples((), ()), ()), (given, ("x", "y"))):
        with pytest.raises(DataError, match=r"none of its texts has (such )?a label") as caught:
            MultiLabel.from_examples(wrong, config(labels=labels))
        assert str(caught.value).count("\n") == 2
    many = examples(tuple(map(str, range(1001))))
    with pytest.raises(DataError, match=r"1,001 different labels(.|\n)*at most 1000"):
        MultiLabel.from_examples(many, config())


def test_a_text_with_an_unknown_label_is_rejected_and_one_without_a_label_is_not():
    rejects = Rejects()
    given = examples(("a",), ("a", "x"), ())
    assert TASK.accept(given, rejects) == [given[0], given[2]]
    assert [row["reason"] for row in rejects.rows] == ["label 'x' is not one of a, b, c"]


def test_labels_are_indicators():
    rows = TASK.encode(examples(("c", "a"), (), None), TOKENIZER, 16)
    assert [x.targets["labels"].tolist() for x in rows[:2]] == [[1, 0, 1], [0, 0, 0]]
    assert rows[2].targets == {}
    batch = collate(rows[:2], [[1, 0], []], 2, 32)
    assert batch["labels"].dtype == np.float32
    assert batch["labels"].shape == (2, 4, 3)
    assert batch["labels"][0, :2].tolist() == [[0, 0, 0], [1, 0, 1]]


def test_predictions_are_the_labels_from_their_thresholds_on():
    outputs = [logits(0.6, 0.4, 0.2)]
    (prediction,) = TASK.decode(examples(None), [], outputs)
    assert prediction["labels"] == ["a"]
    assert prediction["probabilities"] == pytest.approx({"a": 0.6, "b": 0.4, "c": 0.2})
    tuned = dataclasses.replace(TASK, thresholds=(0.7, 0.3, 0.1))
    assert tuned.decode(examples(None), [], outputs)[0]["labels"] == ["b", "c"]


def test_thresholds_are_chosen_for_each_label_and_saved():
    golds = examples(("a",), ("a", "b"), ("b",), ())
    rows = ((0.3, 0.1, 0.4), (0.2, 0.8, 0.4), (0.1, 0.7, 0.4), (0.1, 0.6, 0.4))
    outputs = [logits(*row) for row in rows]
    predictions = TASK.decode(golds, [], outputs)
    tuned = TASK.tune(golds, predictions)
    assert tuned.thresholds == pytest.approx((0.15, 0.65, 0.5))
    better = tuned.decode(golds, [], outputs)
    assert [p["labels"] for p in better] == [["a"], ["a", "b"], ["b"], []]
    assert TASK.score(golds, predictions)["f1_micro"] == pytest.approx(2 * 2 / (2 * 2 + 3))
    assert tuned.score(golds, better) == {
        "f1_micro": 1, "f1_macro": 1, "mean_average_precision": 1, "exact_match": 1,
    }  # fmt: skip
    assert TASK.options == {}
    restored = MultiLabel.from_labels(TASK.labels, json.loads(json.dumps(tuned.options)))
    assert restored == tuned


@pytest.mark.parametrize("thresholds", [[0.5], ["0.5", 0.5, 0.5], 0.5, [float("nan"), 0.5, 0.5]])
def test_thresholds_that_are_damaged_are_refused(thresholds):
    with pytest.raises(ConfigError, match=r"thresholds are(.|\n)*each of its 3 labels"):
        MultiLabel.from_labels(TASK.labels, {"thresholds": thresholds})


def test_what_the_report_shows():
    golds = examples(("c", "a"), ())
    predictions = TASK.decode(golds, [], [logits(0.6, 0.4, 0.2), logits(0.1, 0.9, 0.3)])
    first, second = TASK.compare(golds, predictions)
    assert (first.gold, first.predicted, first.correct) == ("a, c", "a", pytest.approx(2 / 3))
    assert (second.gold, second.predicted, second.correct) == ("", "b", pytest.approx(2 / 3))
    assert [first.confidence, second.confidence] == pytest.approx([0.6, 0.7])
    of_labels = TASK.by_label(golds, predictions)
    assert list(of_labels) == ["a", "b", "c"]
    assert of_labels["a"] == {
        "precision": 1, "recall": 1, "f1": 1, "average_precision": 1, "support": 1,
        "threshold": 0.5,
    }  # fmt: skip
    assert (of_labels["c"]["recall"], of_labels["c"]["average_precision"]) == (0, 0.5)
    decisions = TASK.confidences(golds, predictions)
    assert decisions.probability == pytest.approx([0.6, 0.4, 0.2, 0.1, 0.9, 0.3])
    assert decisions.correct.tolist() == [True, False, True, False, False, False]
    assert TASK.class_indices(golds, predictions) is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_directory_of_transformers_predicts_the_same(tmp_path):
    os.environ["HF_HUB_OFFLINE"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch, transformers = need("torch"), need("transformers")
    model = make("multilabel")
    write_directory(tmp_path / "ours", model._replace(task=None))
    theirs = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "ours").eval()
    assert theirs.config.problem_type == "multi_label_classification"
    theirs.save_pretrained(tmp_path / "theirs")
    model.tokenizer.save(tmp_path / "theirs", 64)
    loaded = bert_jax.load(tmp_path / "theirs")
    assert loaded.task == MultiLabel(model.labels)

    texts = ["the cat sat on the mat .", "a dog", "good film"]
    wanted = (("good",), (), ("bad", "long"))
    golds = [MultiLabelExample("", text, None, x) for text, x in zip(texts, wanted, strict=True)]
    rows = loaded.task.encode(golds, TOKENIZER, 64)
    outputs = np.zeros((3, 2, 3), np.float32)
    losses = []
    with jax.default_matmul_precision("highest"):
        predictions = loaded.predict(texts)
    for i, (row, prediction) in enumerate(zip(rows, predictions, strict=True)):
        with torch.no_grad():
            labels = torch.from_numpy(row.targets["labels"])[None]
            output = theirs(input_ids=torch.tensor([row.tokens]), labels=labels)
        outputs[i, 0] = output.logits[0].numpy()
        losses.append(float(output.loss))
        expected = torch.sigmoid(output.logits)[0].tolist()
        assert list(prediction["probabilities"].values()) == pytest.approx(expected, abs=2e-5)
        above = [label for label, p in zip(model.labels, expected, strict=True) if p >= 0.5]
        assert prediction["labels"] == above
        assert 0 < len(above) < 3
    batch = collate(rows, [[0], [1], [2]], 3, 16)
    loss = jax.jit(loaded.task.loss_sum)(outputs, batch) / jax.jit(loaded.task.num_targets)(batch)
    assert float(loss) == pytest.approx(np.mean(losses), abs=2e-6)
