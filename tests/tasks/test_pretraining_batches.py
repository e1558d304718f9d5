"""Batches as the pretraining objective takes them: counts of a changing rate, labels dropped."""

import numpy as np

from bert_jax.config import BertConfig, LoopConfig, MaskingConfig, OptimizerConfig, PretrainConfig
from bert_jax.tasks.masking import masked_counts
from bert_jax.tasks.pretraining_batches import adapt_batches


def adapted(start=0, **changes):
    """Return two batches of a run of ten steps as the objective takes them."""
    lengths = np.array([[[10, 20], [5, 0]], [[40, 24], [0, 0]]], np.int32)
    batch = {"tokens": np.ones((2, 64), np.int32), "lengths": lengths,
             "is_random_next": np.zeros((2, 2), np.int32)}  # fmt: skip
    config = PretrainConfig("x", BertConfig(), OptimizerConfig(), LoopConfig(10), **changes)
    return batch, list(adapt_batches([batch, batch], config, start))


def test_batches_of_a_constant_rate_are_those_of_the_rows():
    batch, (first, _) = adapted(masking=MaskingConfig(rate=0.3, eval_rate=0.15))
    assert first == batch


def test_a_rate_that_changes_gives_each_step_its_counts_also_when_resumed():
    masking = MaskingConfig(rate=0.4, final_rate=0.1)
    for start in (0, 8):
        for step, batch in enumerate(adapted(start, masking=masking)[1], start):
            of_length = masked_counts(64, masking.at(step, 10))
            assert batch["mask_counts"].tolist() == of_length[[[30, 5], [64, 0]]].tolist()
    assert batch["mask_counts"].tolist() == [[3, 1], [6, 0]]


def test_labels_that_are_not_used_are_dropped_and_segments_stay():
    batch, (first, second) = adapted(nsp=False)
    assert list(first) == list(second) == ["tokens", "lengths"]
    np.testing.assert_array_equal(first["lengths"], batch["lengths"])
