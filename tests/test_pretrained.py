"""A trained model in use: vectors, filled masks, and what is refused."""

import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.errors import CheckpointError, ConfigError, DataError
from bert_jax.interop.huggingface import PretrainedModel, write_directory
from bert_jax.labelled.inputs import Input, as_input
from bert_jax.pretrained import read_model
from tests.tasks.tiny import CONFIG, TOKENIZER, make, random_params, with_one_segment

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


def test_a_config_json_that_is_not_the_checkpoint_s_is_refused_with_both_values(nano_run, tmp_path):
    copy = shutil.copytree(nano_run, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["model"] |= {"num_attention_heads": 4, "hidden_act": "relu"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError) as caught:
        bert_jax.load(copy)
    message = str(caught.value)
    assert "model.num_attention_heads = 4, but the checkpoint has 2" in message
    assert 'model.hidden_act = "relu", but the checkpoint has "gelu"' in message
    assert message.count("\n") == 2


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_task_and_a_problem_type_that_do_not_belong_together_are_refused(tmp_path, kind):
    other = "multi_label_classification" if kind == "classification" else None
    write_directory(tmp_path / "m", make(kind)._replace(problem_type=other))
    with pytest.raises(ConfigError, match=f"'{kind}', but its problem_type is {other!r}") as caught:
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


def test_ids_without_a_token_are_never_predicted(tmp_path):
    """Embeddings are often padded to a multiple of 8 or 64 rows."""
    params = random_params("BertForMaskedLM")
    size = CONFIG.vocab_size
    word, bias = params["bert"]["embeddings"]["word"], params["mlm"]["bias"]
    params["bert"]["embeddings"]["word"] = np.pad(word, ((0, 8), (0, 0)))
    params["mlm"]["bias"] = np.pad(bias, (0, 8), constant_values=9)
    config = dataclasses.replace(CONFIG, vocab_size=size + 8)
    write_directory(tmp_path, PretrainedModel(config, "BertForMaskedLM", params, TOKENIZER))
    (words,) = bert_jax.load(tmp_path).fill_mask("the [MASK]", top_k=size + 5)
    assert {token for token, _ in words} == set(TOKENIZER.vocab)
    np.testing.assert_allclose(sum(probability for _, probability in words), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "single", "pair"),
    [
        ("classification", "the cat sat", ("the cat sat", "a dog")),
        ("tagging", "the cat sat", None),
        ("question_answering", None, {"question": "who ?", "context": "the cat sat"}),
    ],
)
def test_a_model_with_one_segment_refuses_pairs(kind, single, pair):
    model = bert_jax.Model(with_one_segment(make(kind)))
    if single:
        (prediction,) = model.predict([single])
        assert "error" not in prediction
    if pair:
        reason = r"input 1: two texts, but the model has one segment \(type_vocab_size 1\)"
        with pytest.raises(DataError, match=reason):
            model.predict([pair])
        (prediction,) = model.predict_inputs([as_input(pair)])
        assert list(prediction) == ["error"]


def test_predictions_are_never_nan():
    model = make("classification")
    huge = jax.tree.map(lambda x: x * np.float32(1e30), model.params)
    for compute in (lambda bert: bert.predict(["the cat"]), lambda bert: bert.encode(["the cat"])):
        with pytest.raises(CheckpointError, match="computes NaN or Inf"):
            compute(bert_jax.Model(model._replace(params=huge)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a model: there is no such folder(.|\n)*python demo.py makes runs/demo"),
        ("", "is not a model: it has no config.json"),
        ('{"hidden_size": 8}', "model_type = None(.|\n)*add .*model_type"),
        ("version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    ],
)
def test_a_folder_that_is_no_model_is_named(tmp_path, content, message):
    folder = tmp_path / "demo"
    if content is not None:
        folder.mkdir()
    if content:
        (folder / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        bert_jax.load(folder)
    assert str(folder) in str(caught.value)
    assert str(caught.value).count("\n") == 2


def test_an_encoder_needs_no_labels(tmp_path):
    write_directory(tmp_path / "m", make("classification"))
    (tmp_path / "m" / "bert_jax.json").unlink()
    values = json.loads((tmp_path / "m" / "config.json").read_text())
    values["id2label"] = {"0": "good", "7": "good"}
    (tmp_path / "m" / "config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="id2label"):
        read_model(tmp_path / "m")
    encoder = read_model(tmp_path / "m", labels=False)
    assert encoder.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    jax.tree.map(np.testing.assert_array_equal, encoder.params, make("classification").params)


def test_an_export_between_two_renames_is_found(tmp_path):
    write_directory(tmp_path / "run" / "model.old", make("classification"))
    assert bert_jax.load(tmp_path / "run").labels == make("classification").labels


def test_many_texts_are_shared_by_all_devices_and_few_stay_on_one(monkeypatch):
    saved, third = make("classification"), jax.devices()[3]
    model, one = bert_jax.Model(saved), bert_jax.Model(saved, device=third)
    assert all(x.devices() == {third} for x in jax.tree.leaves(one.params))
    texts = ["the cat sees the boat .", "a dog", "the old king"] * 20
    expected = one.predict(texts, batch_size=1)
    used, compute = [], model._inference._jit_outputs

    def record(params, batch):
        used.append(batch["tokens"].devices())
        assert {x.devices() == used[-1] for x in jax.tree.leaves(params)} == {True}
        program = compute.lower(params, batch).compile().as_text()
        assert not re.search("all-(reduce|gather|to-all)|permute", program)
        return compute(params, batch)

    monkeypatch.setattr(model._inference, "_jit_outputs", record)
    for batch_size, devices in ((1, set(jax.devices())), (64, {jax.devices()[0]})):
        predictions = model.predict(texts, batch_size=batch_size)
        assert used.pop() == devices
        for found, other in zip(predictions, expected, strict=True):
            assert found["label"] == other["label"]
            assert found["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_a_model_in_bfloat16_computes_what_its_layers_would():
    saved = make("classification")
    texts = ["the cat sees the boat .", "a dog"]
    exact, rounded = bert_jax.Model(saved), bert_jax.Model(saved, dtype="bfloat16")
    for vectors, expected in zip(rounded.encode(texts), exact.encode(texts), strict=True):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=0.1)
        assert np.abs(vectors - expected).max() > 1e-4
    assert rounded.params["bert"]["layers"]["attention"]["qkv"]["kernel"].dtype == "bfloat16"
    assert rounded.params["bert"]["embeddings"]["word"].dtype == np.float32


@pytest.mark.parametrize("options", [{"device": "quantum"}, {"dtype": "float16"}])
def test_a_device_or_dtype_that_is_none_is_refused(options):
    with pytest.raises(ConfigError, match=r"quantum|float16") as caught:
        bert_jax.Model(make("classification"), **options)
    assert str(caught.value).count("\n") == 2
