"""Masking in plain loops: what the device's draw must equal, given the same random numbers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from bert_jax.config import MaskingConfig


class MaskedRow(NamedTuple):
    """A row after masking, without fillers."""

    tokens: list[int]
    positions: list[int]
    labels: list[int]
    kind: list[int]


def mask_row(
    tokens: Int[np.ndarray, "T"],
    lengths: Int[np.ndarray, "J"],
    special: tuple[int, int, int],
    config: MaskingConfig,
    draws: tuple[UInt32[np.ndarray, "T"], Float[np.ndarray, "T"], Int[np.ndarray, "T"]],
    is_continuation: Bool[np.ndarray, "V"] | None = None,
) -> MaskedRow:
    """Masks one row as `create_masked_lm_predictions` of the original masks one example.

    Args:
        tokens: token ids.
        lengths: tokens of each sequence, special tokens included; 0 = no sequence.
        special: ids of [CLS], [SEP] and [MASK].
        config: rates and options.
        draws: order, action and replacement, as `training.masking.Draws` describes them.
        is_continuation: pieces that go on with a word, for whole words.
    """
    order, action, replacement = draws
    cls_id, sep_id, mask_id = special
    masked, chosen = [int(token) for token in tokens], []
    start = 0
    for length in (int(n) for n in lengths):
        words: list[list[int]] = []
        for place in range(start, start + length):
            if tokens[place] in (cls_id, sep_id):
                continue
            goes_on = config.whole_word and place - 1 in (words[-1] if words else [])
            if goes_on and is_continuation is not None and is_continuation[tokens[place]]:
                words[-1].append(place)
            else:
                words.append([place])
        wanted = max(1, round(config.rate * length)) if length else 0
        wanted = min(wanted, config.max_per_sequence or wanted)
        taken: list[int] = []
        for word in sorted(words, key=lambda word: order[word[0]]):
            if len(taken) + len(word) <= wanted:
                taken += word
        chosen += sorted(taken)
        start += length
    kinds = []
    for place in chosen:
        # float32, as on the device
        if action[place] < np.float32(config.mask_share):
            kinds.append(0)
            masked[place] = mask_id
        elif action[place] < np.float32(config.mask_share + config.random_share):
            kinds.append(1)
            masked[place] = int(replacement[place])
        else:
            kinds.append(2)
    return MaskedRow(masked, chosen, [int(tokens[place]) for place in chosen], kinds)
