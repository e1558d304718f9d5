"""Masked language modelling's draw, on the device: a function of (seed, epoch, row) alone."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from bert_jax.config import MaskingConfig
from bert_jax.nn.layout import RowLayout


@dataclasses.dataclass(frozen=True)
class MaskingRules:
    """What the draw needs to know; hashable, so it can be a static argument."""

    config: MaskingConfig
    """Rates and options."""
    vocab_size: int
    """V; random tokens come from all of it, special tokens included, as in the original."""
    cls_id: int
    """[CLS], never masked."""
    sep_id: int
    """[SEP], never masked."""
    mask_id: int
    """[MASK]."""


class Draws(NamedTuple):
    """The random numbers of one row; all else follows from them."""

    order: UInt32[Array, "T"]
    """Tokens (or words, by their first token) with the smallest numbers are chosen."""
    action: Float[Array, "T"]
    """Below mask_share: [MASK]; then a random token; then kept."""
    replacement: Int[Array, "T"]
    """The random token."""


class MaskedRow(NamedTuple):
    """A row after masking; the arrays have a leading axis B when rows are masked together."""

    tokens: Int[Array, "*B T"]
    """Tokens with masks and random tokens in place."""
    positions: Int[Array, "*B P"]
    """Predicted positions, ascending; then fillers, 0."""
    labels: Int[Array, "*B P"]
    """The tokens that stood there."""
    weights: Float[Array, "*B P"]
    """1 = predicted, 0 = filler."""
    kind: Int[Array, "*B P"]
    """0 = [MASK], 1 = random token, 2 = kept."""


def masked_counts(length: int, config: MaskingConfig) -> Int[np.ndarray, "N"]:
    """Predictions in a sequence of each length from 0 to T, special tokens counted.

    clip(round(rate · length), 1, max_per_sequence), and 0 for length 0. `round` takes halves to
    the even number, as Python 3 does in the original's code; Python 2, with which the
    published models were made, took them up: 5 instead of 4 at length 30.
    """
    counts = [min(max(1, round(config.rate * n)), max(n - 2, 0)) for n in range(length + 1)]
    return np.minimum(counts, config.max_per_sequence or length).astype(np.int32)


def num_predictions(length: int, num_sequences: int, config: MaskingConfig) -> int:
    """P: no row of T tokens in at most J sequences can have more predictions.

    With g the largest excess of a sequence's count over rate · its length (0.5 by rounding, a
    little more for the shortest sequences, which have one prediction at least), J sequences
    of together T tokens have at most rate · T + g · J.
    """
    counts = masked_counts(length, config)
    excess = float((counts - config.rate * np.arange(length + 1)).max())
    bound = int(np.floor(config.rate * length + excess * num_sequences + 1e-6))
    return max(1, min(bound, int(counts.max()) * num_sequences, length))


def draw(key: PRNGKeyArray, length: int, vocab_size: int) -> Draws:
    """Draws the random numbers of one row, from 32 random bits each.

    The remainder modulo V prefers the first tokens by less than V / 2^32.
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
    place: tuple[Int[Array, "B"], Int[Array, "B"]],
    rules: MaskingRules,
    is_continuation: Bool[Array, "V"] | None = None,
) -> MaskedRow:
    """Masks rows, each with the key fold_in(fold_in(key, epoch), row).

    Args:
        key: `jax.random.key(seed)`, Threefry or Philox: under vmap, these draw for a row what they
            would draw for it alone.
        tokens: token ids.
        layout: `row_layout(lengths, T)`.
        place: epoch and row number of each row.
        rules: rates and special tokens.
        is_continuation: for each token of the vocabulary, whether it goes on with a word ("##…");
            wanted for whole words only.
    """

    def mask_one(tokens, sequence_ids, lengths, epoch, row):
        row_key = jax.random.fold_in(jax.random.fold_in(key, epoch), row)
        draws = draw(row_key, tokens.shape[0], rules.vocab_size)
        return mask_row(draws, tokens, sequence_ids, lengths, rules, is_continuation)

    return jax.vmap(mask_one)(tokens, layout.sequence_ids, layout.lengths, *place)


def mask_row(
    draws: Draws,
    tokens: Int[Array, "T"],
    sequence_ids: Int[Array, "T"],
    lengths: Int[Array, "J"],
    rules: MaskingRules,
    is_continuation: Bool[Array, "V"] | None = None,
) -> MaskedRow:
    """Masks one row with given random numbers; `data.masking.mask_row` does the same in loops."""
    chosen = choose(draws.order, tokens, sequence_ids, lengths, rules, is_continuation)
    num = num_predictions(tokens.shape[0], lengths.shape[0], rules.config)
    return replace(draws, tokens, chosen, num, rules)


def choose(
    order: UInt32[Array, "T"],
    tokens: Int[Array, "T"],
    sequence_ids: Int[Array, "T"],
    lengths: Int[Array, "J"],
    rules: MaskingRules,
    is_continuation: Bool[Array, "V"] | None = None,
) -> Bool[Array, "T"]:
    """Chooses the tokens of one row that are predicted: n_j in each sequence j.

    Candidates are sorted by (sequence, random number); the first n_j of each sequence are chosen.
    """
    length, num_sequences = tokens.shape[0], lengths.shape[0]
    wanted_J = jnp.asarray(masked_counts(length, rules.config))[lengths]
    candidate = (sequence_ids > 0) & (tokens != rules.cls_id) & (tokens != rules.sep_id)
    # Everything that cannot be chosen goes into one more group, at the end, that wants nothing.
    group = jnp.where(candidate, sequence_ids - 1, num_sequences)
    wanted = jnp.append(wanted_J, 0)
    place = jnp.arange(length)
    if rules.config.whole_word:
        assert is_continuation is not None, "whole_word needs is_continuation"
        return _choose_words(order, group, wanted, candidate, is_continuation[tokens])
    group, _, place = jax.lax.sort((group, order, place), num_keys=2)
    first = (group[None, :] < jnp.arange(num_sequences + 1)[:, None]).sum(axis=1)[group]
    chosen = jnp.arange(length) - first < wanted[group]
    return jnp.zeros(length, bool).at[place].set(chosen)


def _choose_words(
    order: UInt32[Array, "T"],
    group: Int[Array, "T"],
    wanted: Int[Array, "G"],
    candidate: Bool[Array, "T"],
    continues: Bool[Array, "T"],
) -> Bool[Array, "T"]:
    """Chooses whole words in random order; a word that would be too much is skipped, not split.

    A word starts at a candidate that continues nothing, or that stands after a special token.
    """
    length = order.shape[0]
    t = jnp.arange(length)
    follows = continues & jnp.append(False, candidate[:-1]) & (group == jnp.roll(group, 1))
    start = jax.lax.cummax(jnp.where(follows, 0, t))
    size = jnp.zeros(length, jnp.int32).at[start].add(1)[start]
    group, _, place = jax.lax.sort((group, order[start], t), num_keys=2)
    # Equal numbers of two words in one sequence (once in 2^32 pairs) would interleave them.
    starts_word, size, wanted = start[place] == place, size[place], wanted[group]
    new_group = jnp.append(True, group[1:] != group[:-1])

    def step(carry, x):
        count, taking = carry
        starts_word, size, wanted, new_group = x
        count = jnp.where(new_group, 0, count)
        fits = count + size <= wanted
        taking = jnp.where(starts_word, fits, taking)
        return (count + jnp.where(starts_word & fits, size, 0), taking), taking

    carry = (jnp.int32(0), jnp.bool_(False))
    _, chosen = jax.lax.scan(step, carry, (starts_word, size, wanted, new_group))
    return jnp.zeros(length, bool).at[place].set(chosen)


def replace(
    draws: Draws, tokens: Int[Array, "T"], chosen: Bool[Array, "T"], num: int, rules: MaskingRules
) -> MaskedRow:
    """Replaces the chosen tokens of one row, and lists them.

    Args:
        draws: the row's random numbers.
        tokens: token ids.
        chosen: which are predicted; at most `num`.
        num: P, places for predictions.
        rules: rates and special tokens.
    """
    length, config = tokens.shape[0], rules.config
    is_random = draws.action < config.mask_share + config.random_share
    kind = jnp.where(draws.action < config.mask_share, 0, jnp.where(is_random, 1, 2))
    by_kind = jnp.stack([jnp.full_like(tokens, rules.mask_id), draws.replacement, tokens])
    masked = jnp.where(chosen, jnp.take_along_axis(by_kind, kind[None], axis=0)[0], tokens)
    places = jnp.sort(jnp.where(chosen, jnp.arange(length), length))[:num]
    is_real = places < length
    positions = jnp.where(is_real, places, 0)
    return MaskedRow(
        tokens=masked,
        positions=positions,
        labels=jnp.where(is_real, tokens[positions], 0),
        weights=is_real.astype(jnp.float32),
        kind=jnp.where(is_real, kind[positions], 0),
    )
