import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.corpus.pairs import (
    Document,
    cut_long_sentences,
    draw_other_document,
    make_pairs,
    make_sequences,
    truncate,
)


class Scripted(random.Random):
    """Random numbers from a list for random(), and all ones for getrandbits()."""

    def __init__(self, *draws: float):
        super().__init__(0)
        self.draws = list(draws)

    def random(self) -> float:
        return self.draws.pop(0)

    def getrandbits(self, k: int) -> int:
        return (1 << k) - 1


def documents(*sizes: list[int]) -> list[Document]:
    """Return adjacent documents with sentences of these sizes."""
    result, start = [], 0
    for identity, sentence_sizes in enumerate(sizes):
        bounds = [start, *(start + np.cumsum(sentence_sizes)).tolist()]
        result.append(Document(identity, bounds))
        start = bounds[-1]
    return result


def test_an_actual_next_sentence_by_hand():
    # target 10; the chunk is all three sentences (9 < 10); a_end = 1 + int(.9 * 2) = 2; .5 → actual
    docs = documents([3, 3, 3], [4])
    (pair,) = make_pairs(docs, 0, 10, 0.1, Scripted(0.1, 0.9, 0.5))
    assert pair == (0, 6, 6, 9, 0, 0, 0)


def test_a_random_next_sentence_puts_unused_ones_back_by_hand():
    # first chunk: both sentences (8 tokens); A = the first; .4 → random; document 1, sentence 1 on,
    # until 8 - 4 = 4 tokens are there. Sentence 1 comes back: alone, so random without a draw.
    docs = documents([4, 4], [9, 2, 2, 2])
    rng = Scripted(0.9, 0.0, 0.4, 0.99, 0.25, 0.99, 0.0)
    first, second = make_pairs(docs, 0, 8, 0.1, rng)
    assert first == (0, 4, 17, 21, 1, 0, 1)
    # all ones: tokens come off the front; A 4 + B 9 - 8 = 5 off the longer B
    assert second == (4, 8, 13, 17, 1, 0, 1)
    assert not rng.draws


def test_a_short_target_is_drawn_once_for_the_document():
    # .05 < .1: target 2 + int(.0 * 19) = 2, so every chunk is one sentence
    docs = documents([3, 3, 3], [1, 1])
    pairs = make_pairs(docs, 0, 20, 0.1, Scripted(0.05, 0.0, *[0.6, 0.0] * 3))
    assert [p[:2] for p in pairs] == [(0, 3), (3, 6), (6, 9)]
    assert [p[2:4] for p in pairs] == [(9, 10)] * 3


@pytest.mark.parametrize(
    ("a", "b", "max_tokens", "expected"),
    [
        (10, 4, 12, (8, 4)),  # the longer loses
        (4, 10, 12, (4, 8)),
        (6, 6, 11, (6, 5)),  # B where they are equal
        (6, 6, 9, (5, 4)),
        (10, 4, 7, (4, 3)),  # down to equal, then B first
        (1, 9, 2, (1, 1)),
    ],
)
def test_truncation_lengths_by_hand(a, b, max_tokens, expected):
    a_start, a_end, b_start, b_end = truncate(0, a, 100, 100 + b, max_tokens, random.Random(0))
    assert (a_end - a_start, b_end - b_start) == expected
    assert a_start >= 0
    assert a_end <= a
    assert b_start >= 100
    assert b_end <= 100 + b


def test_a_random_next_document_never_is_a_duplicate():
    docs = [Document(7, [0, 1]), Document(7, [1, 2]), Document(8, [2, 3]), Document(7, [3, 4])]
    rng = random.Random(0)
    for index in (0, 1, 3):
        assert {draw_other_document(docs, index, rng) for _ in range(50)} == {2}
    assert draw_other_document(docs, 0, Scripted(*[0.9] * 10)) == 2  # ten misses, then the next one


def test_sentences_that_fit_are_not_cut():
    (document,) = documents([16, 3, 16])
    assert cut_long_sentences(document, 16, np.arange(35)) is document


def test_a_long_sentence_is_cut_where_words_start_by_hand():
    """Pieces of an eighth of 32 tokens, 4; words of three tokens start at 0, 3, 6, …"""
    (document,) = documents([6, 36, 5])
    words = np.arange(47) // 3 * 3
    cut = cut_long_sentences(document, 32, words)
    # 36 tokens from 6 on, 9 pieces: 10, 14, 18 … back to the starts of words
    assert cut == Document(0, [0, 6, 9, 12, 18, 21, 24, 30, 33, 36, 42, 47])


def test_one_endless_word_is_cut_anywhere():
    (document,) = documents([33])
    cut = cut_long_sentences(document, 32, np.zeros(33, int))
    assert cut.bounds == [0, 3, 7, 11, 14, 18, 22, 25, 29, 33]


@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    max_tokens=st.integers(13, 60),
    word=st.integers(1, 70),
)
def test_pieces_fit_and_cover_the_sentences(sizes, max_tokens, word):
    (document,) = documents(sizes)
    starts = np.arange(sum(sizes)) // word * word
    bounds = cut_long_sentences(document, max_tokens, starts).bounds
    assert set(document.bounds) <= set(bounds)
    assert bounds == sorted(set(bounds))
    assert max(np.diff(bounds)) <= max_tokens


def test_unpunctuated_text_has_actual_next_sentences_and_loses_little():
    docs = documents(*[[2000]] * 10)
    docs = [cut_long_sentences(d, 125, np.arange(20_000)) for d in docs]
    rng = random.Random(0)
    pairs = [p for index in range(10) for p in make_pairs(docs, index, 125, 0.0, rng)]
    kept = sum(p.a_end - p.a_start + (p.b_end - p.b_start) * (not p.is_random_next) for p in pairs)
    assert kept > 0.85 * 20_000
    assert 0.4 < np.mean([p.is_random_next for p in pairs]) < 0.6


def test_sequences_are_whole_sentences_in_a_row_by_hand():
    docs = documents([1], [3, 4, 5, 2, 10, 1])
    pairs = make_sequences(docs, 1, 10, 0.1, Scripted(0.1))
    assert [p[:4] for p in pairs] == [(1, 8, 8, 8), (8, 15, 15, 15), (15, 25, 25, 25),
                                      (25, 26, 26, 26)]  # fmt: skip
    assert {p[4:] for p in pairs} == {(0, 1, 1)}
    # .05 < .1: target 2 + int(.5 * 9) = 6; a sentence that is longer stands alone
    pairs = make_sequences(docs, 1, 10, 0.1, Scripted(0.05, 0.5))
    assert [p[:2] for p in pairs] == [(1, 4), (4, 8), (8, 13), (13, 15), (15, 25), (25, 26)]


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=40), seed=st.integers(0, 2**32))
def test_sequences_cover_the_document_once(sizes, seed):
    (document,) = documents(sizes)
    pairs = make_sequences([document], 0, 30, 0.5, random.Random(seed))
    assert [p.a_start for p in pairs] + [sum(sizes)] == [0] + [p.a_end for p in pairs]
    assert all(p.a_end - p.a_start <= 30 for p in pairs)
    assert {p.a_end for p in pairs} <= set(document.bounds)


# --- The original, word for word but for names, on lists of tokens ------------------------------


def original_pairs(all_documents, document_index, max_num_tokens, short_seq_prob, rng):
    document = all_documents[document_index]
    target_seq_length = max_num_tokens
    if rng.random() < short_seq_prob:
        target_seq_length = rng.randint(2, max_num_tokens)
    instances = []
    current_chunk = []
    current_length = 0
    i = 0
    while i < len(document):
        segment = document[i]
        current_chunk.append(segment)
        current_length += len(segment)
        if i == len(document) - 1 or current_length >= target_seq_length:
            if current_chunk:
                a_end = 1
                if len(current_chunk) >= 2:
                    a_end = rng.randint(1, len(current_chunk) - 1)
                tokens_a = []
                for j in range(a_end):
                    tokens_a.extend(current_chunk[j])
                tokens_b = []
                if len(current_chunk) == 1 or rng.random() < 0.5:
                    is_random_next = True
                    target_b_length = target_seq_length - len(tokens_a)
                    for _ in range(10):
                        random_document_index = rng.randint(0, len(all_documents) - 1)
                        if random_document_index != document_index:
                            break
                    random_document = all_documents[random_document_index]
                    random_start = rng.randint(0, len(random_document) - 1)
                    for j in range(random_start, len(random_document)):
                        tokens_b.extend(random_document[j])
                        if len(tokens_b) >= target_b_length:
                            break
                    num_unused_segments = len(current_chunk) - a_end
                    i -= num_unused_segments
                else:
                    is_random_next = False
                    for j in range(a_end, len(current_chunk)):
                        tokens_b.extend(current_chunk[j])
                original_truncate(tokens_a, tokens_b, max_num_tokens, rng)
                instances.append((tuple(tokens_a), tuple(tokens_b), is_random_next))
            current_chunk = []
            current_length = 0
        i += 1
    return instances


def original_truncate(tokens_a, tokens_b, max_num_tokens, rng):
    while len(tokens_a) + len(tokens_b) > max_num_tokens:
        trunc_tokens = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        if rng.random() < 0.5:
            del trunc_tokens[0]
        else:
            trunc_tokens.pop()


SIZES = ([3, 1, 4, 1, 5], [9, 2, 6], [5, 3], [30])


@pytest.mark.parametrize("index", [0, 1, 3])
def test_equal_in_distribution_to_the_original(index):
    docs = documents(*SIZES)
    lists = [
        [list(range(d.bounds[i], d.bounds[i + 1])) for i in range(len(d.bounds) - 1)] for d in docs
    ]
    rng, draws = random.Random(1), 20_000
    ours: Counter = Counter()
    theirs: Counter = Counter()
    for _ in range(draws):
        for pair in make_pairs(docs, index, 12, 0.3, rng):
            a = tuple(range(pair.a_start, pair.a_end))
            b = tuple(range(pair.b_start, pair.b_end))
            ours[(a[0], len(a), b[0], len(b), bool(pair.is_random_next))] += 1
        for a, b, is_random_next in original_pairs(lists, index, 12, 0.3, rng):
            theirs[(a[0], len(a), b[0], len(b), is_random_next)] += 1
    outcomes = [key for key in ours | theirs if ours[key] + theirs[key] >= 20]
    assert len(outcomes) > 20
    chi2 = sum((ours[k] - theirs[k]) ** 2 / (ours[k] + theirs[k]) for k in outcomes)
    freedom = len(outcomes)
    assert chi2 < freedom + 6 * np.sqrt(2 * freedom)  # six standard deviations
    assert abs(ours.total() - theirs.total()) < 0.02 * theirs.total()


@given(
    sizes=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=8), min_size=2, max_size=5),
    max_tokens=st.integers(13, 60),
    seed=st.integers(0, 2**32),
)
def test_every_pair_is_sound(sizes, max_tokens, seed):
    docs = documents(*sizes)
    rng = random.Random(seed)
    for index in range(len(docs)):
        pairs = make_pairs(docs, index, max_tokens, 0.5, rng)
        assert pairs
        for pair in pairs:
            a, b = pair.a_end - pair.a_start, pair.b_end - pair.b_start
            assert a >= 1
            assert b >= 1
            assert a + b <= max_tokens
            own, other = docs[index].bounds, docs[pair.b_document].bounds
            assert own[0] <= pair.a_start
            assert pair.a_end <= own[-1]
            assert other[0] <= pair.b_start
            assert pair.b_end <= other[-1]
            assert bool(pair.is_random_next) == (pair.b_document != index)
        covered = {s for p in pairs for s in range(p.a_start, p.a_end)}
        assert covered
