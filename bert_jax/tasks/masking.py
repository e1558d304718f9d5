"""Masking for masked language modelling, on the device: a function of (seed, epoch, row) alone."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from bert_jax.config import MaskingConfig
from bert_jax.nn.layout import RowLayout
from bert_jax.tokenizer.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class MaskingRules:
    """Rates and special tokens; hashable, so that it can be a static argument."""

    config: MaskingConfig
    """Rates and options."""
    vocab_size: int
    """V; random tokens come from all of it, special tokens included, as in BERT's code."""
    cls_id: int
    """Id of [CLS], which is never masked."""
    sep_id: int
    """Id of [SEP], which is never masked."""
    mask_id: int
    """Id of [MASK]."""

    @classmethod
    def of(
        cls, config: MaskingConfig, tokenizer: Tokenizer, vocab_size: int | None
    ) -> "MaskingRules":
        """Take the special tokens from a tokenizer; `vocab_size` may count padding entries too."""
        size = vocab_size or tokenizer.vocab_size
        return cls(config, size, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)


class Draws(NamedTuple):
    """Random numbers of one row, which determine its masking."""

    order: UInt32[Array, "T"]
    """Sort key: the tokens (or words, by their first token) with the smallest are chosen."""
    action: Float[Array, "T"]
    """Uniform in [0, 1): below mask_share, [MASK]; then up to random_share more, a random token."""
    replacement: Int[Array, "T"]
    """Random token."""


class MaskedRow(NamedTuple):
    """A row after masking, or several, with a leading axis B."""

    tokens: Int[Array, "*B T"]
    """Tokens, with [MASK] and random tokens substituted."""
    positions: Int[Array, "*B P"]
    """Predicted positions, ascending, padded with 0."""
    labels: Int[Array, "*B P"]
    """Original tokens at these positions."""
    weights: Float[Array, "*B P"]
    """1 = prediction, 0 = padding."""
    kind: Int[Array, "*B P"]
    """0 = [MASK], 1 = random token, 2 = kept."""


def masked_counts(length: int, config: MaskingConfig) -> Int[np.ndarray, "N"]:
    """Return the number of predictions in a sequence of each length from 0 to T.

    clip(round(rate · length), 1, max_per_sequence), and 0 for length 0; lengths include special
    tokens. `round` rounds halves to even, as BERT's code does under Python 3; under Python 2, with
    which the published models were trained, it rounded them up: 5 instead of 4 at length 30.

    Args:
        length: T.
        config: constant rate and limit.
    """
    assert config.final_rate is None, "the rate of a step is needed: config.at(step, steps)"
    counts = [min(max(1, round(config.rate * n)), max(n - 2, 0)) for n in range(length + 1)]
    return np.minimum(counts, config.max_per_sequence or length).astype(np.int32)


def num_predictions(length: int, num_sequences: int, config: MaskingConfig) -> int:
    """Return P, an upper bound on the predictions in a row of T tokens in at most J sequences.

    With g the largest excess of a sequence's count over rate · its length (0.5 by rounding, a
    little more for the shortest sequences, which have at least one prediction), J sequences with
    T tokens in total have at most rate · T + g · J. Where the rate changes, the larger one counts.
    """
    config = config.with_rate(max(config.rate, config.final_rate or 0.0))
    counts = masked_counts(length, config)
    excess = float((counts - config.rate * np.arange(length + 1)).max())
    bound = int(np.floor(config.rate * length + excess * num_sequences + 1e-6))
    return max(1, min(bound, int(counts.max()) * num_sequences, length))


def draw(key: PRNGKeyArray, length: int, vocab_size: int) -> Draws:
    """Draw the random numbers of one row, from 32 random bits each.

    The remainder modulo V favours the first tokens by less than V / 2^32.
    """
    order, action, replacement = jax.random.bits(key, (3, length), jnp.uint32)
    return Draws(
        order=order,
        action=(action >> 8).astype(jnp.float32) * 2.0**-24,
        replacement=(replacement % jnp.uint32(vocab_size)).astype(jnp.int32),
    )


def mask_rows(
    key: PRNGKeyArray,
    tokens: Int[Array, "B T"],
    layout: RowLayout,
    epoch_and_row: tuple[Int[Array, "B"], Int[Array, "B"]],
    rules: MaskingRules,
    is_continuation: Bool[Array, "V"] | None = None,
    counts: Int[Array, "B J"] | None = None,
) -> MaskedRow:
    """Mask rows, each with the key fold_in(fold_in(key, epoch), row).

    Args:
        key: `jax.random.key(seed)`, Threefry or Philox, which draw the same numbers for a row under
            vmap as for the row alone.
        tokens: token ids.
        layout: `row_layout(lengths, T)`.
        epoch_and_row: epoch and index of each row.
        rules: rates and special tokens.
        is_continuation: True for the tokens of the vocabulary that continue a word ("##…"); needed
            for whole-word masking only.
        counts: predictions in each sequence, no more than the larger rate gives; needed where the
            rate changes. None: those of the constant rate.
    """
    if counts is None:
        counts = jnp.asarray(masked_counts(tokens.shape[1], rules.config))[layout.lengths]

    def mask_one(tokens, sequence_ids, counts, epoch, row):
        row_key = jax.random.fold_in(jax.random.fold_in(key, epoch), row)
        draws = draw(row_key, tokens.shape[0], rules.vocab_size)
        return mask_row(draws, tokens, sequence_ids, counts, rules, is_continuation)

    return jax.vmap(mask_one)(tokens, layout.sequence_ids, counts, *epoch_and_row)


def mask_row(
    draws: Draws,
    tokens: Int[Array, "T"],
    sequence_ids: Int[Array, "T"],
    counts: Int[Array, "J"],
    rules: MaskingRules,
    is_continuation: Bool[Array, "V"] | None = None,
) -> MaskedRow:
    """Mask one row with given random numbers, `counts` tokens of its sequences."""
    chosen = choose_predictions(draws.order, tokens, sequence_ids, counts, rules, is_continuation)
    num = num_predictions(tokens.shape[0], counts.shape[0], rules.config)
    return apply_masking(draws, tokens, chosen, num, rules)


def choose_predictions(
    order: UInt32[Array, "T"],
    tokens: Int[Array, "T"],
    sequence_ids: Int[Array, "T"],
    counts: Int[Array, "J"],
    rules: MaskingRules,
    is_continuation: Bool[Array, "V"] | None = None,
) -> Bool[Array, "T"]:
    """Choose the tokens of one row that are predicted: counts[j] in sequence j.

    Candidates are sorted by (sequence, random number); the first of each sequence are chosen.
    """
    length, num_sequences = tokens.shape[0], counts.shape[0]
    candidate = (sequence_ids > 0) & (tokens != rules.cls_id) & (tokens != rules.sep_id)
    # Tokens that cannot be chosen form one more group, at the end, with a count of 0.
    group = jnp.where(candidate, sequence_ids - 1, num_sequences)
    counts = jnp.append(counts, 0)
    positions = jnp.arange(length)
    if rules.config.whole_word:
        assert is_continuation is not None, "whole_word needs is_continuation"
        return _choose_words(order, group, counts, candidate, is_continuation[tokens])
    group, _, positions = jax.lax.sort((group, order, positions), num_keys=2)
    first = (group[None, :] < jnp.arange(num_sequences + 1)[:, None]).sum(axis=1)[group]
    chosen = jnp.arange(length) - first < counts[group]
    return jnp.zeros(length, bool).at[positions].set(chosen)


def _choose_words(
    order: UInt32[Array, "T"],
    group: Int[Array, "T"],
    counts: Int[Array, "G"],
    candidate: Bool[Array, "T"],
    continues: Bool[Array, "T"],
) -> Bool[Array, "T"]:
    """Choose whole words in random order; a word that exceeds the count is skipped, not split.

    A word starts at a candidate that is no continuation, or that follows a special token.
    """
    length = order.shape[0]
    t = jnp.arange(length)
    follows = continues & jnp.append(False, candidate[:-1]) & (group == jnp.roll(group, 1))
    start = jax.lax.cummax(jnp.where(follows, 0, t))
    size = jnp.zeros(length, jnp.int32).at[start].add(1)[start]
    group, _, positions = jax.lax.sort((group, order[start], t), num_keys=2)
    # Equal numbers of two words in one sequence (once in 2^32 pairs) would interleave them.
    starts_word, size = start[positions] == positions, size[positions]
    new_group = jnp.append(True, group[1:] != group[:-1])

    def step(carry, x):
        chosen_size, taking = carry
        starts_word, size, count, new_group = x
        chosen_size = jnp.where(new_group, 0, chosen_size)
        fits = chosen_size + size <= count
        taking = jnp.where(starts_word, fits, taking)
        return (chosen_size + jnp.where(starts_word & fits, size, 0), taking), taking

    carry = (jnp.int32(0), jnp.bool_(False))
    _, chosen = jax.lax.scan(step, carry, (starts_word, size, counts[group], new_group))
    return jnp.zeros(length, bool).at[positions].set(chosen)


def apply_masking(
    draws: Draws, tokens: Int[Array, "T"], chosen: Bool[Array, "T"], num: int, rules: MaskingRules
) -> MaskedRow:
    """Replace the chosen tokens of one row, and gather their positions and labels.

    Args:
        draws: random numbers of the row.
        tokens: token ids.
        chosen: True for the tokens to predict; at most `num`.
        num: P.
        rules: rates and special tokens.
    """
    length, config = tokens.shape[0], rules.config
    is_random = draws.action < config.mask_share + config.random_share
    kind = jnp.where(draws.action < config.mask_share, 0, jnp.where(is_random, 1, 2))
    by_kind = jnp.stack([jnp.full_like(tokens, rules.mask_id), draws.replacement, tokens])
    masked = jnp.where(chosen, jnp.take_along_axis(by_kind, kind[None], axis=0)[0], tokens)
    positions = jnp.sort(jnp.where(chosen, jnp.arange(length), length))[:num]
    is_real = positions < length
    positions = jnp.where(is_real, positions, 0)
    return MaskedRow(
        tokens=masked,
        positions=positions,
        labels=jnp.where(is_real, tokens[positions], 0),
        weights=is_real.astype(jnp.float32),
        kind=jnp.where(is_real, kind[positions], 0),
    )
