"""Shuffling by formula: the permutation of an epoch is computed, not stored."""

import numpy as np
from jaxtyping import Int

ROUNDS = 8


def permute(
    positions: Int[np.ndarray, "n"], size: int, seed: int, epoch: int
) -> Int[np.ndarray, "n"]:
    """Return the values at these positions of a pseudo-random permutation of 0 … size−1.

    A Feistel network over Z_a × Z_b with a·b just above `size`, applied again until the value is
    below `size` (cycle walking, Black and Rogaway 2002): every position of an epoch of any size
    costs the same, nothing is stored, and the order never changes between versions of NumPy.

    Args:
        positions: positions in the permutation, 0 … size−1.
        size: length of the permutation.
        seed: seed of the order.
        epoch: number of the epoch; each has its own permutation.
    """
    a = int(np.ceil(np.sqrt(size)))
    b = -(-size // a)
    keys = np.random.SeedSequence([seed, epoch]).generate_state(ROUNDS, np.uint64)
    values = np.array(positions, np.uint64)
    outside = np.arange(len(values))
    while outside.size:
        left, right = values[outside] // np.uint64(b), values[outside] % np.uint64(b)
        for first, second in keys.reshape(-1, 2):
            left = (left + _mix(right, first) % np.uint64(a)) % np.uint64(a)
            right = (right + _mix(left, second) % np.uint64(b)) % np.uint64(b)
        values[outside] = left * np.uint64(b) + right
        outside = outside[values[outside] >= size]
    return values.astype(np.int64)


def _mix(values: np.ndarray, key: np.uint64) -> np.ndarray:
    """Mix values with a key by SplitMix64's finalizer."""
    mixed = (values ^ key) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
