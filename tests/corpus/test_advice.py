"""Advice of the data report: each defect has its warning, and what it advises works."""

import dataclasses
import random

import pytest

from bert_jax.config import PrepareConfig
from bert_jax.corpus.advice import collect_warnings
from bert_jax.corpus.sample import Sample
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing, Tokenizer
from prepare import main as prepare
from tests.small_texts import make_text

HEALTHY = {
    "unk_share": 0.0, "duplicate_line_share": 0.0, "duplicate_document_share": 0.0,
    "documents": 100, "sentences": 1000, "tokens": 13_000, "long_words": 0, "longest_word": 0,
}  # fmt: skip
ROWS = {
    "same_document_randoms": 0, "random_next_share": 0.55, "row_fill": 0.99, "rows": 1000,
    "pairs": 3500, "tokens": 120_000, "cut_share": 0.05,
}  # fmt: skip


DEFAULTS = {
    "casing": Casing(), "sample": (0.0, 0.0), "vocab": (), "given": "vocab.txt",
    "sentences": "split", "max_word_chars": 100, "documents": "blank-lines", "held_out": 9000,
    "eval_share": 0.01,
}  # fmt: skip


def warnings_for(text=(), rows=(), **options) -> list[str]:
    assert options.keys() <= DEFAULTS.keys()
    o = DEFAULTS | options
    config = {"pack": True, "vocab": o["given"], "vocab_size": 6, "documents": o["documents"]}
    splits = {"train": ROWS | dict(rows), "eval": {"tokens": o["held_out"]}}
    report = {
        "text": HEALTHY | dict(text),
        "config": config | {"eval_share": o["eval_share"]},
        "sentences": o["sentences"],
        "datasets": {"128": {"max_sequences": 4, "splits": splits}},
    }
    vocab = [*SPECIAL_TOKENS, "a", *o["vocab"]]
    tokenizer = Tokenizer(vocab, o["casing"], (), o["max_word_chars"])
    return collect_warnings(report, tokenizer, Sample("lines", *o["sample"]))


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
        ({"rows": {"row_fill": 0.5, "tokens": 20_000}}, "rows are only 50% full"),
        ({"rows": {"cut_share": 0.4}}, "40% of the tokens are cut off"),
        ({"rows": {"random_next_share": 1.0}}, "documents have 10.0 sentences on average"),
        ({"held_out": 400}, "400 tokens are held out, too few to compare evaluations: pass"),
    ],
)
def test_each_defect_has_its_own_warning(case, words):
    (warning,) = warnings_for(**case)
    assert words in warning


@pytest.mark.parametrize(
    "case",
    [
        # a small vocabulary, trained or given, has few capitals, but has them
        {"sample": (0.0, 0.15), "vocab": ["A", "##A"]},
        {"sample": (0.0, 0.15), "given": None},
        {"casing": Casing(True, strip_accents=False), "sample": (0.9, 0.0)},
        # rows that are not full because their pairs are long: more pairs would not fit
        {"rows": {"row_fill": 0.7, "pairs": 1500, "tokens": 90_000}},
        {"rows": {"row_fill": 0.5, "rows": 50, "pairs": 200, "tokens": 3000}},
        # a text that is small itself, of which enough is held out
        {"held_out": 400, "eval_share": 0.1},
    ],
)
def test_what_is_well_gets_no_warning(case):
    assert warnings_for(**case) == []


def test_advice_names_what_was_not_done_and_what_does_not_harm():
    cut = {"rows": {"cut_share": 0.4}}
    assert "--sentences split" not in warnings_for(**cut)[0]
    assert "--sentences split" not in warnings_for(**cut, sentences="lines")[0]
    prose = warnings_for(**cut, sentences="lines", sample=(0.0, 0.0, True))
    assert "pass --sentences split, larger --lengths, or --no-nsp" in prose[0]
    constant = {"rows": {"random_next_share": 1.0}, "text": {"sentences": 100}}
    assert "or join sentences to longer documents" in warnings_for(**constant)[0]
    by_line = constant | {"sentences": "lines", "documents": "lines"}
    assert "or leave --documents lines out" in warnings_for(**by_line)[0]
    assert "or --sentences split" in warnings_for(**by_line, sample=(0.0, 0.0, True))[0]
    (korean,) = warnings_for(sample=(0.8, 0.04))
    assert korean.endswith("vocab.txt has none: pass --lowercase --strip-accents False")
    assert "a --vocab-size above 6" in warnings_for(text={"unk_share": 0.02}, given=None)[0]


# --- Following the advice removes the warning -----------------------------------------------------


def settings(tmp_path, text: str, **options) -> PrepareConfig:
    path = tmp_path / "text.txt"
    path.write_text(text)
    common = {"lengths": (32,), "vocab_size": 200, "eval_share": 0.0, "workers": 1}
    return PrepareConfig((str(path),), str(tmp_path / "out"), **common | options)


TWEETS = "\n\n".join(f"only number {n} here, {n % 7} times." for n in range(400))


def test_documents_of_one_sentence_have_a_constant_label_that_no_nsp_avoids(tmp_path):
    config = settings(tmp_path, TWEETS)
    (warning,) = prepare(config)["warnings"]
    assert "100% of the next sentences are random" in warning
    assert "every document has one sentence. Pass --no-nsp, or join sentences" in warning
    report = prepare(dataclasses.replace(config, nsp=False))
    assert not [w for w in report["warnings"] if "random" in w]


def test_as_many_sequences_as_are_advised_fill_the_rows(tmp_path):
    config = settings(tmp_path, TWEETS, nsp=False, lengths=(128,))
    config = dataclasses.replace(config, inputs=config.inputs * 4)
    report = prepare(config)
    (warning,) = [w for w in report["warnings"] if "full" in w]
    assert report["datasets"]["128"]["splits"]["train"]["row_fill"] < 0.9
    needed = int(warning.rpartition("--max-sequences ")[2])
    report = prepare(dataclasses.replace(config, max_sequences=needed))
    assert report["datasets"]["128"]["splits"]["train"]["row_fill"] > 0.9
    assert not [w for w in report["warnings"] if "full" in w]


LONG_SENTENCES = "\n\n".join(
    "\n".join(" ".join(["the old of and"] * (5 + (n + i) % 3)) + f" {i}" for i in range(8))
    for n in range(60)
)


@pytest.mark.parametrize("change", [{"lengths": (128,)}, {"nsp": False}], ids=["lengths", "no nsp"])
def test_what_is_advised_cuts_off_less(tmp_path, change):
    config = settings(tmp_path, LONG_SENTENCES)
    report = prepare(config)
    assert any("cut off" in warning for warning in report["warnings"])
    report = prepare(dataclasses.replace(config, **change))
    assert not any("cut off" in warning for warning in report["warnings"])


def test_a_vocabulary_without_capitals_fits_lower_cased_text(tmp_path):
    vocab = tmp_path / "vocab.txt"
    text = make_text(40)
    trained = settings(tmp_path, text, lowercase=True)
    prepare(trained)
    (tmp_path / "out" / "tokenizer" / "vocab.txt").rename(vocab)
    config = settings(tmp_path, text.title(), vocab=str(vocab))
    report = prepare(config)
    assert any(w.endswith("has none: pass --lowercase") for w in report["warnings"])
    assert report["text"]["unk_share"] > 0.1
    report = prepare(dataclasses.replace(config, lowercase=True))
    assert report["warnings"] == []


def test_a_larger_vocabulary_has_the_characters_that_were_unknown(tmp_path):
    hangul = [chr(0xAC00 + 28 * i) for i in range(300)]
    text = "\n\n".join(" ".join(hangul[(n * 7 + i) % 300] for i in range(9)) for n in range(300))
    config = settings(tmp_path, text, nsp=False)
    (warning,) = [w for w in prepare(config)["warnings"] if "[UNK]" in w]
    assert "pass a --vocab-size above 200" in warning
    report = prepare(dataclasses.replace(config, vocab_size=1000))
    assert report["text"]["unk_share"] == 0


def test_words_that_are_too_long_are_named_as_the_reason(tmp_path):
    unknown = {"unk_share": 0.02, "long_words": 200, "longest_word": 130}
    (warning,) = warnings_for(text=unknown)
    assert warning == (
        "2.0% of the tokens are [UNK]: 200 words have more than 100 characters, up to 130: "
        "pass --max-word-length 130"
    )
    (warning,) = warnings_for(text=unknown | {"longest_word": 5000})
    assert warning.endswith("pass --max-word-length 1000 or put spaces between words")
    (warning,) = warnings_for(text=unknown | {"longest_word": 5000}, max_word_chars=1000)
    assert warning.endswith("up to 5,000: put spaces between words")
    assert "fit the language" in warnings_for(text=unknown | {"long_words": 20})[0]


def test_a_script_without_spaces_has_no_unknown_words_as_advised(tmp_path):
    rng = random.Random(0)
    lines = ["".join(rng.choices("กขคงจฉชซ", k=rng.randint(80, 130))) for _ in range(60)]
    (tmp_path / "thai.txt").write_text(
        "\n\n".join("\n".join(lines[i : i + 3]) for i in range(0, 60, 3))
    )
    config = PrepareConfig(
        inputs=(str(tmp_path / "thai.txt"),), output=str(tmp_path / "rows"), lengths=(64,),
        vocab_size=300, eval_share=0, workers=1,
    )  # fmt: skip
    report = prepare(config)
    longest = max(map(len, lines))
    assert report["text"]["long_words"] == sum(len(line) > 100 for line in lines)
    (warning,) = [w for w in report["warnings"] if "[UNK]" in w]
    assert warning.endswith(f"up to {longest}: pass --max-word-length {longest}")
    report = prepare(dataclasses.replace(config, max_word_length=longest))
    assert report["text"]["unk_share"] == 0
    assert Tokenizer.load(tmp_path / "rows" / "tokenizer").max_word_chars == longest
