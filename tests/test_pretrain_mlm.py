"""MLM without NSP, end to end, on rows without pairs and with: training, resuming, exporting."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
import convert
import finetune
import prepare
import pretrain
from bert_jax.config import (
    FinetuneConfig,
    MaskingConfig,
    OptimizerConfig,
    Phase,
    PrepareConfig,
    PretrainConfig,
    read_json,
)
from bert_jax.errors import ConfigError
from bert_jax.models.functional import count_parameters
from bert_jax.pretrained import read_model
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.runlog import read_metrics
from bert_jax.training.signals import StopSignal
from tests.extras import need
from tests.nano import make_nano
from tests.toy_corpus import write_corpus
from tests.toy_labelled import write_labelled


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """Rows of two lengths without NSP."""
    folder = tmp_path_factory.mktemp("mlm")
    text = write_corpus(folder / "text.txt")
    config = PrepareConfig(
        inputs=(str(text),), output=str(folder / "rows"), lengths=(32, 64), vocab_size=150,
        eval_share=0.1, workers=1, nsp=False,
    )  # fmt: skip
    prepare.main(config)
    return folder / "rows"


@pytest.fixture(scope="module")
def finished(rows, tmp_path_factory) -> Path:
    """The directory of a run that was never interrupted."""
    config = make_nano(rows, tmp_path_factory.mktemp("mlm_run"))
    assert pretrain.main(config) == 0
    return Path(config.runs_dir) / config.name


def state_of(run: Path) -> tuple[list, list]:
    params, _, _ = load_params(run)
    records = [{k: v for k, v in x.items() if "time" not in k and "second" not in k}
               for x in read_metrics(run / "metrics.jsonl")]  # fmt: skip
    return jax.tree.leaves(params), records


def test_everything_a_run_writes_is_of_mlm_alone(finished):
    params, _, identity = load_params(finished)
    assert set(params) == {"bert", "mlm"}
    assert "pooler" not in params["bert"]
    assert identity["architecture"] == "BertForMaskedLM"
    for record in read_metrics(finished / "metrics.jsonl"):
        assert not [name for name in record if "nsp" in name]
        assert record["loss"] == pytest.approx(record["mlm_loss"], rel=1e-4)
    assert "baselines: MLM loss" in (finished / "train.log").read_text()
    assert "(unigram model); no NSP" in (finished / "train.log").read_text()
    assert "NSP loss" not in (finished / "plots" / "loss.svg").read_text()


def test_resuming_gives_the_same_bits(rows, finished, tmp_path, monkeypatch):
    config = make_nano(rows, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == 6)
        assert pretrain.main(config) == 75
    assert pretrain.main(config) == 0
    ours, theirs = state_of(Path(config.runs_dir) / config.name), state_of(finished)
    assert ours[1] == theirs[1]
    for a, b in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_exported_model_gives_the_same_logits_in_transformers(finished, tmp_path):
    torch, transformers = (need(name) for name in ("torch", "transformers"))
    out = tmp_path / "hf"
    assert convert.main(convert.ConvertConfig(str(finished), str(out))) == 0
    assert json.loads((out / "config.json").read_text())["architectures"] == ["BertForMaskedLM"]
    theirs, info = transformers.AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ours = bert_jax.load(finished)
    text = "[MASK] and then another."
    ids = transformers.AutoTokenizer.from_pretrained(out)(text)["input_ids"]
    with torch.no_grad():
        logits = theirs.eval()(torch.tensor([ids])).logits[0].numpy()
    position = ids.index(ours.tokenizer.mask_id)
    probabilities = np.asarray(jax.nn.softmax(logits[position]))
    filled = ours.fill_mask(text, top_k=len(probabilities))[0]
    vocab = ours.tokenizer.vocab
    for token, probability in filled:
        assert probability == pytest.approx(probabilities[vocab.index(token)], abs=1e-5)
    assert bert_jax.load(out).fill_mask(text) == ours.fill_mask(text)
    assert ours.encode(["and then another."])[0].shape == (len(ids) - 1, 32)


def test_weights_go_from_runs_without_nsp_to_runs_with_it_and_back(
    rows, finished, prepared, nano_run, tmp_path, capsys
):
    """Parts that the other kind of run lacks are new, and logged; all others are taken over."""
    still = OptimizerConfig(learning_rate=1e-12, warmup_steps=0, weight_decay=0.0)
    for data, encoder, new in (
        (prepared, finished, "not in {}, so new: bert.pooler, nsp"),
        (rows, nano_run, ""),
    ):
        config = make_nano(data, tmp_path)
        config = replace(
            config, name=Path(data).parent.name, encoder=str(encoder), optimizer=still,
            phases=(Phase(32, 16),), loop=replace(config.loop, steps=1),
        )  # fmt: skip
        assert pretrain.main(config) == 0
        printed = capsys.readouterr().out
        assert new.format(encoder) in printed
        assert ("so new" in printed) == bool(new)
        trained = load_params(encoder)[0]
        params = load_params(Path(config.runs_dir) / config.name)[0]
        np.testing.assert_allclose(
            params["mlm"]["dense"]["kernel"], trained["mlm"]["dense"]["kernel"], atol=1e-9
        )
        assert ("nsp" in params) == (data is prepared)


def test_a_run_with_nsp_is_not_resumed_on_rows_without(rows, prepared, nano_run, tmp_path):
    config = make_nano(rows, tmp_path)
    shutil.copytree(nano_run, Path(config.runs_dir) / config.name)
    with pytest.raises(ConfigError, match=r"architecture \(saved .*, given BertForMaskedLM\)"):
        pretrain.main(config)


@pytest.fixture(scope="module")
def pairs_unlabelled(prepared, tmp_path_factory) -> PretrainConfig:
    """A finished run on rows with NSP labels, without NSP and with a mask rate that falls."""
    config = replace(
        make_nano(prepared, tmp_path_factory.mktemp("pairs")), nsp=False,
        masking=MaskingConfig(rate=0.3, final_rate=0.15),
    )  # fmt: skip
    assert pretrain.main(config) == 0
    return config


def test_rows_with_labels_train_mlm_alone_if_asked(pairs_unlabelled):
    folder = Path(pairs_unlabelled.runs_dir) / pairs_unlabelled.name
    params, _, identity = load_params(folder)
    assert set(params) == {"bert", "mlm"}
    assert (identity["architecture"], identity["nsp"]) == ("BertForMaskedLM", "false")
    assert read_json(PretrainConfig, folder / "config.json").nsp is False
    for record in read_metrics(folder / "metrics.jsonl"):
        assert not [name for name in record if "nsp" in name]
    assert bert_jax.load(folder).encode(["and then another."])[0].shape[1] == 32


def test_such_a_run_resumes_with_the_same_bits_and_as_itself_alone(
    pairs_unlabelled, tmp_path, monkeypatch
):
    config = replace(pairs_unlabelled, runs_dir=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requested", lambda self, now: now == 6)
        assert pretrain.main(config) == 75
    with pytest.raises(ConfigError, match=r"nsp \(saved false, given null\), architecture \(saved"):
        pretrain.main(replace(config, nsp=True))
    constant = replace(config, masking=MaskingConfig(rate=0.3))
    with pytest.raises(ConfigError, match=r"masking.final_rate \(saved 0.15, given null\)"):
        pretrain.main(constant)
    assert pretrain.main(config) == 0
    ours, theirs = (state_of(Path(c.runs_dir) / c.name) for c in (config, pairs_unlabelled))
    assert ours[1] == theirs[1]
    for a, b in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_evaluations_of_runs_with_another_rate_and_seed_compare(prepared, nano_run, tmp_path):
    """Weights that do not move have the same held-out loss, whatever the run's own masks are."""
    losses = []
    for seed, masking in (
        (0, MaskingConfig(rate=0.3, eval_rate=0.15)),
        (1, MaskingConfig(eval_rate=0.15)),
        (0, MaskingConfig(rate=0.3, final_rate=0.15)),
        (0, MaskingConfig()),
        (1, MaskingConfig()),
    ):
        config = make_nano(prepared, tmp_path)
        config = replace(
            config, name=f"run{len(losses)}", seed=seed, masking=masking, encoder=str(nano_run),
            optimizer=OptimizerConfig(learning_rate=1e-12, warmup_steps=0, weight_decay=0.0),
            phases=(Phase(32, 16),), loop=replace(config.loop, steps=1),
        )  # fmt: skip
        assert pretrain.main(config) == 0
        records = read_metrics(Path(config.runs_dir) / config.name / "metrics.jsonl")
        losses.append(round(records[-1]["mlm_loss"], 6))
    assert losses[0] == losses[1]
    assert losses[2] == losses[3]
    assert len(set(losses)) == 3


def test_nsp_is_refused_on_rows_without_labels(rows, tmp_path):
    with pytest.raises(ConfigError, match=r"--nsp True, but .* was prepared without NSP"):
        pretrain.main(replace(make_nano(rows, tmp_path), nsp=True))
    with pytest.raises(ConfigError, match=r"--nsp True, but .* was prepared without NSP"):
        pretrain.main(replace(make_nano(rows, tmp_path), nsp=True, dry_run=True))


def test_extension_names_the_option_that_fits_the_other_run(
    prepared, nano_run, finished, pairs_unlabelled, tmp_path
):
    config = replace(make_nano(prepared, tmp_path), name="more")
    without = Path(pairs_unlabelled.runs_dir) / pairs_unlabelled.name
    with pytest.raises(ConfigError, match=r"has labels of NSP, but .*\n.*\n.*pass --nsp False, or"):
        pretrain.main(replace(config, extend_from=str(without)))
    with pytest.raises(ConfigError, match=r"with --nsp False, but .*\n.*\n.*pass --nsp True, or"):
        pretrain.main(replace(config, extend_from=str(nano_run), nsp=False))
    assert pretrain.main(replace(config, extend_from=str(without), nsp=False)) == 0


def test_the_plan_counts_no_parameters_of_nsp_where_it_is_not_trained(pairs_unlabelled, capsys):
    assert pretrain.main(replace(pairs_unlabelled, dry_run=True)) == 0
    folder = Path(pairs_unlabelled.runs_dir) / pairs_unlabelled.name
    size = count_parameters(load_params(folder)[0])
    assert f"parameters          {size:,}" in capsys.readouterr().out


def test_a_run_with_nsp_is_not_extended_on_rows_without(rows, nano_run, tmp_path):
    config = replace(make_nano(rows, tmp_path), name="more", extend_from=str(nano_run))
    with pytest.raises(ConfigError, match=r"was prepared without NSP, but .* was trained with NSP"):
        pretrain.main(config)


def test_the_plan_counts_the_parameters_of_mlm_alone(rows, finished, tmp_path, capsys):
    config = replace(make_nano(rows, tmp_path), dry_run=True)
    assert pretrain.main(config) == 0
    size = count_parameters(load_params(finished)[0])
    assert f"parameters          {size:,}" in capsys.readouterr().out


def test_its_encoder_is_fine_tuned_with_a_new_pooler(finished, tmp_path):
    config = FinetuneConfig(
        task="classification", encoder=str(finished), max_length=32, epochs=1, batch_size=8,
        train=write_labelled("classification", tmp_path / "train", 24),
        dev=write_labelled("classification", tmp_path / "dev", 12, seed=1),
        learning_rate=1e-4, name="run", runs_dir=str(tmp_path),
    )  # fmt: skip
    assert finetune.main(config) == 0
    tuned = read_model(tmp_path / "run")
    assert tuned.architecture == "BertForSequenceClassification"
    assert tuned.params["bert"]["pooler"]["kernel"].any()
    word = load_params(finished)[0]["bert"]["embeddings"]["word"]
    np.testing.assert_allclose(tuned.params["bert"]["embeddings"]["word"], word, atol=1e-2)
