import itertools
import json
import os
import warnings

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from bert_jax.errors import ConfigError
from bert_jax.tokenizer.new_words import add_words, pieces_of_new_tokens
from bert_jax.tokenizer.pipeline import PipelineTokenizer
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.tokenizer.word_starts import Marks, _byte_of
from tests.extras import need
from tests.tokenizer.families import FAMILIES, HARD, ROBERTA, write_roberta

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = need("transformers")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """Return a family's folder, our tokenizer and that of transformers."""
    folder = tmp_path_factory.mktemp("family")
    FAMILIES[request.param](folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    return folder, Tokenizer.load(folder), theirs


def test_ids_are_those_of_transformers_for_hard_texts(family):
    _, ours, theirs = family
    expected = [theirs(text, add_special_tokens=False)["input_ids"] for text in HARD]
    assert ours.encode_batch(HARD) == expected
    assert [ours.encode(text) for text in HARD] == expected
    assert [ids for ids, _, _ in ours.encode_with_offsets(HARD)] == expected
    assert len({*map(tuple, expected)}) > len(HARD) - 3


def test_texts_and_pairs_have_the_special_tokens_of_transformers(family):
    _, ours, theirs = family
    for first, second in itertools.pairwise(HARD):
        a, b = ours.encode(first), ours.encode(second)
        assert ours.join(a) == theirs(first)["input_ids"]
        assert ours.join(a, b) == theirs(first, second)["input_ids"]
    assert ours.vocab_size == len(theirs)
    for role in ("cls", "sep", "pad", "mask", "unk"):
        expected = getattr(theirs, f"{role}_token_id")
        assert getattr(ours, f"{role}_id") == (ours.pad_id if expected is None else expected)


def test_the_mask_of_a_text_is_that_of_transformers(family):
    _, ours, theirs = family
    for text in ("the {} readers {}.", "{}", "한국어 {}을", "{} {}{}  {}x"):
        expected = theirs(text.replace("{}", theirs.mask_token), add_special_tokens=False)
        for mask in {"[MASK]", theirs.mask_token}:
            assert ours.encode_masked(text.replace("{}", mask))[0] == expected["input_ids"]


def test_names_of_special_tokens_in_a_text_are_text(family):
    _, ours, _ = family
    for token in ours.tokens(ours.special_ids):
        ids = ours.encode(f"the {token} of")
        assert not {*ids} & ({*ours.special_ids} - {ours.unk_id})


def test_a_saved_tokenizer_is_the_same_to_us_and_to_transformers(family, tmp_path):
    folder, ours, _ = family
    ours.save(tmp_path / "a")
    loaded = Tokenizer.load(tmp_path / "a")
    assert (loaded.sha256, loaded.vocab) == (ours.sha256, ours.vocab)
    assert loaded.join([], []) == ours.join([], [])
    loaded.save(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    (tmp_path / "a" / "config.json").write_text((folder / "config.json").read_text())
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "a")
    for text in HARD:
        assert ours.join(ours.encode(text)) == theirs(text)["input_ids"]
    assert theirs.mask_token_id == ours.mask_id
    assert theirs.model_max_length == 512


def test_words_start_where_those_of_the_text_do(family):
    _, ours, _ = family
    text = "The quick readers don't jump over 2,024 lazy 한국어 문장을 unable"
    ids, starts, ends = ours.encode_with_offsets([text])[0]
    words = []
    for index, start, end in zip(ids, starts, ends, strict=True):
        if words and (ours.is_continuation[index] or start < words[-1][1]):
            words[-1][1] = end
        else:
            words.append([start, end])
    found = [text[start:end] for start, end in words]
    if isinstance(ours, PipelineTokenizer):
        assert found == text.split()
    else:
        assert found == text.replace("'", " ' ").replace(",", " , ").split()
    assert not ours.is_continuation[ours.special_ids].any()


def test_a_word_alone_with_a_gap_is_encoded_as_within_its_text(family):
    _, ours, _ = family
    words = ["The", "quick", "readers", "are", "한국어", "unable", "2024"]
    alone = [ours.encode(f"{ours.gap if i else ''}{word}") for i, word in enumerate(words)]
    assert np.concatenate(alone).tolist() == ours.encode(" ".join(words))


def test_characters_of_tokens_are_without_the_space_before_them(family):
    _, ours, _ = family
    text = "the readers, of 한국어 🎉 x"
    ((_, starts, ends),) = ours.encode_with_offsets([text])
    shown = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    assert all(piece == piece.strip() for piece in shown if len(piece) > 1)
    assert {"🎉", "x"} & {*shown}


@pytest.fixture
def roberta(tmp_path):
    """Return the folder of a small RoBERTa tokenizer."""
    write_roberta(tmp_path)
    return tmp_path


def change(folder, **changes):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGED = {
    "Cannot parse precompiled_charsmap": {
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    },
    "model.vocab is no table": {"model": {"type": "Unigram", "vocab": [["a", 0.0, 1], 3]}},
    "out of vocabulary": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["x y"]}},
    "model.dropout is 0.1": {
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}
    },
    "added_tokens is no list": {"added_tokens": 7},
    "has the id -1": {"added_tokens": [{"content": "x", "id": -1}]},
}


@pytest.mark.parametrize("message", DAMAGED)
def test_what_cannot_be_used_is_refused_in_three_lines(roberta, message):
    change(roberta, **DAMAGED[message])
    with pytest.raises(ConfigError, match=message) as caught:
        Tokenizer.load(roberta)
    assert str(caught.value).count("\n") == 2


def test_special_tokens_elsewhere_are_refused(roberta):
    parts = [
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ]
    special = {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}
    second = [{"Sequence": {"id": "B", "type_id": 0}}]
    template = {"type": "TemplateProcessing", "single": parts, "pair": parts + second}
    change(roberta, post_processor=template | {"special_tokens": special})
    with pytest.raises(ConfigError, match="the post_processor gives </s>"):
        Tokenizer.load(roberta)


def test_a_tokenizer_without_a_mask_is_refused(roberta):
    described = json.loads((roberta / "tokenizer.json").read_text())
    described["added_tokens"] = [x for x in described["added_tokens"] if x["id"] != 4]
    described["model"]["vocab"]["other"] = described["model"]["vocab"].pop("<mask>")
    (roberta / "tokenizer.json").write_text(json.dumps(described))
    config = json.loads((roberta / "tokenizer_config.json").read_text())
    del config["mask_token"]
    (roberta / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="no token for mask"):
        Tokenizer.load(roberta)


def test_roles_come_from_any_of_the_files(roberta):
    expected = Tokenizer.load(roberta).special_ids
    config = roberta / "tokenizer_config.json"
    roles = {key: value for key, value in json.loads(config.read_text()).items() if "_tok" in key}
    (roberta / "special_tokens_map.json").write_text(json.dumps(roles))
    config.unlink()
    assert Tokenizer.load(roberta).special_ids == expected
    (roberta / "special_tokens_map.json").unlink()
    assert Tokenizer.load(roberta).special_ids == expected


@pytest.mark.parametrize("name", ["spiece.model", "tokenizer.pkl", "merges.txt"])
def test_files_of_other_kinds_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ConfigError, match=rf"holds {name} but no tokenizer\.json") as caught:
        Tokenizer.load(tmp_path)
    assert "save_pretrained" in str(caught.value)


def test_new_words_are_matched_whole_and_extend_the_tokenizer(roberta, tmp_path):
    old = Tokenizer.load(roberta)
    (tmp_path / "words.txt").write_text("covid19\nreaders\ncovid19\n한국-어\n")
    new = add_words(old, tmp_path / "words.txt")
    size = old.vocab_size
    added = [token for token in ("covid19", "readers", "한국-어") if len(old.encode(token)) > 1]
    assert new.vocab[size:] == added
    assert [size] == new.encode("covid19")
    new.save(tmp_path / "new")
    assert Tokenizer.load(tmp_path / "new").sha256 == new.sha256
    pieces = pieces_of_new_tokens(old, new)
    assert pieces == {size + i: old.encode(token) for i, token in enumerate(added)}
    assert pieces_of_new_tokens(new, new) == {}
    assert pieces_of_new_tokens(new, old) is None


def test_tokens_without_marks_do_not_tell_words(tmp_path):
    fast = FastTokenizer(models.WordLevel({t: i for i, t in enumerate([*ROBERTA, "a"])}, "<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert not tokenizer.marks_words
    assert not tokenizer.is_continuation.any()
    assert tokenizer.encode("a b") == [5, 3]


def test_ideographs_are_words_of_their_own_in_bytes_and_pieces():
    bytes_marks = Marks({"model": {"type": "BPE"}, "decoder": {"type": "ByteLevel"}})
    shown = {"東": True, "の": True, "가": False, "é": False, ",": False}
    table = {byte: character for character, byte in _byte_of().items()}
    for character, starts in shown.items():
        token = "".join(table[byte] for byte in character.encode())
        assert bytes_marks.read(token) == (character, not starts)
        assert bytes_marks.read(token[:1])[1] is not starts  # cut off
        assert Marks({"model": {"type": "Unigram"}}).read(character)[1] is not starts
    assert bytes_marks.read(table[0xB1])[1]
