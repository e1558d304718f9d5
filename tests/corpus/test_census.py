"""The census: refused early exactly where the rows would be missing, with advice that works."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.corpus.bundles import BundleOptions, Member, cut_bundles
from bert_jax.corpus.census import Census
from bert_jax.corpus.heldout import hash_text
from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings


def members(texts: list[str]) -> list[Member]:
    return [Member(hash_text(text.encode()), text.encode()) for text in texts]


def take(parts: list[list[Member]], options: BundleOptions) -> Census:
    census = Census(options)
    for part in parts:
        census.start_part()
        for member in part:
            census.add(member)
    return census


def splits_with_bundles(parts: list[list[Member]], options: BundleOptions) -> set[str]:
    return {
        bundle.split
        for number, part in enumerate(parts)
        for bundle in cut_bundles(part, number, options, Findings())
    }


# "0" to "19", and U+200B, which has no tokens
TEXTS = st.integers(-2, 19).map(lambda n: "\u200b" if n < 0 else f"text {n}")


@given(
    parts=st.lists(st.lists(TEXTS, max_size=12), min_size=1, max_size=3),
    eval_share=st.sampled_from([0.0, 0.05, 0.2, 0.5, 0.9]),
    seed=st.integers(0, 1000),
    needed=st.sampled_from([1, 2]),
    bundle_bytes=st.sampled_from([2, 20]),
)
def test_it_foretells_which_splits_have_rows(parts, eval_share, seed, needed, bundle_bytes):
    options = BundleOptions(bundle_bytes, eval_share, seed, needed)
    documents = [members(texts) for texts in parts]
    try:
        splits = splits_with_bundles(documents, options)
    except DataError:  # the first document is too long
        with pytest.raises(DataError, match="the first document alone is longer"):
            take(documents, options)
        return
    census = take(documents, options)
    assert {split for split in ("train", "eval") if census.has_rows(split)} == splits
    if census.num_documents == sum(text == "\u200b" for texts in parts for text in texts):
        census.check()  # a corpus without text is refused elsewhere
        return
    asked = {"train", "eval"} if eval_share else {"train"}
    if asked <= splits:
        census.check()
        return
    with pytest.raises(DataError) as caught:
        census.check()
    if advised := re.search(r"--eval-share ([0-9.]+)", str(caught.value).split("fix:")[1]):
        options = BundleOptions(20, float(advised[1]), seed, needed)
        asked = {"train", "eval"} if options.eval_share else {"train"}
        assert asked <= splits_with_bundles(documents, options)


def test_pieces_of_a_document_are_one_document():
    (first, second) = members(["a long document", "another"])
    piece = Member(first.identity, b"its second piece", continues=True)
    census = take([[first, piece]], BundleOptions(20, 0.0, 0))
    assert census.num_documents == 1
    with pytest.raises(DataError, match="a single document"):
        census.check()
    take([[first, piece, second]], BundleOptions(20, 0.0, 0)).check()
    take([[first, piece]], BundleOptions(20, 0.0, 0, documents_needed=1)).check()


def test_documents_that_are_never_in_one_part_cannot_be_paired():
    parts = [members([f"document {n}"]) for n in range(5)]
    with pytest.raises(DataError, match="a single document"):
        take(parts, BundleOptions(20, 0.5, 0)).check()


def test_the_error_names_the_numbers_and_what_to_do():
    options = BundleOptions(20, 0.01, 0)
    with pytest.raises(DataError) as caught:
        take([members([f"volume {n}" for n in range(40)])], options).check()
    assert str(caught.value).split("\n") == [
        "the eval split has fewer than two different documents (--eval-share 0.01 of 40 documents)",
        "  expected: at least 2 in each of train and eval",
        "  fix:      pass --eval-share 0.2, or 0 to hold no documents out",
    ]
