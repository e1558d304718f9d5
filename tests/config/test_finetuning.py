"""Conversion of epochs and shares to steps, against hand-computed values."""

from dataclasses import replace

import pytest

from bert_jax.config import BertConfig, FinetuneConfig
from bert_jax.config.finetuning import fit_to_encoder, loop_config, optimizer_config
from bert_jax.errors import ConfigError


@pytest.mark.parametrize(
    ("epochs", "evals", "steps", "every"),
    [(3, 1, 300, 100), (2.5, 4, 250, 25), (3, 0.5, 300, 200), (0.001, 1000, 1, 1)],
)
def test_epochs_as_steps_with_a_checkpoint_beside_every_evaluation(epochs, evals, steps, every):
    config = FinetuneConfig("regression", "", "", "", epochs=epochs, evals_per_epoch=evals)
    loop = loop_config(config, epoch_steps=100)
    assert (loop.steps, loop.eval_every, loop.checkpoint_every) == (steps, every, every)
    assert loop.log_every == config.log_every


def test_the_warm_up_is_a_share_of_the_steps():
    config = FinetuneConfig("regression", "", "", "", warmup_share=0.06, clip_norm=None)
    config = fit_to_encoder(config, BertConfig(), print)
    optimizer = optimizer_config(config, 250)
    assert (optimizer.name, optimizer.warmup_steps) == ("adamw", 15)
    assert (optimizer.learning_rate, optimizer.weight_decay) == (5e-5, 0.01)
    assert optimizer.clip_norm is None


def test_dropout_of_fine_tuning_replaces_the_encoders_and_none_keeps_it():
    encoder = BertConfig(hidden_dropout_prob=0.0, classifier_dropout=0.3)
    assert encoder.with_dropout(None) == encoder
    changed = encoder.with_dropout(0.2)
    assert (changed.hidden_dropout_prob, changed.head_dropout_prob) == (0.2, 0.2)
    assert changed.attention_probs_dropout_prob == encoder.attention_probs_dropout_prob
    fused = encoder.with_dropout(None, 0.0)
    assert fused == replace(encoder, attention_probs_dropout_prob=0.0) != encoder


@pytest.mark.parametrize("name", ["dropout", "attention_dropout", "word_dropout"])
def test_a_rate_of_dropout_outside_0_to_1_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} = 1.0 is invalid"):
        FinetuneConfig("regression", "", "", "", **{name: 1.0})


@pytest.mark.parametrize(("width", "rate"), [(768, 5e-5), (512, 5e-5), (256, 6e-4)])
def test_the_default_learning_rate_follows_the_encoders_width(width, rate):
    encoder = BertConfig(hidden_size=width, num_attention_heads=4, max_position_embeddings=64)
    log = []
    config = fit_to_encoder(FinetuneConfig("regression", "", "", ""), encoder, log.append)
    assert (config.learning_rate, config.max_length) == (rate, 64)
    assert log == ["max_length = 128 is reduced to the model's 64 positions"]
    given = FinetuneConfig("regression", "", "", "", learning_rate=0.1, max_length=32)
    assert fit_to_encoder(given, encoder, log.append) == given
    assert len(log) == 1


def test_the_loop_profiles_the_steps_asked_for():
    config = FinetuneConfig("regression", "", "", "", profile_steps="10:15")
    assert loop_config(config, 100).steps_to_profile == (10, 15)
    with pytest.raises(ConfigError, match="profile_steps"):
        replace(config, profile_steps="15:10")
