import subprocess
import sys
import time
from collections import Counter

import pytest

from bert_jax.errors import DataError
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing, Tokenizer
from bert_jax.tokenizer.vocabulary import choose_alphabet, count_characters, train_vocab

TEXT = (
    "the tallest tower, the taller towers; low lower lowest. 한국어 한국 漢字 漢 Über über\n" * 30
)


CASED = Casing()


def train(size: int = 120, casing: Casing = CASED, text: str = TEXT) -> list[str]:
    return train_vocab(lambda: iter(text.split("\n")), size, casing)


def test_special_tokens_come_first_and_every_token_once():
    vocab = train()
    assert tuple(vocab[:5]) == SPECIAL_TOKENS
    assert len(vocab) == len(set(vocab)) <= 120


def test_frequent_words_become_tokens():
    vocab = train()
    assert {"the", "low", "한국"} <= set(vocab)
    tokenizer = Tokenizer(vocab)
    assert tokenizer.unk_id not in tokenizer.encode(TEXT)


def test_ideographs_and_marks_are_never_inside_a_word():
    vocab = train()
    assert {"漢", ",", "한"} <= set(vocab)
    assert not {"##漢", "##,", "##;"} & set(vocab)


def test_casing_decides_which_letters_there_are():
    assert {"Ü"} <= set("".join(train()))
    assert not {"Ü", "ü"} & set("".join(train(casing=Casing(lowercase=True))))
    assert "한" in train(casing=Casing(lowercase=True, strip_accents=False))


def test_the_same_in_two_processes_whatever_their_hash_seeds():
    code = (
        "import random; from bert_jax.tokenizer.vocabulary import train_vocab;"
        "from bert_jax.tokenizer.tokenizer import Casing; rng = random.Random(0);"
        "text = [' '.join(''.join(rng.choices('abcdefgh', k=rng.randint(1, 7))) for _ in range(50))"
        " for _ in range(40)];"
        "print(train_vocab(lambda: iter(text), 300, Casing()))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(3)
    ]
    assert len(runs[0]) > 1000
    assert runs[0] == runs[1] == runs[2]


def test_characters_are_counted_as_they_are_after_normalizing():
    counts = count_characters(["Aé é", "한"], Casing(lowercase=True))
    assert counts == Counter({"a": 1, "e": 2, "\u1112": 1, "\u1161": 1, "\u11ab": 1})


def test_the_alphabet_leaves_rare_characters_out():
    counts = Counter({"b": 50_000, "a": 50_000, "z": 1})
    assert choose_alphabet(counts, 100) == ["a", "b"]


def test_the_alphabet_leaves_room_for_words():
    """Of 10 tokens 3 characters; ideographs, which are words, until 8 are taken."""
    letters = Counter(dict(zip("abcdefgh", range(20, 12, -1), strict=True)))
    assert choose_alphabet(letters, 10) == ["a", "b", "c"]
    ideographs = Counter(dict(zip("一丁七丈三上下不", range(12, 4, -1), strict=True)))
    assert choose_alphabet(letters + ideographs, 10) == ["a", "b", "c", "一", "丁"]
    assert len(choose_alphabet(ideographs, 9)) == 7


def test_tokens_that_are_left_over_go_to_rare_characters():
    """Ideographs have no longer pieces, so all that the text has fit into the vocabulary."""
    ideographs = [chr(0x4E00 + i) for i in range(300)]
    text = "".join(ideographs) + "ab\n" + "".join(ideographs[:200]) * 3
    vocab = train(500, text=text)
    assert {*ideographs, "a", "##a"} <= set(vocab)
    assert len(vocab) == len(set(vocab)) <= 500
    tokenizer = Tokenizer(vocab)
    assert tokenizer.unk_id not in tokenizer.encode(text)
    assert "é" in train(text=TEXT * 100 + "é")  # rarer than the alphabet's share of the text
    full = train(250, text=text)
    assert len(full) == 250
    assert set(ideographs[:200]) <= set(full)  # the frequent ones


def test_endless_words_cost_nothing_and_teach_nothing():
    start = time.monotonic()
    assert "##xx" not in train(text=TEXT + "x" * 300_000)
    assert time.monotonic() - start < 10  # the trainer alone takes minutes


def test_text_without_characters_is_refused():
    with pytest.raises(DataError, match="no characters"):
        train(text=" \n \n")
