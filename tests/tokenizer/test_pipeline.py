import itertools
import os
import warnings

import numpy as np
import pytest

from bert_jax.tokenizer.pipeline import PipelineTokenizer
from bert_jax.tokenizer.tokenizer import Tokenizer
from tests.extras import need
from tests.tokenizer.families import FAMILIES, HARD

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
