"""Duplicate detection: the share of repeated texts, counted by hash in bounded memory."""

import numpy as np
from jaxtyping import UInt64

MAX_HASHES = 1 << 24  # kept by one counter: 128 MB


class DuplicateCounter:
    """Count duplicates among 64-bit hashes in bounded memory.

    All hashes are kept up to a limit; beyond it, only those of a half, a quarter, … of all possible
    values, which estimates the share of duplicates without bias, because equal texts are kept or
    dropped together.

    Args:
        limit: maximum number of hashes to keep.
    """

    def __init__(self, limit: int = MAX_HASHES):
        self.limit = limit
        self.shift = 0
        self._kept = np.zeros(0, np.uint64)
        self._pending: list[np.ndarray] = []
        self._num_pending = 0

    def add(self, hashes: UInt64[np.ndarray, "n"]) -> None:
        """Add hashes."""
        selected = self._select(hashes)
        self._pending.append(selected)
        self._num_pending += len(selected)
        if self._num_pending > self.limit // 4:
            self._merge_pending()

    def _select(self, hashes: np.ndarray) -> np.ndarray:
        return hashes[hashes & np.uint64((1 << self.shift) - 1) == 0]

    def _merge_pending(self) -> None:
        self._kept = np.concatenate([self._kept, *self._pending])
        self._pending, self._num_pending = [], 0
        while len(self._kept) > self.limit:
            self.shift += 1
            self._kept = self._select(self._kept)

    @property
    def is_estimate(self) -> bool:
        """True once hashes have been dropped, so that the share is an estimate."""
        return self.shift > 0

    def duplicate_share(self) -> float:
        """Return the share of texts that had occurred before; exact unless `is_estimate`."""
        self._merge_pending()
        if not len(self._kept):
            return 0.0
        return 1 - len(np.unique(self._kept)) / len(self._kept)
