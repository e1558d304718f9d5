"""The fill view: what a request gives, and how a candidate is put in."""

import json

import pytest

import bert_jax
from bert_jax.errors import DataError
from bert_jax.explorer.view import MAX_CHARS
from bert_jax.explorer.views.fill import (
    EXAMPLES,
    MAX_ASKED,
    choose_examples,
    fill_view,
    put_in,
    read_blanks,
    show_words,
)
from bert_jax.inspection.blanks import MAX_BLANKS, MAX_PIECES, split_pieces
from bert_jax.tokenizer.rules import SPECIAL_TOKENS, Casing
from bert_jax.tokenizer.tokenizer import Tokenizer
from tests.explorer.conftest import CLASSIFIER, ENCODER

TEXT = "이 영화는 정말 재미있게 봤습니다."


@pytest.fixture(scope="module")
def view():
    return fill_view(bert_jax.load(ENCODER))


def test_a_request_gives_words_and_candidates(view):
    answer = view.answer({"text": TEXT, "blanks": [[9, 13, 0]]})
    words = [TEXT[word[0]["start"] : word[-1]["end"]] for word in answer["words"]]
    assert words == ["이", "영화는", "정말", "재미있게", "봤습니다", "."]
    (blank,) = answer["blanks"]
    assert (blank["start"], blank["end"], blank["pieces"]) == (9, 13, 1)
    assert blank["hidden"]["text"] == "재미있게"
    assert answer["notice"] is None
    json.dumps(answer, allow_nan=False)
    for candidate in blank["candidates"]:  # what is put in is read as what was predicted
        text = TEXT[: candidate["start"]] + candidate["insert"] + TEXT[candidate["end"] :]
        again = view.answer({"text": text, "blanks": []})["words"]
        assert candidate["insert"] in [text[w[0]["start"] : w[-1]["end"]] for w in again]


def test_without_the_head_there_is_no_view():
    assert fill_view(bert_jax.load(CLASSIFIER)) is None


def test_an_empty_text_has_no_words(view):
    for text in ("", "  \n", "\u200b"):
        assert view.answer({"text": text})["words"] == []


def test_half_a_character_and_an_emoji_are_words(view):
    answer = view.answer({"text": "\ud800 \U0001f600 영화", "blanks": [[4, 6, 0]]})
    assert [(word[0]["start"], word[-1]["end"]) for word in answer["words"]] == [
        (0, 1), (2, 3), (4, 6),
    ]  # fmt: skip
    assert answer["words"][1][0]["unknown"]


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        ({}, "text = "),
        ({"text": 7}, "text = "),
        ({"text": "a", "blanks": 7}, "blanks = "),
        ({"text": "a", "blanks": [[0, 1]]}, "blanks = "),
        ({"text": "a", "blanks": [[0, 1, True]]}, "blanks = "),
        ({"text": "a", "blanks": [["0", 1, 0]]}, "blanks = "),
    ],
)
def test_a_bad_request_is_a_user_s_error(view, request_, wrong):
    with pytest.raises(DataError, match=wrong):
        view.answer(request_)


def test_blanks_outside_the_text_or_over_others_are_left_out(view):
    asked = [[9, 13, 0], [10, 11, 0], [90, 99, 0], [5, 2, 0], [-4, 0, 0], [2, 5, -3]]
    blanks = view.answer({"text": TEXT, "blanks": asked})["blanks"]
    assert [(b["start"], b["end"], b["pieces"]) for b in blanks] == [(2, 5, 1), (9, 13, 1)]


def test_what_is_too_large_is_cut_with_a_notice(view):
    answer = view.answer({"text": "영화 " * MAX_CHARS, "blanks": [[0, 2, 2], [3000, 3002, 0]]})
    assert len(answer["words"]) == 125  # one [MASK] more than pieces hidden
    assert len(answer["blanks"]) == 1
    assert answer["notice"] == "The model reads 126 pieces; the rest of the text is left out."
    many = view.answer({"text": "[MASK] " * (MAX_BLANKS + 1)})
    assert len(many["blanks"]) == MAX_BLANKS
    assert "at most 8 blanks" in many["notice"]
    word = view.answer({"text": "영화는" * 7, "blanks": [[0, 99, 0]]})
    assert len(word["words"][0]) > MAX_PIECES
    assert word["blanks"][0]["pieces"] == MAX_PIECES
    assert "at most 6 pieces" in word["notice"]


def test_a_saved_page_can_hide_each_word(view):
    requests = view.to_save([TEXT])
    assert [request["blanks"] for request in requests] == [
        [], [[0, 1, 0]], [[2, 5, 0]], [[6, 8, 0]], [[9, 13, 0]], [[14, 18, 0]], [[18, 19, 0]],
    ]  # fmt: skip
    assert all(len(view.answer(request)["blanks"]) <= 1 for request in requests)


def make_tokenizer(*tokens):
    return Tokenizer([*SPECIAL_TOKENS, *tokens])


@pytest.mark.parametrize(
    ("before", "pieces", "after", "expected"),
    [
        ("a ", ["good"], " film", "a good film"),
        ("a ", ["good", "##ish"], ".", "a goodish."),
        ("a ", ["so", "good"], ".", "a so good."),
        ("good ", ["##ish"], " film", "goodish film"),
        ("good", ["so"], "", "good so"),
        ("", ["good"], "film", "good film"),
        ("(", ["good"], ")", "(good)"),
        ("我", ["爱"], "你", "我爱你"),
    ],
)
def test_a_candidate_is_put_in_as_the_tokenizer_would_read_it(before, pieces, after, expected):
    tokenizer = make_tokenizer("good", "so", "##ish", "爱")
    ids = [tokenizer.vocab.index(piece) for piece in pieces]
    found = put_in(before, after, ids, tokenizer)
    assert before[: found["start"]] + found["insert"] + after == expected


def test_examples_are_of_the_vocabulary_s_language():
    english = make_tokenizer(*{c for t in EXAMPLES[0] for c in t}, *"abcdefghijklmnopqrstuvwxyz.")
    pieces = make_tokenizer(*{word for text in EXAMPLES[0] for word in english.split(text)})
    assert choose_examples(pieces) == list(EXAMPLES[0])
    korean = make_tokenizer(*{word for text in EXAMPLES[1] for word in english.split(text)})
    assert choose_examples(korean) == list(EXAMPLES[1])
    assert choose_examples(make_tokenizer("x")) == list(EXAMPLES[0])


def test_an_uncased_model_may_split_a_syllable():
    jamo = Tokenizer([*SPECIAL_TOKENS, "ᄒ", "##ᅡ"], Casing(lowercase=True))
    text = "하 하"
    assert show_words(text, split_pieces(text, jamo), jamo) == [
        [{"start": 0, "end": 1}], [{"start": 2, "end": 3}],
    ]  # fmt: skip


def test_a_flood_of_blanks_is_cut_before_it_is_looked_at(view):
    flood = [[i, i + 1, 0] for i in range(100_000)]
    assert len(read_blanks({"blanks": flood})) == MAX_ASKED  # each is sought among all pieces
    answer = view.answer({"text": "가 " * 9000, "blanks": flood})
    assert len(answer["blanks"]) == MAX_BLANKS
    assert "at most 8 blanks" in answer["notice"]


def test_what_a_blank_that_is_left_out_would_save_is_no_room_for_others(view):
    longest = view.answer({"text": "가 " * 1000})["words"]
    length = sum(map(len, longest))
    text = "가 " * length
    asked = [[0, 1, 6], [2 * length - 10, 2 * length, 1]]  # 5 more, then 4 fewer at the end
    answer = view.answer({"text": text, "blanks": asked})
    assert [blank["start"] for blank in answer["blanks"]] == [0]
    assert "left out" in answer["notice"]
