import json
import os
import random
import warnings

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from bert_jax.errors import ConfigError
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, AddedToken, Casing, Tokenizer
from bert_jax.tokenizer.vocab_file import read_vocab
from tests.extras import need

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = need("transformers")

ADDED = (
    AddedToken("covid19"),
    AddedToken("[USER]", special=True, normalized=False),
    AddedToken("the of", single_word=True),
    AddedToken("<e>", lstrip=True, rstrip=True, normalized=False),
    AddedToken("Café-un", single_word=True),
    AddedToken("가나", normalized=False),
)


@pytest.mark.parametrize("files", ["all", "without tokenizer.json"])
@pytest.mark.parametrize("casing", [Casing(), Casing(True), Casing(True, False)])
def test_added_tokens_are_written_for_transformers_and_read_again(tmp_path, vocab, casing, files):
    added = ADDED if files == "all" else ADDED[:2]  # the old files have no place for other flags
    tokenizer = Tokenizer(vocab, casing, added)
    tokenizer.save(tmp_path)
    assert len(read_vocab(tmp_path / "vocab.txt")) == len(vocab)
    if files != "all":
        (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert (loaded.added, loaded.vocab) == (tokenizer.added, tokenizer.vocab)
    assert loaded.sha256 == tokenizer.sha256
    assert len(theirs) == loaded.vocab_size == len(vocab) + len(added)
    rng = random.Random(0)
    pieces = [*(t.content for t in added), "COVID19", "THE OF", " ", "x", "é", ".", "un", "CAFÉ-un"]
    for _ in range(200):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 8)))
        assert loaded.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text


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


def test_a_tokenizer_that_transformers_extended_is_read(tmp_path, vocab):
    Tokenizer(vocab, Casing(True)).save(tmp_path / "old")
    (tmp_path / "old" / "config.json").write_text('{"model_type": "bert"}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "old")
    theirs.add_tokens(["covid19", transformers.AddedToken("The Of", single_word=True)])
    theirs.add_special_tokens({"additional_special_tokens": ["[USER]"]})
    theirs.save_pretrained(tmp_path / "new")
    ours = Tokenizer.load(tmp_path / "new")
    assert ours.vocab[len(vocab) :] == ["covid19", "The Of", "[USER]"]
    text = "[USER] has Covid19, the of 12"
    assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


def test_tokens_of_the_vocabulary_that_are_named_special_are_matched_whole(tmp_path, vocab):
    Tokenizer([*vocab, "[USER]"]).save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    names = {"additional_special_tokens": ["[USER]"], "bos_token": {"content": "[not here]"}}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(names))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.tokens(tokenizer.encode("the [USER]")) == ["the", "[USER]"]
    assert tokenizer.vocab_size == len(vocab) + 1


def test_embeddings_padded_before_the_first_added_token_keep_its_id(tmp_path, vocab):
    Tokenizer(vocab).save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "added_tokens.json").write_text(json.dumps({"covid19": len(vocab) + 2}))
    tokenizer = Tokenizer.load(tmp_path, log=lambda message: None)
    assert tokenizer.encode("covid19") == [len(vocab) + 2]
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).sha256 == tokenizer.sha256
    fast = FastTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert fast.encode("covid19", add_special_tokens=False).ids == [len(vocab) + 2]


def test_a_special_token_may_stand_among_the_added_ones(tmp_path, vocab):
    Tokenizer(vocab).save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    others = [token for token in vocab if token != "[MASK]"]
    (tmp_path / "vocab.txt").write_text("\n".join(others))
    (tmp_path / "added_tokens.json").write_text(
        json.dumps({"x1": len(others), "[MASK]": len(others) + 1, "y1": len(others) + 2})
    )
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.mask_id == len(others) + 1
    assert tokenizer.tokens(tokenizer.encode("x1 [MASK]y1")) == [
        "x1",
        "[",
        "M",
        "##A",
        "##S",
        "##K",
        "]",
        "y1",
    ]


def fast_tokenizer(vocab, post_processor, **normalizer) -> FastTokenizer:
    """Return a tokenizer as `tokenizers` makes one for BERT."""
    fast = FastTokenizer(models.WordPiece({t: i for i, t in enumerate(vocab)}, unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer(**normalizer)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece()
    if post_processor:
        fast.post_processor = post_processor
    return fast


@pytest.mark.parametrize(
    ("post_processor", "normalizer"),
    [
        (processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)), {"lowercase": True}),
        (None, {"lowercase": False, "strip_accents": False}),
        (None, {"lowercase": True, "strip_accents": False}),
        (
            processors.TemplateProcessing(
                single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
                special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
            ),
            {"lowercase": False},
        ),
    ],
)  # fmt: skip
def test_a_file_of_tokenizers_for_bert_is_read(tmp_path, vocab, post_processor, normalizer):
    fast = fast_tokenizer(vocab, post_processor, **normalizer)
    fast.add_special_tokens(list(SPECIAL_TOKENS))
    fast.add_tokens(["covid19"])
    fast.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    for text in ("The Café of 한국어, unable 12", "covid19 한국"):
        assert tokenizer.encode(text) == fast.encode(text, add_special_tokens=False).ids
    described = json.loads((tmp_path / "tokenizer.json").read_text())
    del described["model"]["type"]  # as in the files of 2020
    (tmp_path / "tokenizer.json").write_text(json.dumps(described))
    assert Tokenizer.load(tmp_path).sha256 == tokenizer.sha256


def test_holes_of_a_tokenizer_json_keep_their_ids(tmp_path, vocab):
    """`tokenizers` makes them of a token that comes twice, and writes a vocab.txt without them."""
    ids = {token: index for index, token in enumerate([*vocab[:20], "the", *vocab[20:]])}
    fast = fast_tokenizer(vocab, None)
    described = json.loads(fast.to_str())
    described["model"]["vocab"] = ids
    (tmp_path / "tokenizer.json").write_text(json.dumps(described))
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(ids, key=ids.__getitem__)))
    messages = []
    tokenizer = Tokenizer.load(tmp_path, messages.append)
    assert tokenizer.vocab_size == len(vocab) + 1
    assert len(messages) == 1
    assert tokenizer.encode("un able") == [ids["un"], ids["able"]]


def test_an_added_token_may_stand_in_a_hole_of_the_vocabulary(tmp_path, vocab):
    Tokenizer(vocab).save(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    described = json.loads((tmp_path / "tokenizer.json").read_text())
    hole = described["model"]["vocab"].pop("he")
    described["added_tokens"].append({"id": hole, "content": "covid19"})
    (tmp_path / "tokenizer.json").write_text(json.dumps(described))
    assert Tokenizer.load(tmp_path).encode("covid19") == [hole]


def test_two_files_with_different_vocabularies_are_refused(tmp_path, vocab):
    Tokenizer(vocab).save(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join([*vocab[:9], "new", *vocab[10:]]))
    with pytest.raises(ConfigError, match=r"vocab.txt:10 has 'new', but tokenizer.json has '%'"):
        Tokenizer.load(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(vocab[:-1]))
    with pytest.raises(ConfigError, match=rf"vocab.txt:{len(vocab)} has '', but"):
        Tokenizer.load(tmp_path)


COMPONENTS = {
    "tokenizer.json: model.vocab is no table": {"model": {"type": "BPE"}},
    "model.vocab is no": {"model": None},
    "model.vocab is no table": {"model": {"type": "WordPiece", "vocab": ["a"]}},
    "model.vocab has ids": {"model": {"type": "WordPiece", "vocab": {"a": -1}}},
    "two tokens with one id": {"model": {"type": "WordPiece", "vocab": {"a": 0, "b": 0}}},
    "surrogate": {"model": {"type": "WordPiece", "vocab": {"\ud800": 0}}},
    "max_input_chars_per_word is 0": {
        "model": {"type": "WordPiece", "max_input_chars_per_word": 0}
    },
    "enum NormalizerUntagged": {"normalizer": {"lowercase": True}},
    "enum PostProcessorWrapper": {
        "post_processor": {"type": "TemplateProcessing", "single": [{"A": {}}], "pair": []}
    },
    "any variant of untagged enum PostProcessorWrapper": {"post_processor": 7},
    "added_tokens is no list": {"added_tokens": {}},
    "an added token is 'x'": {"added_tokens": ["x"]},
    "an added token is {'id': 3}": {"added_tokens": [{"id": 3}]},
    "'x' has the id None": {"added_tokens": [{"content": "x"}]},
    "'x' has the id 1000000000": {"added_tokens": [{"content": "x", "id": 10**9}]},
    "'x' has {'lstrip': 1}": {"added_tokens": [{"content": "x", "id": 3, "lstrip": 1}]},
    "'x' has id 3, not": {"added_tokens": [{"content": "x", "id": 3}]},
}


@pytest.mark.parametrize("message", COMPONENTS)
def test_a_damaged_tokenizer_json_is_refused_by_name(tmp_path, vocab, message):
    Tokenizer(vocab).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    described = json.loads(path.read_text()) | COMPONENTS[message]
    path.write_text(json.dumps(described))
    with pytest.raises(ConfigError, match=message.replace("{", r"\{")) as caught:
        Tokenizer.load(tmp_path)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("tokenizer_config.json", {"tokenizer_class": "BertJapaneseTokenizer"}, "tokenizer_class"),
        ("tokenizer_config.json", {"tokenizer_class": ["x"]}, "tokenizer_class is"),
        ("tokenizer_config.json", {"added_tokens_decoder": [1]}, "added_tokens_decoder is no"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "y"}}}, "the id 'x'"),
        ("tokenizer_config.json", {"tokenize_chinese_chars": False}, "tokenize_chinese_chars"),
        ("added_tokens.json", {"x": "y"}, "'x' has the id 'y'"),
        ("added_tokens.json", {"x": True}, "'x' has the id True"),
        ("added_tokens.json", {"x": 3}, "'x' has id 3, not"),
    ],
)
def test_a_damaged_file_without_a_tokenizer_json_is_refused(tmp_path, vocab, name, values, message):
    Tokenizer(vocab).save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / name).write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(caught.value).count("\n") == 2


def test_the_longest_word_is_stored_and_transformers_agrees(tmp_path, vocab):
    tokenizer = Tokenizer(vocab, max_word_chars=150)
    assert tokenizer.sha256 != Tokenizer(vocab).sha256
    tokenizer.save(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    loaded = Tokenizer.load(tmp_path)
    assert loaded.sha256 == tokenizer.sha256
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in ("a" * 101, "a" * 150, "a" * 151, "the of"):
        assert loaded.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
    assert len(loaded.encode("a" * 150)) == 150
    assert loaded.encode("a" * 151) == [loaded.unk_id]
    assert theirs("the", "of")["token_type_ids"] == [0, 0, 0, 1, 1]
