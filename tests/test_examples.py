"""Properties of the labelled reviews, the trained models, and the demo from end to end."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import bert_jax
import demo
from bert_jax.config import LoopConfig, Phase
from bert_jax.errors import ConfigError
from bert_jax.interop.manifest import read_metadata
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import read_table
from configs.finetune import demo as reviews
from configs.finetune import demo_korean as korean_reviews
from tests.nano import MODEL

ROOT = Path(__file__).parent.parent
ENCODER, CLASSIFIER = ROOT / "examples/nsmc_encoder", ROOT / "examples/nsmc_classifier"
LANGUAGES = ("English", "Korean")
LABELS = ("negative", "positive")
MASKED = {"정말 [MASK] 영화였어요.": "감동적인", "시간이 [MASK]": "아깝다"}
FILM_REVIEWS = {
    "정말 감동적인 영화였어요. 최고!": "positive",
    "배우들 연기도 훌륭하고 너무 재미있게 봤습니다": "positive",
    "지루하고 재미없다. 시간 아깝다": "negative",
    "최악의 영화. 돈이 아깝네요": "negative",
}


def read(split: str) -> list[tuple[str, str]]:
    rejects = Rejects()
    table = read_table(str(ROOT / "examples" / f"reviews_{split}.tsv"), rejects)
    assert (table.columns, rejects.rows) == (("text", "label"), [])
    return [(record.values["text"], record.values["label"]) for record in table.records]


def language(text: str) -> str:
    return LANGUAGES[any("가" <= character <= "힣" for character in text)]


@pytest.mark.parametrize(("split", "each"), [("train", 134), ("dev", 34)])
def test_languages_and_labels_are_equally_frequent(split, each):
    counts = Counter((language(text), label) for text, label in read(split))
    assert counts == {(name, label): each for name in LANGUAGES for label in LABELS}


def test_no_review_occurs_twice():
    texts = [" ".join(text.lower().split()) for text, _ in read("train") + read("dev")]
    assert [text for text, count in Counter(texts).items() if count > 1] == []


def test_reviews_are_clean_lines_of_3_to_30_words():
    texts = [text for text, _ in read("train") + read("dev")]
    assert [text for text in texts if not 3 <= len(text.split()) <= 30] == []
    assert [text for text in texts if text != " ".join(text.split())] == []
    lengths = {len(text.split()) for text in texts}
    assert min(lengths) <= 4
    assert max(lengths) >= 25


def test_the_demo_reads_the_reviews_and_its_own_run():
    config = reviews()
    assert [Path(name) for name in (config.train, config.dev)] == [
        Path("examples/reviews_train.tsv"), Path("examples/reviews_dev.tsv"),
    ]  # fmt: skip
    assert (config.encoder, config.name) == ("runs/demo", "demo_reviews")
    assert sorted(map(language, demo.NEW_REVIEWS)) == ["English"] * 2 + ["Korean"] * 2


def test_the_korean_reviews_are_written_with_their_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    demo.write_korean_lines(str(ROOT / "examples/reviews_dev.tsv"), "ko.tsv")
    table = read_table("ko.tsv", Rejects())
    written = [(record.values["text"], record.values["label"]) for record in table.records]
    assert written == [row for row in read("dev") if language(row[0]) == "Korean"]
    assert len(written) == 68


def test_the_corpus_holds_each_training_review_once_and_no_held_out_one(monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = Counter(demo.corpus().split("\n"))
    documents = lines.pop("")
    assert documents > 100
    assert set(lines.values()) == {1}
    assert {text for text, _ in read("train")} <= set(lines)
    assert set(lines).isdisjoint({text for text, _ in read("dev")} | set(demo.NEW_REVIEWS))


def test_the_error_for_a_stale_run_of_the_demo_names_what_to_remove(tmp_path, monkeypatch):
    """The demo's runs have fixed names, so "choose another name" would be useless advice."""

    def refuse(config):
        raise ConfigError("checkpoint 10 comes from another run: data", "the saved", "another name")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "corpus", lambda: "text")
    monkeypatch.setattr(demo.prepare, "main", lambda config: {})
    monkeypatch.setattr(demo.pretrain, "main", refuse)
    with pytest.raises(ConfigError, match="checkpoint 10 comes from another run") as caught:
        demo.main()
    assert "rm -r runs/demo runs/demo_reviews" in str(caught.value)
    assert str(caught.value).count("\n") == 2


def test_the_shipped_models_take_less_than_10_mb():
    folders = [ENCODER, CLASSIFIER]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10_000_000
    for folder in folders:
        assert read_metadata(folder)["files"].keys() <= {path.name for path in folder.iterdir()}
        assert "CC0" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_shipped_encoder_fills_masks_with_sensible_words():
    encoder = bert_jax.load(ENCODER)  # checks every hash
    for text, word in MASKED.items():
        assert word in [token for token, _ in encoder.fill_mask(text)[0]]


def test_the_shipped_classifier_tells_good_reviews_from_bad():
    classifier = bert_jax.load(CLASSIFIER)
    predictions = classifier.predict(list(FILM_REVIEWS))
    assert [x["label"] for x in predictions] == list(FILM_REVIEWS.values())
    assert min(x["probability"] for x in predictions) > 0.9


@pytest.mark.heavy
def test_the_demo_runs(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    few = {name: demo.topics[name] for name in sorted(demo.topics)[:12]}
    monkeypatch.setattr(demo, "topics", few)
    run = replace(
        demo.demo(), model=MODEL, phases=(Phase(length=32, batch_size=8),),
        loop=LoopConfig(steps=4, log_every=2, eval_every=2, checkpoint_every=2),
    )  # fmt: skip
    monkeypatch.setattr(demo, "demo", lambda: run)
    monkeypatch.setattr(demo, "reviews", lambda: replace(reviews(), epochs=0.2, evals_per_epoch=1))
    short = replace(korean_reviews(), epochs=0.5, evals_per_epoch=2)
    monkeypatch.setattr(demo, "korean_reviews", lambda: short)
    assert demo.main() == 0
    output = capsys.readouterr().out
    for text in (
        "(unigram model: ",
        *demo.SENTENCES,
        *demo.NEW_REVIEWS,
        "reloaded: same predictions; accuracy on 136 held-out reviews",
        "from examples/nsmc_encoder: accuracy on 68 held-out reviews",
    ):
        assert text in output
    assert "[UNK]" in output  # from the data report
    assert "Hangul" not in output  # no warning in the data report
    vocab = (tmp_path / "data/demo/tokenizer/vocab.txt").read_text(encoding="utf-8")
    assert any("가" <= character <= "힣" for character in vocab)


def test_the_demo_prints_a_users_error_as_three_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert demo.command_line() == 3
    assert capsys.readouterr().err.startswith("error: examples/reviews_train.tsv does not exist")
