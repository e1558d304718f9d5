import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.tokenizer.tokenizer import AddedToken, Casing, Tokenizer
from tests.tokenizer.test_wordcache import reference, text

ADDED = (
    AddedToken("covid19"),
    AddedToken("[USER]", special=True, normalized=False),
    AddedToken("the of", single_word=True),
    AddedToken("<|>", lstrip=True, normalized=False),
    AddedToken("É한", rstrip=True),
    AddedToken("漢字"),
)
pieces = st.sampled_from(
    [*(token.content for token in ADDED), "COVID19", "cov\x0bid19", "THE\u3000OF"]
)
texts = st.lists(st.lists(text | pieces, max_size=5).map("".join), max_size=4)


@pytest.fixture(scope="module", params=[Casing(), Casing(True), Casing(True, False)])
def tokenizer(request, vocab) -> Tokenizer:
    return Tokenizer(vocab, request.param, ADDED)


@settings(max_examples=200, deadline=None)
@given(texts=texts)
def test_with_added_tokens_ids_equal_those_of_tokenizers(tokenizer, texts):
    assert tokenizer.encode_batch(texts) == reference(tokenizer, texts)


def test_only_texts_that_may_hold_a_token_leave_the_cache(tokenizer):
    texts = ["a covid19 b", "covid words 19", "of user", "xcovid19x", "[USER", "漢 字", "the 1", ""]
    expected = [0, 2, 3, 4, 5, 6] if tokenizer.casing.lowercase else [0, 3, 4, 5, 6]
    assert tokenizer._finder.find(texts) == expected


@pytest.mark.parametrize("content", ["\n", " ", "\u0301"])
def test_a_token_without_a_letter_or_mark_may_be_in_any_text(vocab, content):
    tokenizer = Tokenizer(vocab, Casing(True), [AddedToken(content, normalized=False)])
    texts = ["a\nb", "a  b", "e\u0301", ""]
    assert tokenizer.encode_batch(texts) == reference(tokenizer, texts)
    assert tokenizer._finder.find(texts) == [0, 1, 2, 3]
