"""Training of a Unigram vocabulary (Kudo 2018, "Subword Regularization", section 3.2).

`tokenizers` has a trainer, but its sums follow the order of a hash map, so two runs on one text
give different vocabularies. Here every number is a function of the text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import digamma

MAX_WORDS = 300_000  # the most frequent words, of which the pieces are estimated
MAX_PIECE = 16  # characters
SHRINK = 0.75  # share of the pieces that a round of pruning keeps
EM_STEPS = 2  # between two prunings
MIN_COUNT = 0.5  # expected; a character that longer pieces replace everywhere keeps this one


class Lattice:
    """All segmentations of some strings into pieces, as edges between positions.

    Args:
        strings: the strings; each of their characters is a piece.
        ids: the pieces, with their numbers.
        whole: True if a string may be one piece by itself.
    """

    def __init__(self, strings: Sequence[str], ids: Mapping[str, int], whole: bool = True):
        sizes = np.fromiter(map(len, strings), np.int64, len(strings))
        self.ends = np.cumsum(sizes + 1) - 1  # node of each string's end
        self.starts = self.ends - sizes
        sources, targets, pieces = [], [], []
        for start, text in zip(self.starts.tolist(), strings, strict=True):
            size = len(text)
            for i in range(size):
                for j in range(i + 1, min(i + MAX_PIECE, size) + 1):
                    piece = ids.get(text[i:j])
                    if piece is not None and (whole or j - i < size):
                        sources.append(start + i)
                        targets.append(start + j)
                        pieces.append(piece)
        self.num_nodes = int(self.ends[-1]) + 1
        self.sources, self.targets, self.pieces = (
            np.array(values, np.int64) for values in (sources, targets, pieces)
        )
        self.position = np.arange(self.num_nodes) - np.repeat(self.starts, sizes + 1)
        self.owner = np.repeat(np.arange(len(strings)), sizes + 1)

    def keep(self, alive: np.ndarray) -> None:
        """Drop the edges of pieces that are not `alive`, a bool for each piece."""
        kept = alive[self.pieces]
        self.sources, self.targets = self.sources[kept], self.targets[kept]
        self.pieces = self.pieces[kept]

    def forward(self, scores: np.ndarray, best: bool = False) -> Float[np.ndarray, "nodes"]:
        """Return log Σ exp, or the best, of the scores of all ways from each string's start."""
        return self._sweep(scores, self.sources, self.targets, self.starts, 1, best)

    def backward(self, scores: np.ndarray) -> Float[np.ndarray, "nodes"]:
        """Return log Σ exp of the scores of all ways to each string's end."""
        return self._sweep(scores, self.targets, self.sources, self.ends, -1, False)

    def expected_counts(self, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return how often each piece occurs, given how often each string does."""
        before, after = self.forward(scores), self.backward(scores)
        owner = self.owner[self.sources]
        log_share = before[self.sources] + scores[self.pieces] + after[self.targets]
        share = np.exp(log_share - before[self.ends][owner]) * counts[owner]
        return np.bincount(self.pieces, share, minlength=len(scores))

    def _sweep(
        self,
        scores: np.ndarray,
        origins: np.ndarray,
        goals: np.ndarray,
        roots: np.ndarray,
        direction: int,
        best: bool,
    ) -> np.ndarray:
        """Reach all nodes from the roots, one position of all strings after the other."""
        values = np.full(self.num_nodes, -np.inf)
        values[roots] = 0.0
        order = np.lexsort((goals, direction * self.position[goals]))
        origins, goals, steps = origins[order], goals[order], scores[self.pieces[order]]
        firsts = np.flatnonzero(np.diff(self.position[goals], prepend=-1))
        reduce = np.maximum.reduceat if best else np.logaddexp.reduceat
        for first, stop in zip(firsts, [*firsts[1:], len(goals)], strict=True):
            goal = goals[first:stop]
            groups = np.flatnonzero(np.diff(goal, prepend=-1))
            ways = values[origins[first:stop]] + steps[first:stop]
            values[goal[groups]] = reduce(ways, groups)
        return values


def train_pieces(words: Counter[str], seed: Sequence[str], size: int) -> list[tuple[str, float]]:
    """Return `size` pieces with their log probabilities: all characters, and the best others.

    Args:
        words: the words of a text with their numbers; each of their characters is in `seed`.
        seed: pieces to choose from.
        size: number of pieces; there are at least the characters of `seed`.
    """
    ids = {piece: index for index, piece in enumerate(seed)}
    frequent = sorted(words, key=lambda word: (-words[word], word))[:MAX_WORDS]
    counts = np.array([words[word] for word in frequent], float)
    is_long = np.array([len(piece) > 1 for piece in seed])
    size = max(size, int((~is_long).sum()))
    text, parts = Lattice(frequent, ids), Lattice(seed, ids, whole=False)
    scores = np.full(len(seed), -np.log(len(seed)))
    alive = np.ones(len(seed), bool)
    expected, scores = _estimate(text, scores, counts, alive)
    while (num_alive := int(alive.sum())) > size:
        kept = max(size, int(SHRINK * num_alive))
        # What the likelihood loses if a piece gives way to the best of its own segmentations.
        loss = expected * (scores - parts.forward(scores, best=True)[parts.ends])
        loss[~is_long] = np.inf
        loss[~alive] = -np.inf
        order = np.argsort(-loss, kind="stable")
        alive[order[kept:]] = False
        text.keep(alive)
        parts.keep(alive)
        expected, scores = _estimate(text, scores, counts, alive)
    pieces = [(piece, round(float(scores[i]), 6)) for i, piece in enumerate(seed) if alive[i]]
    return sorted(pieces, key=lambda piece: (-piece[1], piece[0]))


def _estimate(
    text: Lattice, scores: np.ndarray, counts: np.ndarray, alive: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pieces' expected counts and log probabilities after some steps of EM."""
    expected = counts
    for _ in range(EM_STEPS):
        expected = np.maximum(text.expected_counts(scores, counts), MIN_COUNT)
        # The digamma function prefers few pieces (Liang and Klein 2007, section 3.2.3).
        scores = digamma(expected) - digamma(expected[alive].sum())
    return expected, scores
