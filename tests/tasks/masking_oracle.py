"""Masking in plain loops: what the device's draw must equal, given the same random numbers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from bert_jax.config import MaskingConfig


class OracleRow(NamedTuple):
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
) -> OracleRow:
    """Mask one row as `create_masked_lm_predictions` of the original masks one example.

    Args:
        tokens: token ids.
        lengths: tokens of each sequence, special tokens included; 0 = no sequence.
        special: ids of [CLS], [SEP] and [MASK].
        config: rates and options.
        draws: order, action and replacement, as `tasks.masking.Draws` describes them.
        is_continuation: pieces that continue a word, for whole-word masking.
    """
    order, action, replacement = draws
    cls_id, sep_id, mask_id = special
    masked, chosen = [int(token) for token in tokens], []
    start = 0
    for length in (int(n) for n in lengths):
        words: list[list[int]] = []
        for position in range(start, start + length):
            if tokens[position] in (cls_id, sep_id):
                continue
            continues_word = config.whole_word and position - 1 in (words[-1] if words else [])
            if continues_word and is_continuation is not None and is_continuation[tokens[position]]:
                words[-1].append(position)
            else:
                words.append([position])
        wanted = max(1, round(config.rate * length)) if length else 0
        wanted = min(wanted, config.max_per_sequence or wanted)
        taken: list[int] = []
        for word in sorted(words, key=lambda word: order[word[0]]):
            if len(taken) + len(word) <= wanted:
                taken += word
        chosen += sorted(taken)
        start += length
    kinds = []
    for position in chosen:
        # float32, as on the device
        if action[position] < np.float32(config.mask_share):
            kinds.append(0)
            masked[position] = mask_id
        elif action[position] < np.float32(config.mask_share + config.random_share):
            kinds.append(1)
            masked[position] = int(replacement[position])
        else:
            kinds.append(2)
    return OracleRow(masked, chosen, [int(tokens[position]) for position in chosen], kinds)
