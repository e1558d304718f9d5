"""ONNX Runtime computes the same outputs; a file with other outputs is not written."""

from dataclasses import replace

import pytest

from bert_jax.errors import CheckpointError
from bert_jax.interop import onnx
from bert_jax.models.pooling import SentencePooling
from bert_jax.models.task_heads import BERT_MODELS
from tests.extras import need
from tests.interop import test_modernbert as modernbert
from tests.interop.test_huggingface import make

need("onnxscript")
onnxruntime = need("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_classifier_is_equal_within_the_tolerance(tmp_path):
    worst = onnx.write_onnx(make("BertForSequenceClassification"), tmp_path / "a.onnx")
    assert 0 < worst < 1e-5
    assert (tmp_path / "a.onnx").stat().st_size > 10_000


def test_a_difference_is_refused(tmp_path, monkeypatch):
    real = onnx.make_inference_function

    def shifted(model):
        return lambda *inputs: tuple(x + 1e-3 for x in real(model)(*inputs))

    monkeypatch.setattr(onnx, "make_inference_function", shifted)
    with pytest.raises(CheckpointError, match=r"differ by 1\.00e-03"):
        onnx.write_onnx(make("BertForTokenClassification"), tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_an_encoder_without_a_pooler(tmp_path):
    params = {k: x for k, x in make("BertModel").params.items() if k != "pooler"}
    worst = onnx.write_onnx(make("BertModel")._replace(params=params), tmp_path / "a.onnx")
    assert worst < 1e-5


@pytest.mark.heavy
@pytest.mark.parametrize("name", BERT_MODELS)
def test_every_architecture(name, tmp_path):
    assert onnx.write_onnx(make(name), tmp_path / "a.onnx") < 1e-5


@pytest.mark.heavy
@pytest.mark.parametrize(
    "name", ["ModernBertForMaskedLM", "ModernBertForSequenceClassification", "ModernBertModel"]
)
def test_a_model_without_segments_takes_two_inputs(name, tmp_path):
    model = modernbert.make(name, replace(modernbert.CONFIG, classifier_pooling="mean"))
    if name == "ModernBertModel":
        model = model._replace(sentence=SentencePooling("mean"))
    assert onnx.write_onnx(model, tmp_path / "a.onnx") < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert [x.name for x in session.get_inputs()] == ["input_ids", "attention_mask"]
