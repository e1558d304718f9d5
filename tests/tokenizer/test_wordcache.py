import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.tokenizer import wordcache, wordpieces
from bert_jax.tokenizer.tokenizer import Casing, Tokenizer

HARD = [
    "",
    " ",
    "\n",
    "the of and",
    "unreable, the-of's (and) to!",
    "don't re-un'able",
    "[MASK] [CLS] [SEP] [PAD] [UNK] is [mask]",
    "한국어 가나가 한국어는",
    "각\u1100\u1161\u11a8 jamo",
    "漢字 the漢字of 日本語テスト。、「」",
    "Café CAFÉ cafe\u0301 naïve ÜBER İstanbul ß ẞ ﬁ",
    "🙂 👩‍👩‍👧 the🙂of e\u0301\u0301\u0301",
    "a\x00b c\x01d \x7f \x85 e\x0bf g\x0ch i\x1cj \x1d \x1e \x1f",
    "x\ufeffy z\u200bw \u200d \u00ad \ufffd q\ufffdr",
    "nbsp\u00a0here ideographic\u3000space thin\u2009space line\u2028sep para\u2029sep",
    "¿qué? «guillemets» “quotes” — dash … ‽ ⁂ § ¶ ° ± × ÷ ≠ ≮ ͵ ; ` ´",
    "a" * 99 + " " + "a" * 100 + " " + "a" * 101,
    "나" * 34 + " " + "나" * 100 + " " + "나" * 101,
    "extraordinarilylongtoken extraordinarilylongtokens unextraordinarilylongtoken",
    "exactly15bytess exactly16bytesss exactly17bytessss",
    "### ##ing ## #the",
    "العربية עברית हिन्दी ไทย",
    "\u0300\u0301 \u302e \U0001d165\U0001d166 \U0001f1f0\U0001f1f7",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ｆｕｌｌ　ｗｉｄｔｈ ！",
]
text = st.text(
    st.one_of(
        st.sampled_from(
            "the of un able 12 [MASK] .,'-|\"한국어漢é\u0301\u00a0\u3000\x00\x1c\x85\n\t"
        ),
        st.characters(codec="utf-8"),
    ),
    max_size=60,
)


def reference(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Encode with `tokenizers` itself, without added tokens."""
    pipeline = tokenizer._make_pipeline()
    return [e.ids for e in pipeline.encode_batch(texts, add_special_tokens=False)]


@pytest.mark.parametrize("hard", HARD)
def test_equals_tokenizers_on_hard_strings(tokenizer, hard):
    assert tokenizer.encode_batch([hard]) == reference(tokenizer, [hard])


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(text, max_size=6))
def test_equals_tokenizers_on_any_text(tokenizer, texts):
    assert tokenizer.encode_batch(texts) == reference(tokenizer, texts)


def test_equals_tokenizers_on_every_character_of_the_basic_plane(tokenizer):
    characters = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    texts = [f"un{c}able {c}" for c in characters]
    assert tokenizer.encode_batch(texts) == reference(tokenizer, texts)


@pytest.mark.parametrize("lowercase", [False, True])
def test_no_other_character_becomes_the_separator_that_joins_hard_words(lowercase):
    normalize = Casing(lowercase).normalizer().normalize_str
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c) != "|"]
    assert "|" not in normalize("".join(map(chr, codes)))


def test_special_tokens_in_a_text_are_plain_text(tokenizer):
    assert tokenizer.mask_id not in tokenizer.encode("fill the [MASK]")
    assert tokenizer.tokens(tokenizer.encode("[MASK]"))[0] == "["


@pytest.mark.parametrize("stragglers", [0, 1000])
def test_words_matched_together_equal_words_matched_alone(vocab, monkeypatch, stragglers):
    monkeypatch.setattr(wordpieces, "STRAGGLERS", stragglers)
    texts = [*HARD, "un" * 7, "unreableing " * 50, "zzz的zz", "ablenesstions"]
    tokenizer = Tokenizer(vocab)
    assert tokenizer.encode_batch(texts) == reference(tokenizer, texts)


def test_a_full_cache_still_gives_the_same_ids(vocab, monkeypatch):
    monkeypatch.setattr(wordcache, "MAX_WORDS", 5)
    monkeypatch.setattr(wordcache, "SLICE_BYTES", 40)
    tokenizer = Tokenizer(vocab)
    texts = HARD + HARD[::-1]
    for _ in range(2):
        assert tokenizer.encode_batch(texts) == reference(tokenizer, texts)
    assert tokenizer._cache.num_words == 5


def test_many_words_collide_in_a_small_table_and_are_still_told_apart(vocab, monkeypatch):
    monkeypatch.setattr(wordcache, "TABLE_BITS", 11)
    tokenizer = Tokenizer(vocab)
    texts = [f"w{number} {number}x" for number in range(900)]
    for _ in range(2):
        assert tokenizer.encode_batch(texts) == reference(tokenizer, texts)


def test_flat_encoding_tells_how_many_ids_each_text_has(tokenizer):
    texts = ["the of", "", "and", " \n ", "un able 12"]
    ids, counts = tokenizer.encode_flat(texts)
    expected = reference(tokenizer, texts)
    assert counts.tolist() == [len(text_ids) for text_ids in expected]
    assert ids.tolist() == [i for text_ids in expected for i in text_ids]
    assert ids.dtype == np.int32


def test_the_hard_strings_hold_what_their_names_say():
    kinds = {unicodedata.category(c) for c in "".join(HARD)}
    assert {"Cc", "Cf", "Mn", "Lo", "Zs", "Zl", "Zp", "So", "Po", "Sm", "Mc"} <= kinds
