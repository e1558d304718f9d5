"""The architecture of other people's directories, whatever they call themselves."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

from bert_jax.errors import ConfigError
from bert_jax.interop.huggingface import read_directory, write_directory
from bert_jax.interop.parameter_names import to_flat, to_torch_names
from tests.tasks.tiny import CONFIG, TOKENIZER, make, random_params

HEADS = ("cls.predictions", "cls.seq_relationship", "bert.pooler", "classifier", "qa_outputs")


def directory(folder: Path, model: str, named: str | None, without=(), add=None, **fields) -> Path:
    """Write the weights of a model under another name, as another program would."""
    kind = {"BertForSequenceClassification": "classification", "BertForTokenClassification":
            "tagging", "BertForQuestionAnswering": "question_answering"}.get(model)  # fmt: skip
    saved = make(kind or "classification")
    if kind is None:
        saved = saved._replace(architecture=model, params=random_params(model), labels=())
    write_directory(folder, saved)
    (folder / "bert_jax.json").unlink()
    values = json.loads((folder / "config.json").read_text())
    values = {**values, "architectures": named and [named], **fields}
    values = {name: value for name, value in values.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(values))
    tensors = to_torch_names(to_flat(saved.params, saved.config))
    tensors = {n: x for n, x in tensors.items() if not n.startswith(tuple(without))}
    safetensors.numpy.save_file({**tensors, **(add or {})}, folder / "model.safetensors")
    return folder


def heads(model) -> set[str]:
    return {
        head
        for head in HEADS
        if any(n.startswith(head) for n in to_flat(model.params, model.config))
    }


@pytest.mark.parametrize("named", ["BertForMaskedLM", "BertModel", "BertLMHeadModel", None])
def test_every_weight_of_a_pretraining_model_is_taken(tmp_path, named):
    logged = []
    model = read_directory(directory(tmp_path / "m", "BertForPreTraining", named), logged.append)
    assert model.architecture == "BertForPreTraining"
    jax.tree.map(np.testing.assert_array_equal, model.params, random_params("BertForPreTraining"))
    expected = {
        None: "config.json names no architecture; by its weights it is a BertForPreTraining",
        "BertLMHeadModel": "BertLMHeadModel is not supported, and is read as a BertForPreTraining",
    }
    lines = [f"{tmp_path}/m: {expected[named]}"] if named in expected else []
    assert logged == lines


@pytest.mark.parametrize("named", ["BertForMaskedLM", "BertModel", None])
def test_a_masked_lm_keeps_its_pooler(tmp_path, named):
    folder = directory(tmp_path / "m", "BertForPreTraining", named, ["cls.seq_relationship"])
    model = read_directory(folder, lambda line: None)
    assert model.architecture == "BertForMaskedLM"
    assert heads(model) == {"cls.predictions", "bert.pooler"}
    write_directory(tmp_path / "again", model)
    again = read_directory(tmp_path / "again")
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    assert again.has_pooler


@pytest.mark.parametrize(
    ("model", "without", "fields"),
    [
        ("BertForSequenceClassification", (), {}),
        ("BertForTokenClassification", (), {}),
        ("BertForQuestionAnswering", (), {}),
        ("BertForMaskedLM", (), {}),
        ("BertForPreTraining", (), {}),
        ("BertForSequenceClassification", (), {"id2label": None, "label2id": None}),
    ],
)
def test_a_head_without_a_name_is_known_by_its_weights(tmp_path, model, without, fields):
    logged = []
    folder = directory(tmp_path / "m", model, None, without, **fields)
    read = read_directory(folder, logged.append)
    assert read.architecture == model
    assert logged == [
        f"{folder}: config.json names no architecture; by its weights it is a {model}"
    ]
    if fields:
        assert read.labels == ("LABEL_0", "LABEL_1", "LABEL_2")  # as many as the classifier has


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "BertForTokenClassification"),  # its labels begin with B- and I-
        ({"problem_type": "single_label_classification"}, "BertForSequenceClassification"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "BertForSequenceClassification"),
        ({"id2label": ["B-a"]}, "BertForSequenceClassification"),
    ],
)
def test_a_tagger_with_a_pooler_is_known_by_its_tags(tmp_path, fields, expected):
    width = CONFIG.hidden_size
    pooler = {"bert.pooler.dense.weight": np.ones((width, width), "f4"),
              "bert.pooler.dense.bias": np.ones(width, "f4")}  # fmt: skip
    name = "BertForTokenClassification"
    folder = directory(tmp_path / "m", name, None, add=pooler, label2id=None, **fields)
    model = read_directory(folder, lambda line: None, labels=False)
    assert (model.architecture, model.has_pooler) == (expected, True)


def test_what_has_no_place_is_named(tmp_path):
    logged = []
    extra = {f"cls.{n}.bias": np.ones(2, "f4") for n in "abcde"}
    extra["bert.embeddings.position_ids"] = np.arange(64)[None]
    name = "BertForSequenceClassification"
    folder = directory(tmp_path / "m", name, name, add=extra)
    assert read_directory(folder, logged.append).architecture == name
    unused = "cls.a.bias, cls.b.bias, cls.c.bias, cls.d.bias and 1 more"
    assert logged == [f"{folder}: a {name} does not use {unused}"]


def test_a_head_that_is_named_and_missing_is_an_error(tmp_path):
    folder = directory(tmp_path / "m", "BertModel", "BertForMaskedLM")
    with pytest.raises(ConfigError, match=r"cls\.predictions.* missing"):
        read_directory(folder)


def test_an_untied_decoder_leaves_the_encoder_that_is_asked_for(tmp_path):
    size = (TOKENIZER.vocab_size, CONFIG.hidden_size)
    decoder = {"cls.predictions.decoder.weight": np.ones(size, "f4")}
    folder = directory(tmp_path / "m", "BertForPreTraining", "BertForMaskedLM", add=decoder)
    with pytest.raises(ConfigError, match=r"decoder differs(.|\n)*architectures.: .*BertModel"):
        read_directory(folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"architectures": ["BertModel"]}))
    logged = []
    assert read_directory(folder, logged.append).architecture == "BertModel"
    assert "does not use cls.predictions.bias, cls.predictions.decoder.kernel" in logged[0]
