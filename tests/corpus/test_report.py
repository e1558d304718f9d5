import numpy as np
import pytest

from bert_jax.corpus.report import collect_warnings, unigram_entropy, unigram_loss
from bert_jax.corpus.sample import Sample
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing, Tokenizer

HEALTHY = {"unk_share": 0.0, "duplicate_line_share": 0.0, "duplicate_document_share": 0.0}
ROWS = {"same_document_randoms": 0, "row_fill": 0.99, "rows": 1000, "cut_share": 0.05}


def warnings_for(
    text=(),
    rows=(),
    casing=Casing(),  # noqa: B008
    sample=(0.0, 0.0),
    vocab=(),
) -> list[str]:
    report = {
        "text": HEALTHY | dict(text),
        "config": {"pack": True},
        "datasets": {"128": {"splits": {"train": ROWS | dict(rows)}}},
    }
    tokenizer = Tokenizer([*SPECIAL_TOKENS, "a", *vocab], casing)
    return collect_warnings(report, tokenizer, Sample("lines", *sample))


def test_a_healthy_corpus_gets_no_warning():
    assert warnings_for() == []


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"casing": Casing(True), "sample": (0.5, 0.0)}, "50% of the letters are Hangul"),
        ({"sample": (0.0, 0.04)}, "4% of the letters are capitals"),
        ({"casing": Casing(True), "vocab": ["A", "B"]}, "2 tokens have capitals"),
        ({"text": {"unk_share": 0.02}}, "2.0% of the tokens are [UNK]"),
        (
            {"text": {"duplicate_line_share": 0.3}},
            "30% of the lines have occurred before; repeated text is memorized",
        ),
        ({"text": {"duplicate_document_share": 0.2}}, "20% of the documents are copies"),
        ({"rows": {"same_document_randoms": 3}}, "3 random next sentences come from the same"),
        ({"rows": {"row_fill": 0.5}}, "rows are only 50% full"),
        ({"rows": {"cut_share": 0.4}}, "40% of the tokens are cut off"),
    ],
)
def test_each_defect_has_its_own_warning(case, words):
    (warning,) = warnings_for(**case)
    assert words in warning


def test_korean_without_accent_stripping_is_healthy():
    assert warnings_for(casing=Casing(True, strip_accents=False), sample=(0.9, 0.0)) == []


def test_unigram_entropy_by_hand():
    assert unigram_entropy(np.array([1, 1, 0, 2])) == pytest.approx(1.5 * np.log(2))


def test_unigram_loss_by_hand():
    train, held_out = np.array([1, 3, 0, 0]), np.array([0, 2, 1, 0])
    # With one more of each, 2, 4, 1, 1 of 8: twice a half, once an eighth.
    assert unigram_loss(held_out, train) == pytest.approx((2 * np.log(2) + np.log(8)) / 3)
    many = 10**7 * np.array([1, 1, 0, 2])
    assert unigram_loss(many, many) == pytest.approx(unigram_entropy(many), rel=1e-5)
