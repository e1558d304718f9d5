"""Sentence vectors are those of sentence-transformers, whose directories are read and written."""

import json

import jax
import numpy as np
import pytest

import bert_jax
import convert
from bert_jax.errors import ConfigError
from bert_jax.interop.huggingface import read_directory, write_directory
from bert_jax.interop.onnx import write_onnx
from bert_jax.interop.sentence_transformers import read_sentence_pooling
from bert_jax.interop.stablehlo import make_inference_function, write_stablehlo
from bert_jax.models.pooling import SentencePooling
from tests.extras import need
from tests.interop.test_huggingface import make

pytestmark = pytest.mark.filterwarnings("ignore")
library = need("sentence_transformers")

TEXTS = ["a b c d", "q", "", "h e l l o 한국 w o r l d !" * 3, "the cat sees the boat"]
POOLINGS = [
    SentencePooling("mean"),
    SentencePooling("cls", normalize=True),
    SentencePooling("max", normalize=True, max_length=9),
]


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_the_library_opens_our_directory_and_gives_our_vectors(pooling, tmp_path):
    write_directory(tmp_path / "m", make("BertModel")._replace(sentence=pooling))
    expected = library.SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(TEXTS)
    model = bert_jax.load(tmp_path / "m")
    assert model.sentence == pooling._replace(max_length=pooling.max_length or 24)
    np.testing.assert_allclose(model.embed(TEXTS), expected, atol=2e-5)
    other = "max" if pooling.mode == "mean" else "mean"
    assert np.abs(model.embed(TEXTS, pooling=other) - expected).max() > 1e-3


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
def test_a_directory_that_the_library_wrote(mode, tmp_path):
    write_directory(tmp_path / "m", make("BertModel"))
    modules = library.sentence_transformer.modules
    transformer = library.base.modules.transformer.Transformer(str(tmp_path / "m"))
    pooling = modules.pooling.Pooling(transformer.get_embedding_dimension(), mode)
    normalize = library.base.modules.normalize.Normalize()
    theirs = library.SentenceTransformer(modules=[transformer, pooling, normalize], device="cpu")
    theirs.save(str(tmp_path / "theirs"))
    model = bert_jax.load(tmp_path / "theirs")
    assert model.sentence[:2] == (mode, True)
    np.testing.assert_allclose(model.embed(TEXTS), theirs.encode(TEXTS), atol=2e-5)


def test_vectors_of_a_run_and_of_its_export_are_equal(nano_run, tmp_path):
    options = {"to": "sentence-transformers", "pooling": "cls", "normalize": True}
    config = convert.ConvertConfig(str(nano_run), str(tmp_path / "m"), **options)
    assert convert.main(config) == 0
    bert, exported = bert_jax.load(nano_run), bert_jax.load(tmp_path / "m")
    assert exported.architecture == "BertModel"
    assert exported.sentence == SentencePooling("cls", True, 64)
    vectors = bert.embed(TEXTS, "cls", normalize=True)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors, exported.embed(TEXTS), atol=1e-6)
    assert bert.embed([]).shape == (0, 32)
    with pytest.raises(ConfigError, match="pooling = 'median'"):
        bert.embed(TEXTS, "median")


def test_a_vector_does_not_depend_on_its_neighbors_in_a_row(nano_run):
    bert = bert_jax.load(nano_run)
    for mode in ("mean", "cls", "max"):
        alone = np.concatenate([bert.embed([text], mode) for text in TEXTS])
        np.testing.assert_allclose(bert.embed(TEXTS, mode), alone, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS[:2], ids=str)
def test_pooling_is_inside_of_stablehlo(pooling, tmp_path):
    model = make("BertForSequenceClassification")
    write_stablehlo(model._replace(sentence=pooling), tmp_path / "m")
    run = jax.export.deserialize(bytearray((tmp_path / "m").read_bytes())).call
    ids = np.array([[2, 7, 8, 3, 0], [2, 9, 3, 0, 0]], np.int32)
    (vectors,) = run(ids, np.array(ids > 0, np.int32), np.zeros_like(ids))
    (hidden,) = jax.jit(make_inference_function(encoder_alone(model)))(
        ids, np.array(ids > 0, np.int32), np.zeros_like(ids)
    )
    expected = np.stack([hidden[0, :4].mean(0), hidden[1, :3].mean(0)])
    if pooling.mode == "cls":
        expected = hidden[:, 0] / np.linalg.norm(hidden[:, 0], axis=-1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def encoder_alone(model):
    """Return the encoder of a model, without a pooler."""
    params = {name: x for name, x in model.params["bert"].items() if name != "pooler"}
    return model._replace(architecture="BertModel", params=params, labels=())


@pytest.mark.heavy
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_pooling_is_inside_of_onnx(pooling, tmp_path):
    import onnxruntime

    model = make("BertForSequenceClassification")._replace(sentence=pooling)
    assert write_onnx(model, tmp_path / "a.onnx") < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert [output.name for output in session.get_outputs()] == ["sentence_embedding"]


def test_other_modules_and_poolings_are_named(tmp_path, capsys):
    write_directory(tmp_path / "m", make("BertModel")._replace(sentence=SentencePooling()))
    (tmp_path / "m" / "bert_jax.json").unlink()  # as other programs write it
    path, logged = tmp_path / "m" / "modules.json", []
    modules = json.loads(path.read_text())
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    path.write_text(json.dumps([*modules, dense]))
    assert read_sentence_pooling(tmp_path / "m", logged.append) == SentencePooling(max_length=24)
    assert logged == [f"{path}: Dense is not supported: embed() leaves it out"]
    path.write_text(json.dumps([{**modules[0], "path": "../elsewhere"}]))
    with pytest.raises(ConfigError, match="no module of this directory"):
        read_sentence_pooling(tmp_path / "m", print)
    path.write_text(json.dumps(modules))
    pooling = tmp_path / "m" / "1_Pooling" / "config.json"
    for values, named in (
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "mean and max"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        ({}, "nothing"),
    ):
        pooling.write_text(json.dumps(values))
        with pytest.raises(ConfigError, match=f"pooling by {named} is not supported"):
            read_directory(tmp_path / "m")
