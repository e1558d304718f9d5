"""pretrain.py with word embeddings that start as PPMI vectors: start, resuming, refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import pretrain
from bert_jax.config import OptimizerConfig, Phase
from bert_jax.corpus.ppmi import embed_pieces
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import ConfigError
from bert_jax.tasks import starting
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.step import TrainState
from tests.nano import make_nano
from tests.test_pretrain import assert_same_bits, final_state, stop_after

NAME = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def config(prepared, tmp_path):
    return replace(make_nano(prepared, tmp_path), embedding_start="ppmi")


def folder(config) -> Path:
    return Path(config.runs_dir) / config.name


def test_a_run_starts_at_the_vectors_in_its_file(config):
    still = OptimizerConfig(learning_rate=1e-12, warmup_steps=0, weight_decay=0.0)
    one = replace(
        config, optimizer=still, phases=(Phase(32, 16),), loop=replace(config.loop, steps=1)
    )
    assert pretrain.main(one) == 0
    started = load_file(folder(one) / starting.START_FILE)[NAME]
    word = load_params(folder(one))[0]["bert"]["embeddings"]["word"]
    np.testing.assert_allclose(word, started, rtol=0, atol=1e-9)
    random = replace(one, embedding_start="random", name="random")
    assert pretrain.main(random) == 0
    assert not (folder(random) / starting.START_FILE).exists()
    others = load_params(folder(random))[0]
    same = (word == others["bert"]["embeddings"]["word"]).all(axis=1)
    data = PreparedData(config.data)
    made = embed_pieces(data.rows(32), data.tokenizer, len(word), word.shape[1])
    np.testing.assert_array_equal(~same, made.known)
    assert made.known.any()
    assert same[[data.tokenizer.vocab.index(token) for token in SPECIAL_TOKENS]].all()
    assert np.isclose(word.std(), others["bert"]["embeddings"]["word"].std(), rtol=0.05)
    assert "word embeddings start as PPMI vectors: " in (folder(one) / "train.log").read_text()


def test_resuming_reads_the_checkpoint_not_the_rows(config, monkeypatch):
    whole = replace(config, name="whole")
    assert pretrain.main(whole) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert pretrain.main(config) == 75
    (folder(config) / starting.START_FILE).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(starting, "embed_pieces", None)
        assert pretrain.main(config) == 0
    assert_same_bits(final_state(config), final_state(whole))
    with pytest.raises(ConfigError, match=r'embedding_start \(saved "ppmi", given "random"\)'):
        pretrain.main(replace(config, embedding_start="random"))


def test_a_run_of_an_older_version_counts_as_random(nano_run, prepared, tmp_path):
    config = make_nano(prepared, tmp_path)
    config = replace(config, runs_dir=str(nano_run.parent), embedding_start="ppmi")
    with pytest.raises(ConfigError, match=r'embedding_start \(saved "random", given "ppmi"\)'):
        pretrain.main(config)


@pytest.mark.parametrize("option", ["encoder", "extend_from"])
def test_weights_of_another_model_stay(config, option, monkeypatch):
    monkeypatch.setattr(starting, "embed_pieces", None)
    state = TrainState(*range(len(TrainState._fields)))
    config = replace(config, **{option: "runs/other"})
    assert starting.start_embeddings(state, config, None, None, None) is state
