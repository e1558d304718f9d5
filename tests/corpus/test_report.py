import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from bert_jax.config import PrepareConfig
from bert_jax.corpus.report import fingerprint, print_report, unigram_entropy, unigram_loss


def large_report(nsp: bool) -> dict:
    """Return the report of a very large corpus."""
    sizes = dict.fromkeys(
        ("documents", "lines", "sentences", "characters", "bytes", "tokens"), 123_456_789_012
    )
    unit = "pair" if nsp else "sequence"
    split = {
        "rows": 123_456_789, f"{unit}s": 1_234_567_890, "row_fill": 1.0, "cut_share": 1.0,
        "random_next_share": 1.0, "shards": [{}] * 1000, f"{unit}_length_histogram": [1] * 16,
    }  # fmt: skip
    return {
        "text": sizes | {
            "characters_per_token": 3.5, "unk_share": 1.0, "tokens_never_seen": 123_456,
            "duplicate_document_share": 0.5, "duplicate_line_share": 0.5,
            "duplicates_estimated": True,
        },
        "text_by_split": {"train": sizes, "eval": sizes},
        "config": {"nsp": nsp, "vocab": None, "vocab_size": 1_000_000},
        "sentences": "split", "vocab_size": 123_456, "unigram_entropy": 7.0, "unigram_loss": 7.0,
        "datasets": {"4096": {"splits": {"train": split, "eval": split}}},
        "sentences_cut": {"4096": 3}, "bad_input": {}, "warnings": ["[UNK] is kept as it is"],
        "timing": {"seconds": {"rows": 1.0}, "rows_mb_per_s": 1.0},
    }  # fmt: skip


@pytest.mark.parametrize("nsp", [True, False])
def test_the_tables_fit_into_80_columns(nsp):
    """No number is wrapped onto a second line, or cut short."""
    printed = io.StringIO()
    print_report(large_report(nsp), Console(file=printed, width=80))
    lines = printed.getvalue().split("\n")
    assert max(map(len, lines)) <= 80
    assert "…" not in printed.getvalue().replace("(0 … 4096", "")
    for name in ("documents", "bytes"):
        (line,) = [line for line in lines if line.strip().startswith(name)]
        assert line.count("123,456,789,012") == 3
    assert sum("T4096 " in line and "123,456,789 " in line for line in lines) == 2
    assert [name in printed.getvalue() for name in ("pairs", "random")] == [nsp, nsp]
    for text in (
        "vocabulary            123,456 of --vocab-size 1,000,000: all that the text has",
        "[UNK]                 100.000%",
        "warning: [UNK] is kept as it is",
    ):
        assert text in [line.rstrip() for line in lines]


def test_a_later_option_changes_the_fingerprint_only_if_it_is_given():
    config = PrepareConfig(("text",), "out")

    def of(config, *without):
        settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in without}
        return fingerprint(config, settings, "tokenizer", {})

    assert of(config) == of(config, "nsp")
    assert of(config) != of(dataclasses.replace(config, nsp=False))
    assert of(config) != of(dataclasses.replace(config, seed=1))


def test_unigram_entropy_by_hand():
    assert unigram_entropy(np.array([1, 1, 0, 2])) == pytest.approx(1.5 * np.log(2))


def test_unigram_loss_by_hand():
    train, held_out = np.array([1, 3, 0, 0]), np.array([0, 2, 1, 0])
    # With one more of each, 2, 4, 1, 1 of 8: twice a half, once an eighth.
    assert unigram_loss(held_out, train) == pytest.approx((2 * np.log(2) + np.log(8)) / 3)
    many = 10**7 * np.array([1, 1, 0, 2])
    assert unigram_loss(many, many) == pytest.approx(unigram_entropy(many), rel=1e-5)
