import itertools
from collections import Counter

import numpy as np

from bert_jax.tokenizer.unigram import Lattice, train_pieces

IDS = {"a": 0, "b": 1, "ab": 2, "ba": 3, "aba": 4}
SCORES = np.log([0.3, 0.2, 0.25, 0.15, 0.1])


def segmentations(text: str) -> list[tuple[str, ...]]:
    """Return all ways to cut a text into pieces."""
    found = []
    for cuts in itertools.product([False, True], repeat=len(text) - 1):
        ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [len(text)]
        parts = tuple(text[a:b] for a, b in zip([0, *ends], ends, strict=False))
        if all(part in IDS for part in parts):
            found.append(parts)
    return found


def test_sums_and_expected_counts_are_those_of_all_segmentations():
    texts, counts = ["abab", "b", "aabba"], np.array([3.0, 1.0, 2.0])
    lattice = Lattice(texts, IDS)
    expected, sums, best = np.zeros(5), [], []
    for text, count in zip(texts, counts, strict=True):
        ways = segmentations(text)
        scores = [sum(SCORES[IDS[part]] for part in way) for way in ways]
        sums.append(np.logaddexp.reduce(scores))
        best.append(max(scores))
        for way, score in zip(ways, scores, strict=True):
            for part in way:
                expected[IDS[part]] += count * np.exp(score - sums[-1])
    np.testing.assert_allclose(lattice.forward(SCORES)[lattice.ends], sums, rtol=1e-12)
    np.testing.assert_allclose(lattice.backward(SCORES)[lattice.starts], sums, rtol=1e-12)
    np.testing.assert_allclose(lattice.forward(SCORES, True)[lattice.ends], best, rtol=1e-12)
    np.testing.assert_allclose(lattice.expected_counts(SCORES, counts), expected, rtol=1e-12)


def test_a_string_is_no_segmentation_of_itself_where_that_is_asked():
    lattice = Lattice(["aba"], IDS, whole=False)
    best = max(SCORES[2] + SCORES[0], SCORES[0] + SCORES[3])
    np.testing.assert_allclose(lattice.forward(SCORES, True)[lattice.ends], [best])


def test_characters_stay_and_frequent_pieces_are_chosen():
    words = Counter({"▁the": 50, "▁then": 20, "▁hat": 1, "▁ten": 1})
    seed = ["▁", "t", "h", "e", "n", "a", "▁the", "at", "▁then", "he", "en", "ha"]
    pieces = dict(train_pieces(words, seed, 8))
    assert {*pieces} == {*"▁thena", "▁the", "▁then"}
    assert max(pieces, key=pieces.__getitem__) == "▁the"
    assert [*pieces.values()] == sorted(pieces.values(), reverse=True)
