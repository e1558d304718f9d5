"""Candidates for blanks: equal to fill_mask, and to all products of a small vocabulary."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.inspection.blanks import (
    NUM_CANDIDATES,
    Blank,
    BlankFiller,
    group_words,
    split_pieces,
)
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.pretrained import Model
from bert_jax.tokenizer.rules import SPECIAL_TOKENS, Casing
from bert_jax.tokenizer.tokenizer import Tokenizer
from tests.explorer.conftest import ENCODER
from tests.nano import MODEL

TEXT = "이 영화는 정말 재미있게 봤습니다."


@pytest.fixture(scope="module")
def nsmc():
    return bert_jax.load(ENCODER)


def make_small(vocab) -> Model:
    """A model of random weights whose predictions are far from uniform."""
    config = replace(MODEL, vocab_size=len(vocab), initializer_range=0.5)
    init, _ = build(config, architecture("BertForMaskedLM", 0))
    tokenizer = Tokenizer(vocab)
    return Model(PretrainedModel(config, "BertForMaskedLM", init(jax.random.key(1)), tokenizer))


@pytest.fixture(scope="module")
def small():
    return make_small([*SPECIAL_TOKENS, "a", "b", "##c", "."])


def test_a_word_of_one_piece_has_the_candidates_of_fill_mask(nsmc):
    pieces = split_pieces(TEXT, nsmc.tokenizer)
    (filled,) = BlankFiller(nsmc).fill(pieces, [Blank(3, 4, 1)])
    expected = nsmc.fill_mask("이 영화는 정말 [MASK] 봤습니다.", top_k=NUM_CANDIDATES)[0]
    found = [(nsmc.tokenizer.tokens(c.ids)[0], c.probability) for c in filled.candidates]
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose([p for _, p in found], [p for _, p in expected], rtol=1e-5)
    place = [word for word, _ in expected].index("재미있게")
    assert filled.rank == place + 1
    assert filled.hidden.probability == pytest.approx(expected[place][1], rel=1e-5)


def all_products(model, before, after, num_masks):
    """Return the probability of every filling, found piece by piece without a beam."""
    special = [model.tokenizer.vocab.index(token) for token in SPECIAL_TOKENS]
    ids = [i for i in range(model.tokenizer.vocab_size) if i not in special]
    filler = BlankFiller(model)
    products = {}
    for filling in itertools.product(ids, repeat=num_masks):
        product = 1.0
        for step, piece in enumerate(filling):
            masks = [model.tokenizer.mask_id] * (num_masks - step)
            row = [model.tokenizer.cls_id, *before, *filling[:step], *masks, *after]
            row.append(model.tokenizer.sep_id)
            position = 1 + len(before) + step
            product *= float(filler._top([row], position, [piece])[1][0])
        products[filling] = product
    return products


def test_candidates_of_several_pieces_are_the_best_products(small):
    tokenizer = small.tokenizer
    pieces = split_pieces("a bc . b", tokenizer)
    assert tokenizer.tokens(p.id for p in pieces) == ["a", "b", "##c", ".", "b"]
    (filled,) = BlankFiller(small).fill(pieces, [Blank(1, 3, 2)])
    ids = [piece.id for piece in pieces]
    products = all_products(small, ids[:1], ids[3:], 2)
    best = sorted(products, key=lambda filling: -products[filling])[:NUM_CANDIDATES]
    assert [tuple(c.ids) for c in filled.candidates] == best
    for candidate in filled.candidates:
        assert candidate.probability == pytest.approx(products[tuple(candidate.ids)], rel=1e-4)
    assert filled.hidden.probability == pytest.approx(products[tuple(ids[1:3])], rel=1e-4)
    assert filled.rank is None


def test_the_other_blanks_stay_masked(nsmc):
    pieces = split_pieces(TEXT, nsmc.tokenizer)
    both = BlankFiller(nsmc).fill(pieces, [Blank(1, 2, 1), Blank(3, 4, 1)])
    expected = nsmc.fill_mask("이 [MASK] 정말 [MASK] 봤습니다.", top_k=NUM_CANDIDATES)
    for filled, best in zip(both, expected, strict=True):
        found = [(nsmc.tokenizer.tokens(c.ids)[0], c.probability) for c in filled.candidates]
        assert [word for word, _ in found] == [word for word, _ in best]


def test_special_tokens_are_no_candidates_and_their_share_goes_to_nobody(small):
    (filled,) = BlankFiller(small).fill(split_pieces("a b", small.tokenizer), [Blank(0, 1, 1)])
    (expected,) = small.fill_mask("[MASK] b", top_k=99)
    expected = [(token, p) for token, p in expected if token not in SPECIAL_TOKENS]
    found = [(small.tokenizer.tokens(c.ids)[0], c.probability) for c in filled.candidates]
    assert [token for token, _ in found if _ > 0] == [token for token, _ in expected]
    np.testing.assert_allclose([p for _, p in found if p > 0], [p for _, p in expected], rtol=1e-5)


def test_a_mask_in_the_text_hides_nothing(nsmc):
    pieces = split_pieces("이 [MASK] 정말", nsmc.tokenizer)
    assert pieces[1] == (nsmc.tokenizer.mask_id, 2, 8)
    (filled,) = BlankFiller(nsmc).fill(pieces, [Blank(1, 2, 1)])
    assert filled.hidden is None
    assert filled.rank is None


def test_pieces_have_their_places_and_words_their_pieces():
    tokenizer = Tokenizer(
        [*SPECIAL_TOKENS, "un", "##able", "!", "ᄒ", "##ᅡ"], Casing(lowercase=True)
    )
    text = "😀 Unable![MASK]하"
    pieces = split_pieces(text, tokenizer)
    words = [[text[p.start : p.end] for p in word] for word in group_words(pieces, tokenizer)]
    assert words == [["😀"], ["Un", "able"], ["!"], ["[MASK]"], ["하", "하"]]  # two jamo of one
