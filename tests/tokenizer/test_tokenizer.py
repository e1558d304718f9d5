import json

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer

from bert_jax.errors import ConfigError
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing, Tokenizer, read_vocab


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "\n".join([*SPECIAL_TOKENS, "a", "b", "a"]),
            r"vocab.txt:8: token 'a' is already on line 6",
        ),
        ("\n".join([*SPECIAL_TOKENS, "a", "", "b"]), r"vocab.txt:7: empty line"),
        ("\n".join(["[PAD]", "[UNK]", "[CLS]", "a"]), r"\[SEP\] \[MASK\] missing among 4 tokens"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_vocabulary_is_refused_by_file_and_line(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message):
        read_vocab(path)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_line_endings_and_a_byte_order_mark_do_not_matter_in_a_vocabulary(tmp_path, ending, bom):
    tokens = [*SPECIAL_TOKENS, "a", "##b", "\u2028", "\x85"]
    (tmp_path / "vocab.txt").write_bytes(bom + "".join(t + ending for t in tokens).encode())
    assert read_vocab(tmp_path / "vocab.txt") == tokens


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no tokenizer_config\.json"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "changes", [{"strip_accents": "abc"}, {"strip_accents": 1}, {"do_lower_case": "no"}]
)
def test_a_casing_that_is_neither_true_nor_false_is_refused(tokenizer, tmp_path, changes):
    tokenizer.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(changes))
    (name, value), *_ = changes.items()
    with pytest.raises(ConfigError, match=f"{name} = {value!r}") as caught:
        Tokenizer.load(tmp_path)
    assert str(caught.value).count("\n") == 2
    (tmp_path / "tokenizer_config.json").write_text("{}")
    fast = json.loads((tmp_path / "tokenizer.json").read_text())
    fast["normalizer"] |= {"lowercase": value, "strip_accents": value}
    (tmp_path / "tokenizer.json").write_text(json.dumps(fast))
    with pytest.raises(ConfigError, match=repr(value)):
        Tokenizer.load(tmp_path)
