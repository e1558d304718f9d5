"""ModernBERT end to end: pretraining, resuming, fine-tuning, predicting, converting."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
import convert
import finetune
import pretrain
from bert_jax.config import (
    FinetuneConfig,
    MaskingConfig,
    ModernBertConfig,
    OptimizerConfig,
    PretrainConfig,
    read_json,
)
from bert_jax.errors import ConfigError
from bert_jax.models.functional import count_parameters
from bert_jax.pretrained import read_model
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.runlog import read_metrics
from bert_jax.training.signals import StopSignal
from tests.nano import make_nano
from tests.toy_labelled import write_labelled

MODEL = ModernBertConfig(
    hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48,
    max_position_embeddings=64, local_attention=8, global_attn_every_n_layers=2,
    embedding_dropout=0.1, mlp_dropout=0.1,
)  # fmt: skip


def make_run(prepared: Path, folder: Path) -> PretrainConfig:
    """Return a run by the recipe, on rows that have labels of NSP."""
    return replace(
        make_nano(prepared, folder),
        model=MODEL,
        optimizer=OptimizerConfig(name="muon", learning_rate=3e-3, warmup_steps=2),
        masking=MaskingConfig(rate=0.3, final_rate=0.15, eval_rate=0.15),
        embedding_start="ppmi",
        kernel_start="fan_in",
        zero_outputs=True,
        vocab_multiple=64,
    )


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory) -> Path:
    """The directory of a run that was never interrupted."""
    config = make_run(prepared, tmp_path_factory.mktemp("modernbert"))
    assert pretrain.main(config) == 0
    return Path(config.runs_dir) / config.name


@pytest.fixture(scope="module")
def tuned(finished, tmp_path_factory) -> Path:
    """The directory of a classifier."""
    folder = tmp_path_factory.mktemp("tuned")
    config = FinetuneConfig(
        task="classification", encoder=str(finished), max_length=32, epochs=1, batch_size=8,
        train=write_labelled("classification", folder / "train", 24),
        dev=write_labelled("classification", folder / "dev", 12, seed=1),
        learning_rate=1e-4, dropout=0.1, name="run", runs_dir=str(folder),
    )  # fmt: skip
    assert finetune.main(config) == 0
    return folder / "run"


def test_a_run_is_its_own_configuration_and_learns_masked_words_alone(finished):
    saved = read_json(PretrainConfig, finished / "config.json").model
    assert replace(saved, vocab_size=None) == MODEL
    params, _, identity = load_params(finished)
    assert set(params) == {"bert", "mlm"}
    assert identity["architecture"] == "ModernBertForMaskedLM"
    assert identity["model.model_type"] == '"modernbert"'
    records = read_metrics(finished / "metrics.jsonl")
    assert not [name for record in records for name in record if "nsp" in name]


def test_resuming_gives_the_same_bits(prepared, finished, tmp_path, monkeypatch):
    config = make_run(prepared, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == 6)
        assert pretrain.main(config) == 75
    assert pretrain.main(config) == 0
    ours, theirs = (load_params(Path(config.runs_dir) / config.name)[0], load_params(finished)[0])
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_the_plan_compiles_the_run(prepared, finished, tmp_path, capsys):
    assert pretrain.main(replace(make_run(prepared, tmp_path), dry_run=True)) == 0
    printed = capsys.readouterr().out
    assert f"parameters          {count_parameters(load_params(finished)[0]):,}" in printed
    assert "training step, 16 rows of 32 tokens: fits" in printed


def test_it_encodes_embeds_and_fills_masks(finished):
    model = bert_jax.load(finished)
    texts = ["and then another.", "the sea"]
    hidden = model.encode(texts)
    np.testing.assert_allclose(model.encode(texts[1:])[0], hidden[1], atol=1e-5)
    np.testing.assert_allclose(model.embed(texts)[0], hidden[0].mean(axis=0), atol=1e-5)
    ((best, *_),) = model.fill_mask("[MASK] and then another.")
    assert best[0] in model.tokenizer.vocab
    assert model.config.vocab_size == model.tokenizer.vocab_size  # padding is dropped


def test_a_classifier_starts_from_the_encoder_and_the_dense_layer(finished, tuned):
    before, after = load_params(finished)[0], read_model(tuned)
    assert after.architecture == "ModernBertForSequenceClassification"
    assert set(after.params) == {"bert", "head", "classifier"}
    dense = before["mlm"]["dense"]["kernel"]
    np.testing.assert_allclose(after.params["head"]["dense"]["kernel"], dense, atol=1e-2)
    assert (after.config.mlp_dropout, after.config.classifier_dropout) == (0.1, 0.1)
    predicted = bert_jax.load(tuned).predict(["the sea", ("the sea", "and the town")])
    assert {x["label"] for x in predicted} <= set(after.labels)
    card = (tuned / "model" / "README.md").read_text()
    assert "A ModernBERT for classification" in card


@pytest.mark.parametrize("target", ["huggingface", "stablehlo", "sentence-transformers"])
def test_it_is_converted(finished, tuned, tmp_path, target):
    out = tmp_path / "out"
    source = tuned if target == "stablehlo" else finished
    assert convert.main(convert.ConvertConfig(str(source), str(out), to=target)) == 0
    text = "and then another."
    if target == "stablehlo":
        model = bert_jax.load(tuned)
        ids = [[model.tokenizer.cls_id, *model.tokenizer.encode(text), model.tokenizer.sep_id]]
        call = jax.export.deserialize(bytearray(out.read_bytes())).call
        (logits,) = call(np.array(ids, np.int32), np.ones((1, len(ids[0])), np.int32))
        probabilities = model.predict([text])[0]["probabilities"]
        np.testing.assert_allclose(
            jax.nn.softmax(logits[0]), [probabilities[x] for x in model.labels], atol=1e-5
        )
        return
    values = json.loads((out / "config.json").read_text())
    head = {"huggingface": "ForMaskedLM", "sentence-transformers": "Model"}[target]
    assert values["architectures"] == [f"ModernBert{head}"]
    (ours,), (again,) = (bert_jax.load(x).encode([text]) for x in (finished, out))
    np.testing.assert_allclose(again, ours, atol=1e-6)


def test_a_bert_is_no_start_for_it(prepared, nano_run, tmp_path):
    config = replace(make_run(prepared, tmp_path), encoder=str(nano_run))
    with pytest.raises(ConfigError, match=r"is a BERT, and .* trains a ModernBERT"):
        pretrain.main(config)
    config = replace(make_run(prepared, tmp_path), extend_from=str(nano_run))
    with pytest.raises(ConfigError, match=r"trains a ModernBERT, but .* of another family"):
        pretrain.main(config)
    config = replace(make_run(prepared, tmp_path), nsp=True)
    with pytest.raises(ConfigError, match="a ModernBERT does not predict next sentences"):
        pretrain.main(config)
