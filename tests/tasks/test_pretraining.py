"""Baselines of pretraining, and the warning of a loss that is no better than they are."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import MaskingConfig
from bert_jax.errors import ConfigError
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.tasks.losses import cross_entropy
from bert_jax.tasks.pretraining import (
    Baselines,
    hide_padding,
    make_pretraining_objectives,
    mean_metrics,
)
from bert_jax.tokenizer.tokenizer import Tokenizer
from tests.nano import make_nano

BASELINES = Baselines(unigram_loss=5.0, nsp_majority={32: 0.6, 64: 0.52})


@pytest.mark.parametrize(
    ("loss", "progress", "said"),
    [
        (5.0, 0.5, "still on the unigram plateau"),
        (4.86, 0.1, "still on the unigram plateau"),
        (5.14, 0.5, "has learned word frequencies"),
        (5.16, 0.5, "above that of a unigram model"),
        (6.0, 1.0, "predicts worse than word frequencies"),
        (4.84, 0.5, None),
        (6.0, 0.09, None),
        (float("nan"), 0.5, None),
    ],
)
def test_a_loss_on_or_above_the_unigram_plateau_is_reported_after_a_tenth_of_the_run(
    loss, progress, said
):
    warning = BASELINES.plateau_warning({"mlm_loss": loss}, progress)
    assert (warning is not None) == (said is not None)
    if warning:
        assert said in warning
        assert f"after {progress:.0%} of the run the held-out MLM loss {loss:.3f} is" in warning
        assert "(5.000)" in warning
        assert "longer warm-up" not in warning


def test_during_the_warm_up_the_plateau_is_no_reason_to_change_it():
    warning = BASELINES.plateau_warning({"mlm_loss": 5.0}, 0.5, warming_up=True)
    assert warning.endswith("The warm-up is not over: the learning rate is still below its peak.")


def test_perplexity_stands_beside_the_mlm_loss():
    sums = {"mlm_loss": (np.log(8.0) * 10, 10), "nsp_loss": (6.0, 12), "unseen": (0.0, 0)}
    means = mean_metrics(sums)
    assert means["mlm_perplexity"] == pytest.approx(8.0)
    assert means["loss"] == pytest.approx(np.log(8.0) + 0.5)
    assert "unseen" not in means
    assert mean_metrics({**sums, "mlm_loss": (1e6, 1)})["mlm_perplexity"] > 1e300


def test_each_loss_is_drawn_with_a_baseline_of_its_own():
    mlm, nsp = BASELINES.panels
    assert (mlm.key, mlm.baselines) == ("mlm_loss", {"unigram model": 5.0})
    p, q = 0.52, 0.48
    assert nsp.baselines == {
        "label frequencies (T=64)": pytest.approx(-p * np.log(p) - q * np.log(q))
    }
    assert Baselines(5.0, {32: 1.0}).panels[1].baselines == {"label frequencies (T=32)": 0.0}


def test_a_constant_label_is_warned_of():
    assert BASELINES.label_warnings() == []
    (warning,) = Baselines(5.0, {32: 1.0, 64: 0.52}).label_warnings()
    assert "100% of the NSP labels at T=32 are the same" in warning


def test_without_nsp_there_is_no_baseline_of_it():
    baselines = Baselines(5.0, {})
    assert str(baselines) == "baselines: MLM loss 5.000 (unigram model); no NSP"
    assert [panel.key for panel in baselines.panels] == ["mlm_loss"]
    assert mean_metrics({"mlm_loss": (np.float32(6), np.float32(3))})["loss"] == 2


def test_baselines_are_printed_for_every_length():
    assert str(BASELINES) == (
        "baselines: MLM loss 5.000 (unigram model), "
        "NSP accuracy 0.600 (T=32), 0.520 (T=64) (majority class)"
    )


def test_padding_of_the_vocabulary_has_no_probability_and_no_gradient():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 12))
    padded = logits.at[:, :, 10:].set(50.0)
    labels = jnp.zeros((2, 3), int)

    def loss(logits):
        return cross_entropy(hide_padding(logits, 10), labels).sum()

    value, gradient = jax.value_and_grad(loss)(padded)
    expected, of_tokens = jax.value_and_grad(loss)(logits[..., :10])
    assert value == expected
    np.testing.assert_array_equal(gradient[..., :10], of_tokens)
    assert not gradient[..., 10:].any()
    assert hide_padding(logits, 12) is logits


def test_whole_words_need_tokens_that_tell_where_words_start(tmp_path, vocab):
    tokenizer = Tokenizer(vocab)
    tokenizer.marks_words = False
    config = replace(make_nano(tmp_path, tmp_path), masking=MaskingConfig(whole_word=True))
    with pytest.raises(ConfigError, match="whole_word with a tokenizer of WordPiece, cased"):
        make_pretraining_objectives(config, tokenizer, None, jax.random.key(0), DEFAULT_EXECUTION)
