"""BLEU, the share of exact translations, and the files of an evaluation."""

import json

import numpy as np
import pytest

from bert_jax.lineage.bitext import Pair
from bert_jax.lineage.evaluation import corpus_bleu, exact_share, write_evaluation
from tests.extras import need


def test_bleu_is_that_of_the_whole_corpus():
    need("sacrebleu")
    perfect = corpus_bleu(["a b c d e", "f g h i"], ["a b c d e", "f g h i"], "none")
    short = corpus_bleu(["a b c d"], ["a b c d e f g h"], "none")

    assert perfect.score == pytest.approx(100)
    assert short.score == pytest.approx(100 * np.exp(-1))  # all n-grams right, half as long
    assert "tok:none" in perfect.signature


def test_exact_ignores_spaces_between_words_only():
    assert exact_share(["a  b", "ab", "c"], ["a b", "a b", "c"]) == pytest.approx(2 / 3)


def test_every_translation_is_written_with_its_source_and_reference(tmp_path):
    pairs = [Pair("one", "eins", "f:1"), Pair("two", "zwei", "f:2")]

    write_evaluation(tmp_path, {"test": {"exact": 0.5}}, pairs, ["eins", "drei"])

    folder = tmp_path / "evaluation"
    assert json.loads((folder / "report.json").read_text()) == {"test": {"exact": 0.5}}
    assert (folder / "translations.tsv").read_text().splitlines() == [
        "source\treference\ttranslation",
        "one\teins\teins",
        "two\tzwei\tdrei",
    ]
