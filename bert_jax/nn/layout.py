"""Layout of packed rows: sequence ids, positions and segments, from the sequences' lengths."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped


class RowLayout(NamedTuple):
    """Layout of rows of packed sequences.

    Attributes:
        sequence_ids: 0 = padding, j + 1 = token of sequence j.
        positions: position within the token's sequence, from 0; 0 on padding.
        segment_ids: 1 in the second segment of a pair; 0 in the first, and on padding.
        starts: index of each sequence's first token, [CLS]; arbitrary for a sequence of length 0.
        lengths: tokens of each sequence, special tokens included; 0 = no sequence.
    """

    sequence_ids: Int[Array, "B T"]
    positions: Int[Array, "B T"]
    segment_ids: Int[Array, "B T"]
    starts: Int[Array, "B J"]
    lengths: Int[Array, "B J"]


class SequenceIds(NamedTuple):
    """Ids of the sequences that queries and keys belong to; a query attends to its own sequence.

    Attributes:
        queries: sequence ids of the queries.
        keys: sequence ids of the keys.
    """

    queries: Int[Array, "B T"]
    keys: Int[Array, "B S"]

    @property
    def mask(self) -> Bool[Array, "B 1 T S"]:
        """True where a query attends to a key."""
        return (self.queries[:, :, None] == self.keys[:, None, :])[:, None]


def row_layout(lengths: Int[Array, "B J 2"], length: int) -> RowLayout:
    """Compute the layout of rows from the lengths of their pairs' segments.

    Args:
        lengths: tokens of `[CLS] A [SEP]` and of `B [SEP]`; (0, 0) where there is no pair.
        length: T, tokens in a row, padding included.

    Example:
        `row_layout([[[2, 1], [2, 0]]], 6)` has sequence_ids `1 1 1 2 2 0`, positions
        `0 1 2 0 1 0`, segment_ids `0 0 1 0 0 0`, starts `0 3`.
    """
    totals_BJ = lengths.sum(axis=-1)
    ends_BJ = jnp.cumsum(totals_BJ, axis=-1)
    starts_BJ = ends_BJ - totals_BJ
    t_T = jnp.arange(length, dtype=lengths.dtype)
    ended_BJT = t_T[None, None, :] >= ends_BJ[:, :, None]
    in_second_BJT = (t_T[None, None, :] >= (starts_BJ + lengths[..., 0])[:, :, None]) & ~ended_BJT
    is_token_BT = ~ended_BJT[:, -1, :]
    sequence_ids = jnp.where(is_token_BT, ended_BJT.sum(axis=1, dtype=lengths.dtype) + 1, 0)
    before_BT = (ended_BJT * totals_BJ[:, :, None]).sum(axis=1)
    return RowLayout(
        sequence_ids=sequence_ids,
        positions=jnp.where(is_token_BT, t_T[None, :] - before_BT, 0),
        segment_ids=in_second_BJT.any(axis=1).astype(lengths.dtype),
        starts=jnp.minimum(starts_BJ, length - 1),
        lengths=totals_BJ,
    )


def gather_positions(
    x: Shaped[Array, "B T *rest"], positions: Int[Array, "B P"]
) -> Shaped[Array, "B P *rest"]:
    """Gather the elements at some positions of each row."""
    return jnp.take_along_axis(x, positions.reshape(*positions.shape, *[1] * (x.ndim - 2)), axis=1)


def block_diagonal_mask(sequence_ids: Int[Array, "B T"]) -> Bool[Array, "B 1 T T"]:
    """Return the mask by which tokens attend to their own sequence only (padding to padding)."""
    return SequenceIds(sequence_ids, sequence_ids).mask
