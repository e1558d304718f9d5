"""Random packed pretraining batches with uneven numbers of tokens and pairs, for tests."""

import numpy as np


def random_batch(num_rows, length, num_pairs, vocab_size, seed=0):
    """Return a batch as `corpus.loader` yields it; some rows are nearly empty, one is filler."""
    rng = np.random.default_rng(seed)
    tokens = np.zeros((num_rows, length), np.int32)
    lengths = np.zeros((num_rows, num_pairs, 2), np.int32)
    for row in range(num_rows - 1):
        start = 0
        for pair in range(rng.integers(1, num_pairs + 1)):
            a, b = rng.integers(4, length // num_pairs, 2) // 2 + 1
            lengths[row, pair] = a, b
            text = rng.integers(5, vocab_size, a + b)
            text[[0, a - 1, a + b - 1]] = 2, 3, 3
            tokens[row, start : start + a + b] = text
            start += a + b
    labels = rng.integers(0, 2, (num_rows, num_pairs)).astype(np.int32)
    row = np.arange(num_rows, dtype=np.int32)
    row[-1] = -1
    return {
        "tokens": tokens,
        "lengths": lengths,
        "is_random_next": labels * (lengths[..., 0] > 0),
        "row": row,
        "epoch": np.zeros(num_rows, np.int32),
    }
