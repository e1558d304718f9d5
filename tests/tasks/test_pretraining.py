"""Baselines that make pretraining's losses readable, and the warning of a loss on the plateau."""

import pytest

from bert_jax.tasks.pretraining import Baselines

BASELINES = Baselines(unigram_loss=5.0, nsp_majority={32: 0.6, 64: 0.52})


@pytest.mark.parametrize(
    ("loss", "progress", "warned"),
    [(5.0, 0.5, True), (4.86, 0.1, True), (4.84, 0.5, False), (5.0, 0.09, False), (6.0, 1.0, True)],
)
def test_a_loss_on_the_unigram_plateau_is_reported_after_a_tenth_of_the_run(loss, progress, warned):
    warning = BASELINES.plateau_warning({"mlm_loss": loss}, progress)
    assert (warning is not None) == warned
    if warning:
        assert f"after {progress:.0%} of the run" in warning
        assert "unigram plateau (5.000)" in warning


def test_baselines_are_printed_for_every_length():
    assert str(BASELINES) == (
        "baselines: MLM loss 5.000 (unigram model), "
        "NSP accuracy 0.600 (T=32), 0.520 (T=64) (majority class)"
    )
