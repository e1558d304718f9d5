import pytest

from bert_jax.errors import ConfigError
from bert_jax.tokenizer.first_tokens import keep_first_tokens
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, AddedToken, Casing, Tokenizer
from bert_jax.tokenizer.vocabulary import train_vocab

LETTERS = [*"abc", *(f"##{c}" for c in "abc")]
VOCAB = [*SPECIAL_TOKENS, *LETTERS, "ab", "##bc", "abc"]


def test_words_are_cut_into_tokens_that_stay_with_their_ids():
    old = Tokenizer(VOCAB, Casing(True), [AddedToken("ab")], max_word_chars=7)
    new = keep_first_tokens(old, len(VOCAB) - 1)
    assert new.vocab == VOCAB[:-1]
    assert (new.casing, new.added, new.max_word_chars) == (old.casing, old.added, 7)
    assert new.tokens(new.encode("ABC abcabca")) == ["ab", "c", "ab", "c", "ab", "c", "##a"]
    old, new = Tokenizer(VOCAB), keep_first_tokens(Tokenizer(VOCAB), len(VOCAB) - 2)
    text = "ab a ba abab"
    assert new.encode(text) == old.encode(text)
    assert new.tokens(new.encode("abc cbc")) == ["ab", "##c", "c", "##b", "##c"]


def test_all_tokens_are_the_same_tokenizer():
    old = Tokenizer(VOCAB, added=[AddedToken("a-b")])
    assert keep_first_tokens(old, old.vocab_size).sha256 == old.sha256


def test_first_tokens_are_those_of_a_smaller_training():
    text = "the cat sat on the mat and the hat and that cat sat on that hat " * 3
    large = train_vocab(lambda: iter([text]), 50, Casing())
    small = train_vocab(lambda: iter([text]), 34, Casing())
    assert len(small) < len(large)
    assert keep_first_tokens(Tokenizer(large), len(small)).vocab == small


@pytest.mark.parametrize(
    ("vocab", "added", "size", "wrong", "expected"),
    [
        (VOCAB, [], 15, "15: the vocabulary has 14 tokens", "11 to 14"),
        (VOCAB, [], 9, r"would lose 2 characters, special or added tokens: ##b ##c\n", "11 to 14"),
        (VOCAB, [AddedToken("a-b")], 14, "would lose 1 characters.*: a-b\n", "15 to 15"),
        (VOCAB, [AddedToken("abc")], 13, "would lose 1 characters.*: abc\n", "14 to 14"),
        ([*LETTERS, *SPECIAL_TOKENS, "ab"], [], 10, r": \[MASK\]\n", "11 to 12"),
        # Without "##d", texts with "abd" would get an [UNK].
        ([*VOCAB, "abd", "ac"], [], 14, ": abd\n", "15 to 16"),
        (VOCAB, [], -3, r"would lose 11 .*: \[PAD\] \[UNK\] .* \[MASK\] …\n", "11 to 14"),
    ],
)  # fmt: skip
def test_what_is_needed_is_not_lost(vocab, added, size, wrong, expected):
    with pytest.raises(ConfigError, match=wrong) as caught:
        keep_first_tokens(Tokenizer(vocab, added=added), size)
    assert caught.value.lines[1] == expected
