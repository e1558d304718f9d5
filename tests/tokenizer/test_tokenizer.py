import json

import numpy as np
from tokenizers import Tokenizer as FastTokenizer

from bert_jax.tokenizer.tokenizer import AddedToken, Casing, Tokenizer


def test_a_hand_worked_text(vocab):
    tokenizer = Tokenizer(vocab, Casing(lowercase=True))
    ids = tokenizer.encode("The UNABLE, of!")
    assert tokenizer.tokens(ids) == ["the", "un", "##able", ",", "of", "!"]
    assert tokenizer.decode(ids) == "the unable, of!"


def test_saved_and_loaded_it_is_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.vocab == tokenizer.vocab
    assert loaded.casing == tokenizer.casing
    assert loaded.sha256 == tokenizer.sha256


def test_saved_file_gives_tokenizers_the_same_ids_and_special_tokens(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    fast = FastTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "The Café of 한국어, unable 12"
    encoded = fast.encode(text, "it was")
    first, second = tokenizer.encode(text), tokenizer.encode("it was")
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    assert encoded.ids == [cls, *first, sep, *second, sep]
    assert encoded.type_ids == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert fast.encode("[MASK]").ids == [cls, tokenizer.mask_id, sep]
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "BertTokenizer"
    assert config["do_lower_case"] is tokenizer.casing.lowercase
    assert config["mask_token"] == "[MASK]"


def test_saving_twice_writes_the_same_bytes(tokenizer, tmp_path):
    for name in ("one", "two"):
        tokenizer.save(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_hash_tells_vocabularies_and_casings_apart(vocab):
    hashes = {
        Tokenizer(vocab).sha256,
        Tokenizer(vocab, Casing(True)).sha256,
        Tokenizer(vocab, Casing(True, strip_accents=False)).sha256,
        Tokenizer([*vocab[:-2], vocab[-1], vocab[-2]]).sha256,
    }
    assert len(hashes) == 4
    assert Tokenizer(vocab, Casing(True, True)).sha256 == Tokenizer(vocab, Casing(True)).sha256


def test_continuations_are_the_pieces_with_two_hashes(vocab):
    tokenizer = Tokenizer(vocab)
    expected = [token.startswith("##") for token in vocab]
    np.testing.assert_array_equal(tokenizer.is_continuation, expected)
    assert 0 < sum(expected) < len(vocab)


def test_hangul_survives_cased_and_uncased_without_stripping(vocab):
    for casing in (Casing(), Casing(lowercase=True, strip_accents=False)):
        tokenizer = Tokenizer(vocab, casing)
        assert tokenizer.tokens(tokenizer.encode("한국어")) == ["한국", "##어"]
    stripped = Tokenizer(vocab, Casing(lowercase=True))
    assert stripped.tokens(stripped.encode("한국어")) == ["[UNK]"]


def test_saving_again_leaves_no_tokens_of_before(vocab, tmp_path):
    Tokenizer(vocab, added=[AddedToken("covid19")]).save(tmp_path)
    plain = Tokenizer(vocab)
    plain.save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    assert Tokenizer.load(tmp_path).sha256 == plain.sha256


def test_an_added_token_is_part_of_the_identity_and_continues_no_word(vocab):
    added = [AddedToken("##s", normalized=False), AddedToken("##s")]
    hashes = {Tokenizer(vocab, added=[token]).sha256 for token in added}
    assert len(hashes | {Tokenizer(vocab).sha256, Tokenizer([*vocab, "##s1"]).sha256}) == 4
    tokenizer = Tokenizer(vocab[:6], added=[AddedToken("##covid")])
    assert tokenizer.is_continuation.tolist() == [False] * 7


def test_words_that_are_too_long_are_found_after_normalization(vocab):
    tokenizer = Tokenizer(vocab, Casing(True), max_word_chars=8)
    texts = ["short words a-b-c-d-e-f-g", "ninechars eightcha", "한국어 국"]
    assert tokenizer.long_words(texts) == [9]
    assert tokenizer.long_words(["한국어한"]) == [11]  # as jamo
    assert Tokenizer(vocab, Casing(), max_word_chars=8).long_words(["한국어한"]) == []
