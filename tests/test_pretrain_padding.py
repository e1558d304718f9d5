"""Vocabularies padded to a multiple: the run is that of the tokens, and no export has the rest."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import bert_jax
import convert
import pretrain
from bert_jax.config import BertConfig
from bert_jax.errors import ConfigError
from bert_jax.pretrained import read_model
from bert_jax.training.checkpoint_arrays import load_params
from tests.nano import make_nano

TEXT = "the [MASK] sees the [MASK] ."


@pytest.fixture(scope="module")
def padded(prepared, tmp_path_factory):
    """The directory of the nano run with a padded vocabulary, which has ended."""
    folder = tmp_path_factory.mktemp("padded")
    config = replace(make_nano(prepared, folder), vocab_multiple=128)
    assert pretrain.main(config) == 0
    return folder / "runs" / "nano"


def losses(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [x["mlm_loss"] for x in map(json.loads, lines) if "mlm_loss" in x]


def test_a_padded_run_learns_what_one_without_padding_does(padded, nano_run):
    np.testing.assert_allclose(losses(padded), losses(nano_run), rtol=1e-4)
    model, other = read_model(padded), read_model(nano_run)
    assert model.config == other.config
    word, same = (x.params["bert"]["embeddings"]["word"] for x in (model, other))
    np.testing.assert_allclose(word, same, atol=2e-4)


def test_padding_is_neither_trained_nor_loaded_nor_exported(padded, tmp_path):
    params, _, _ = load_params(padded, "newest")
    tokens = read_model(padded).tokenizer.vocab_size
    assert tokens < 256 == len(params["bert"]["embeddings"]["word"]) == len(params["mlm"]["bias"])
    assert not params["mlm"]["bias"][tokens:].any()
    assert params["mlm"]["bias"][:tokens].any()

    assert convert.main(convert.ConvertConfig(str(padded), str(tmp_path / "hf"))) == 0
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["vocab_size"] == tokens
    run, exported = read_model(padded), read_model(tmp_path / "hf")
    jax.tree.map(np.testing.assert_array_equal, run.params, exported.params)
    raw = bert_jax.Model(run._replace(config=replace(run.config, vocab_size=256), params=params))
    expected = [[token for token, _ in mask] for mask in raw.fill_mask(TEXT)]
    for model in (bert_jax.load(padded), bert_jax.load(tmp_path / "hf")):
        assert [[token for token, _ in mask] for mask in model.fill_mask(TEXT)] == expected
        vectors = zip(model.encode(["the cat"]), raw.encode(["the cat"]), strict=True)
        assert all(np.array_equal(*pair) for pair in vectors)


def test_a_padded_run_resumes_and_is_extended_as_itself(padded, prepared, tmp_path):
    config = replace(make_nano(prepared, padded.parent.parent), vocab_multiple=128)
    assert pretrain.main(config) == 0
    longer = replace(make_nano(prepared, tmp_path), extend_from=str(padded))
    with pytest.raises(ConfigError, match=r"model.vocab_size|vocab_multiple"):
        pretrain.main(longer)
    assert pretrain.main(replace(longer, vocab_multiple=128)) == 0


def test_the_size_is_rounded_up_from_tokenizer_encoder_or_configuration(prepared, tmp_path):
    config = replace(make_nano(prepared, tmp_path), vocab_multiple=64)

    def size(*given, of=config):
        return of.with_vocab_size(*given).model.vocab_size

    assert [size(128), size(129), size(100, 129)] == [128, 192, 192]
    assert size(100, of=replace(config, model=replace(config.model, vocab_size=129))) == 192
    assert size(100, of=replace(config, vocab_multiple=1)) == 100
    assert isinstance(config.with_vocab_size(150).with_vocab_size(150).model, BertConfig)
    with pytest.raises(ConfigError, match="vocab_multiple = 0"):
        replace(config, vocab_multiple=0)
