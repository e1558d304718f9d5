"""Conversion of epochs and shares to steps, against hand-computed values."""

import pytest

from bert_jax.config import FinetuneConfig
from bert_jax.config.finetuning import loop_config, optimizer_config


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
    optimizer = optimizer_config(config, 250)
    assert (optimizer.name, optimizer.warmup_steps) == ("adamw", 15)
    assert (optimizer.learning_rate, optimizer.weight_decay) == (5e-5, 0.01)
    assert optimizer.clip_norm is None
