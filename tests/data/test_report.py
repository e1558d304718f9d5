import pytest

from bert_jax.data.report import warnings
from bert_jax.data.sample import Sample, take_sample
from bert_jax.data.tokenizer import SPECIAL_TOKENS, Casing, Tokenizer
from bert_jax.errors import DataError

HEALTHY = {"unk_share": 0.0, "duplicate_line_share": 0.0, "duplicate_document_share": 0.0}
ROWS = {"same_document_randoms": 0, "row_fill": 0.99, "rows": 1000, "cut_share": 0.05}


def advice(text=(), rows=(), casing=Casing(), sample=(0.0, 0.0), vocab=()) -> list[str]:  # noqa: B008
    report = {
        "text": HEALTHY | dict(text),
        "config": {"pack": True},
        "datasets": {"128": {"splits": {"train": ROWS | dict(rows)}}},
    }
    tokenizer = Tokenizer([*SPECIAL_TOKENS, "a", *vocab], casing)
    return warnings(report, tokenizer, Sample("lines", *sample))


def test_a_healthy_corpus_gets_no_advice():
    assert advice() == []


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"casing": Casing(True), "sample": (0.5, 0.0)}, "50% of the letters are Hangul"),
        ({"sample": (0.0, 0.04)}, "4% of the letters are capitals"),
        ({"casing": Casing(True), "vocab": ["A", "B"]}, "2 tokens have capitals"),
        ({"text": {"unk_share": 0.02}}, "2.0% of the tokens are [UNK]"),
        ({"text": {"duplicate_line_share": 0.3}}, "30% of the lines have occurred before"),
        ({"text": {"duplicate_document_share": 0.2}}, "20% of the documents are copies"),
        ({"rows": {"same_document_randoms": 3}}, "3 random next sentences come from the same"),
        ({"rows": {"row_fill": 0.5}}, "rows are only 50% full"),
        ({"rows": {"cut_share": 0.4}}, "40% of the tokens are cut off"),
    ],
)
def test_each_ailment_is_named_alone(case, words):
    (found,) = advice(**case)
    assert words in found


def test_korean_without_accent_stripping_is_healthy():
    assert advice(casing=Casing(True, strip_accents=False), sample=(0.9, 0.0)) == []


def test_the_sample_counts_letters():
    sample = take_sample(["AB cd 한 1!", "\n한"], "auto", "en")
    assert sample == Sample("lines", hangul_share=2 / 6, upper_share=2 / 6)


def test_the_sample_is_bounded():
    endless = ("One sentence. Another one.\n" * 1000 for _ in range(10**9))
    assert take_sample(endless, "auto", "en").mode == "split"
    assert take_sample(["One. Two. Three."], "lines", "en").mode == "lines"


def test_no_text_at_all_is_refused():
    with pytest.raises(DataError, match="corpus is empty"):
        take_sample([], "auto", "en")
