"""Baselines that make pretraining's losses readable, and the advice that they give."""

import pytest

from bert_jax.tasks.pretraining import Baselines

BASELINES = Baselines(unigram_loss=5.0, nsp_majority={32: 0.6, 64: 0.52})


@pytest.mark.parametrize(
    ("loss", "progress", "warned"),
    [(5.0, 0.5, True), (4.86, 0.1, True), (4.84, 0.5, False), (5.0, 0.09, False), (6.0, 1.0, True)],
)
def test_a_loss_on_the_unigram_plateau_is_said_after_a_tenth_of_the_run(loss, progress, warned):
    said = BASELINES.advice({"mlm_loss": loss}, progress)
    assert (said is not None) == warned
    if said:
        assert f"after {progress:.0%} of the run" in said
        assert "unigram plateau (5.000)" in said


def test_baselines_are_said_for_every_length():
    assert str(BASELINES) == (
        "baselines: MLM loss 5.000 by word frequencies alone, "
        "NSP accuracy 0.600 (T=32), 0.520 (T=64) by always guessing the majority"
    )
