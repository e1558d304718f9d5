import pytest
from tokenizers import Tokenizer as FastTokenizer

from bert_jax.errors import ConfigError
from bert_jax.tokenizer.new_words import add_words, pieces_of_new_tokens
from bert_jax.tokenizer.tokenizer import AddedToken, Casing, Tokenizer

WORDS = "Unable\n\nthe\nunable\ncovid-19\n[USER]\n漢字\n covid19 \nnew york\nc++\n"


def write(folder, text):
    path = folder / "words.txt"
    path.write_text(text)
    return path


def test_words_are_whole_tokens_and_old_ids_stay(tmp_path, vocab):
    old = Tokenizer(vocab, Casing(True), [AddedToken("<e>")])
    new = add_words(old, write(tmp_path, WORDS))
    assert new.vocab[: old.vocab_size] == old.vocab
    expected = ["unable", "covid19", "covid-19", "[USER]", "漢字", "new york", "c++"]
    assert new.vocab[old.vocab_size :] == expected
    for text, tokens in {
        "UNABLE covid19": ["unable", "covid19"],
        "Covid-19, covid-1": ["covid-19", ",", "c", "##o", "##v", "##i", "##d", "-", "1"],
        "the[User]<e>": ["the", "[USER]", "<e>"],
        "the漢字漢": ["the", "漢字", "[UNK]"],
        "c++ c++a": ["c++", "c", "+", "+", "a"],
        "unableing": ["unable", "##ing"],
    }.items():
        assert new.tokens(new.encode(text)) == tokens
    new.save(tmp_path)
    assert Tokenizer.load(tmp_path).sha256 == new.sha256
    fast = FastTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in WORDS.split("\n"):
        assert new.encode(text) == fast.encode(text, add_special_tokens=False).ids
    assert add_words(new, tmp_path / "words.txt").sha256 == new.sha256


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("##ing", "words.txt:2: '##ing' is a piece"),
        ("\u0301", "has no character that the tokenizer keeps"),
        ("a" * 101, "a word of more than 100 characters"),
    ],
)
def test_what_cannot_be_a_token_is_refused(tmp_path, vocab, line, message):
    with pytest.raises(ConfigError, match=message) as caught:
        add_words(Tokenizer(vocab, Casing(True)), write(tmp_path, f"the\n{line}\n"))
    assert str(caught.value).count("\n") == 2


def test_pieces_of_new_tokens_are_those_of_the_old_tokenizer(tmp_path, vocab):
    old = Tokenizer(vocab)
    new = add_words(old, write(tmp_path, "unable\nun-able\nๆๆ\n"))
    size = len(vocab)
    assert pieces_of_new_tokens(old, new) == {
        size: old.encode("unable"), size + 1: [old.unk_id], size + 2: old.encode("un-able")
    }  # fmt: skip
    assert pieces_of_new_tokens(old, Tokenizer(vocab, max_word_chars=500)) == {}
    for casing in (Casing(True, False), Casing(False, True)):
        assert pieces_of_new_tokens(old, Tokenizer(vocab, casing)) is None
    assert pieces_of_new_tokens(old, Tokenizer([*vocab[:-1], "other"])) is None
    assert pieces_of_new_tokens(old, Tokenizer(vocab[:-1])) is None
    assert pieces_of_new_tokens(Tokenizer(vocab, added=[AddedToken("un")]), old) is None
