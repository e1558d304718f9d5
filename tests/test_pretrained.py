"""A trained model in use: vectors, filled masks, and what is refused."""

import json
import shutil

import numpy as np
import pytest

import bert_jax
from bert_jax.errors import ConfigError
from bert_jax.interop.huggingface import write_directory
from bert_jax.labelled.inputs import Input, as_input
from bert_jax.pretrained import read_model
from tests.tasks.tiny import make

TEXTS = ["the cat sees the boat .", "a dog", "the old king follows the leaf near the wood ."]


@pytest.fixture(scope="module")
def bert(nano_run):
    return bert_jax.load(nano_run)


def test_vectors_do_not_depend_on_the_neighbours(bert):
    together = bert.encode(TEXTS)
    for text, vectors in zip(TEXTS, together, strict=True):
        assert vectors.shape == (len(bert.tokenizer.encode(text)) + 2, 32)
        np.testing.assert_allclose(bert.encode([text])[0], vectors, atol=1e-5)
    assert bert.encode([]) == []


def test_a_text_is_cut_where_positions_end(bert):
    (vectors,) = bert.encode(["the cat " * 100])
    assert vectors.shape == (64, 32)


def test_masks_are_filled_with_the_most_probable_first(bert):
    masks = bert.fill_mask("the [MASK] sees the [MASK] .", top_k=3)
    assert [len(words) for words in masks] == [3, 3]
    assert masks[0][0][1] >= masks[0][1][1]
    with pytest.raises(ConfigError, match=r"no \[MASK\]"):
        bert.fill_mask("the cat")


def test_texts_of_any_length_are_filled_together_as_alone(bert):
    texts = ["a [MASK]", "the [MASK] sees " * 3, "the cat " * 25 + "[MASK]", "[MASK] [MASK] ."]
    together = bert.predict_inputs([as_input(text) for text in texts], top_k=2, batch_size=2)
    assert [len(filled["masks"]) for filled in together] == [1, 3, 1, 2]
    for text, filled in zip(texts, together, strict=True):
        alone = bert.fill_mask(text, 2)
        for of_mask, expected in zip(filled["masks"], alone, strict=True):
            assert [x["token"] for x in of_mask] == [token for token, _ in expected]
            probabilities = [[x["probability"] for x in of_mask], [p for _, p in expected]]
            np.testing.assert_allclose(*probabilities, atol=1e-5)
    assert bert.predict_inputs([]) == []


def test_an_input_that_cannot_be_used_has_an_error_in_its_place(bert):
    inputs = [Input({"line": "{"}, "not valid JSON"), as_input("none"), as_input("a [MASK]")]
    unreadable, without_mask, filled = bert.predict_inputs(inputs)
    assert unreadable == {"error": "not valid JSON"}
    assert without_mask == {"error": "no [MASK] in 'none'"}
    assert list(filled) == ["masks"]
    with pytest.raises(ConfigError, match=r"no \[MASK\] in 'none'"):
        bert.predict_inputs(inputs, errors="raise")


def test_masks_beyond_the_positions_are_refused(bert):
    with pytest.raises(ConfigError, match=r"1 of 1 \[MASK\] beyond") as caught:
        bert.fill_mask("the cat " * 100 + "[MASK]")
    assert str(caught.value).count("\n") == 2
    with pytest.raises(ConfigError, match=r"1 of 2 \[MASK\]"):
        bert.fill_mask("[MASK] " + "the cat " * 100 + "[MASK]")


def test_another_tokenizer_is_refused(nano_run, tmp_path):
    copy = shutil.copytree(nano_run, tmp_path / "copy")
    vocab = (copy / "tokenizer" / "vocab.txt").read_text().split("\n")
    vocab[10], vocab[11] = vocab[11], vocab[10]
    (copy / "tokenizer" / "vocab.txt").write_text("\n".join(vocab))
    described = json.loads((copy / "tokenizer" / "tokenizer.json").read_text())
    words = described["model"]["vocab"]
    words[vocab[10]], words[vocab[11]] = 10, 11
    (copy / "tokenizer" / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(ConfigError, match="with which the model was trained"):
        bert_jax.load(copy)


def test_several_labels_at_once_are_refused(tmp_path):
    problem = "multi_label_classification"
    write_directory(tmp_path / "m", make("classification")._replace(problem_type=problem))
    for task in ("classification", None):  # as we would write it, and as others do
        (tmp_path / "m" / "bert_jax.json").write_text(json.dumps({"task": {"kind": task}}))
        if task is None:
            (tmp_path / "m" / "bert_jax.json").unlink()
        with pytest.raises(ConfigError, match=problem) as caught:
            bert_jax.load(tmp_path / "m")
        assert str(caught.value).count("\n") == 2
    assert "bert" in read_model(tmp_path / "m").params  # its encoder can be fine-tuned


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ([], r"fine-tuned for \[\]"),
        ("poetry", r"fine-tuned for 'poetry'(.|\n)*one of classification, regression"),
        ("tagging", r"'tagging'(.|\n)*BertForTokenClassification(.|\n)*"),
        ({"a": 1}, r"fine-tuned for \{'a': 1\}"),
    ],
)
def test_a_task_that_is_none_or_has_another_head_is_refused(tmp_path, kind, message):
    model = make("classification")
    write_directory(tmp_path / "m", model._replace(task={"kind": kind, "max_length": 48}))
    with pytest.raises(ConfigError, match=message) as caught:
        bert_jax.load(tmp_path / "m")
    assert str(caught.value).count("\n") == 2
