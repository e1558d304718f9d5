"""The device's draw equals the plain loops, given the same random numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import MaskingConfig
from bert_jax.nn.layout import row_layout
from bert_jax.tasks import masking
from bert_jax.tasks.masking import Draws, MaskingRules
from tests.tasks.masking_oracle import mask_row

CLS, SEP, MASK, V = 2, 3, 4, 50
RULES = MaskingRules(MaskingConfig(), V, CLS, SEP, MASK)
CONTINUES = np.arange(V) % 2 == 1  # odd tokens from 5 on go on with a word


def random_rows(rng, num_rows, length, max_sequences):
    """Rows of pairs with random lengths, some without a second segment, some empty."""
    tokens = np.zeros((num_rows, length), np.int32)
    lengths = np.zeros((num_rows, max_sequences, 2), np.int32)
    for b in range(num_rows):
        place = 0
        for j in range(rng.integers(0, max_sequences + 1)):
            a, b_len = int(rng.integers(3, 20)), int(rng.choice([0, rng.integers(2, 20)]))
            if place + a + b_len > length:
                break
            lengths[b, j] = a, b_len
            tokens[b, place : place + a + b_len] = rng.integers(5, V, a + b_len)
            tokens[b, place] = CLS
            tokens[b, [place + a - 1, place + a + b_len - 1]] = SEP
            place += a + b_len
    return tokens, lengths


CONFIGS = [
    MaskingConfig(),
    MaskingConfig(rate=0.4, mask_share=0.5, random_share=0.3),
    MaskingConfig(max_per_sequence=2),
    MaskingConfig(whole_word=True),
    MaskingConfig(whole_word=True, rate=0.35),
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_device_equals_loops(config):
    rng = np.random.default_rng(0)
    tokens, lengths = random_rows(rng, 64, 64, 6)
    rules = dataclasses.replace(RULES, config=config)
    order = rng.integers(0, 2**32, (64, 64), np.uint32)
    draws = Draws(order, rng.random((64, 64), np.float32), rng.integers(0, V, (64, 64), np.int32))
    layout = row_layout(jnp.asarray(lengths), 64)
    counts = masking.masked_counts(64, config)[lengths.sum(axis=-1)]

    def mask(draws, tokens, sequence_ids, counts):
        continues = jnp.asarray(CONTINUES)
        return masking.mask_row(draws, tokens, sequence_ids, counts, rules, continues)

    masked = jax.device_get(jax.jit(jax.vmap(mask))(draws, tokens, layout.sequence_ids, counts))
    num_predicted = 0
    for b in range(64):
        of_row = (draws.order[b], draws.action[b], draws.replacement[b])
        wanted = mask_row(
            tokens[b], lengths[b].sum(-1), (CLS, SEP, MASK), config, of_row, CONTINUES
        )
        real = masked.weights[b] == 1
        n = len(wanted.positions)
        num_predicted += n
        assert real.tolist() == [True] * n + [False] * (len(real) - n)
        assert masked.tokens[b].tolist() == wanted.tokens
        assert masked.positions[b][:n].tolist() == wanted.positions
        assert masked.labels[b][:n].tolist() == wanted.labels
        assert masked.kind[b][:n].tolist() == wanted.kind
        assert not masked.positions[b][n:].any()
    assert num_predicted > 200


def test_one_row_by_hand():
    #                    CLS  a   b  SEP  c   d  SEP  pad
    tokens = np.array([CLS, 10, 11, SEP, 12, 13, SEP, 0])
    order = np.array([0, 9, 1, 0, 8, 2, 0, 0], np.uint32)
    action = np.array([0, 0, 0.95, 0, 0, 0.85, 0, 0], np.float32)
    draws = (order, action, np.full(8, 40))
    config = MaskingConfig(rate=0.3)  # round(0.3 · 7) = 2: the smallest orders, places 2 and 5
    row = mask_row(tokens, np.array([7]), (CLS, SEP, MASK), config, draws)
    assert row.positions == [2, 5]
    assert row.kind == [2, 1]
    assert row.labels == [11, 13]
    assert row.tokens == [CLS, 10, 11, SEP, 12, 40, SEP, 0]


def test_a_word_that_would_be_too_much_is_skipped_not_split():
    tokens = np.array([CLS, 10, 11, 13, 15, SEP, 12, SEP])  # 10 ##11 ##13 ##15, and 12
    order = np.array([0, 1, 0, 0, 0, 0, 5, 0], np.uint32)  # the long word comes first
    draws = (order, np.zeros(8, np.float32), np.zeros(8, int))
    config = MaskingConfig(rate=0.25, whole_word=True)  # 2 predictions
    row = mask_row(tokens, np.array([8]), (CLS, SEP, MASK), config, draws, CONTINUES)
    assert row.positions == [6]
