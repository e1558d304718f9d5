"""translate.py as a whole, on made-up pairs: learning, resuming, using, refusing."""

import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bert_jax
import translate
from bert_jax.config import (
    LoopConfig,
    OptimizerConfig,
    SearchConfig,
    Seq2SeqConfig,
    TransformerConfig,
    TranslateConfig,
    flatten,
    from_dict,
    to_json,
)
from bert_jax.data.subwords import END, train_characters
from bert_jax.errors import ConfigError, DataError
from bert_jax.translator import Translator
from configs.translate import RUNS
from tests.test_pretrain import assert_same_bits, final_state, state_of
from tests.training import children
from tests.training.interrupted import interrupt_while_saving

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}


def write_words(path, num, seed):
    """Numbers in English and German, word by word."""
    rng = np.random.default_rng(seed)
    rows = [rng.choice(list(WORDS), size=rng.integers(1, 5)) for _ in range(num)]
    lines = ["\t".join((" ".join(row), " ".join(WORDS[w] for w in row))) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return (str(path),)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translate")
    return TranslateConfig(
        model=Seq2SeqConfig(embedding_size=16, hidden_size=32, dropout=0.05, init_range=0.3),
        train=write_words(folder / "train.tsv", 400, 0),
        dev=write_words(folder / "dev.tsv", 30, 1),
        vocab_size=60,
        batch_tokens=None,
        batch_size=32,
        label_smoothing=0.1,
        metric="exact",
        optimizer=OptimizerConfig(
            learning_rate=1e-2, warmup_steps=10, schedule="constant", weight_decay=0.0
        ),
        loop=LoopConfig(steps=300, log_every=10, eval_every=150, checkpoint_every=100, keep_last=3),
        search=SearchConfig(num_beams=2),
        name="words",
        runs_dir=str(folder / "runs"),
    )


@pytest.fixture(scope="module")
def trained(config):
    assert translate.main(config) == 0
    return Path(config.runs_dir) / config.name


def test_it_learns_and_writes_down_how_well(trained):
    report = json.loads((trained / "evaluation" / "report.json").read_text())

    assert report["dev"]["exact"] >= 0.6  # by guessing: one in 5 even for a single word
    rows = (trained / "evaluation" / "translations.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["source", "reference", "translation"]
    assert len(rows) == 31


def test_resuming_is_as_if_never_interrupted(config, trained, tmp_path):
    again = replace(config, runs_dir=str(tmp_path), name="words")
    shutil.copytree(trained, tmp_path / "words")
    for step in ("200", "300"):
        shutil.rmtree(tmp_path / "words" / "checkpoints" / step, ignore_errors=True)
        (tmp_path / "words" / "checkpoints" / f"{step}.manifest.json").unlink(missing_ok=True)
    left = sorted(p.name for p in (tmp_path / "words" / "checkpoints").glob("*.manifest.json"))

    assert translate.main(again) == 0

    assert left == ["100.manifest.json"]
    assert_same_bits(final_state(again), final_state(config))


def test_a_file_is_translated_line_by_line(config, trained, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("one two\n\nfive § four\n", encoding="utf-8")
    output = tmp_path / "out.txt"

    used = replace(config, input=str(tmp_path / "in.txt"), output=str(output))
    assert translate.main(used) == 0

    lines = output.read_text(encoding="utf-8").split("\n")
    assert lines[:2] == ["eins zwei", ""]
    assert len(lines) == 4
    said = capsys.readouterr().err
    assert "1 of 3 lines have symbols outside the vocabulary, the first at" in said
    assert "in.txt:3: §" in said


def test_lines_of_standard_input_end_at_line_breaks_alone(config, trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\u2028two\nfive\n"))
    capsys.readouterr()

    assert translate.main(replace(config, input="-")) == 0

    assert capsys.readouterr().out == "eins zwei\nfünf\n"


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_translated(
    config, trained, tmp_path
):
    used = replace(config, input=str(tmp_path / "no.txt"), output=str(tmp_path / "no" / "out.txt"))

    with pytest.raises(ConfigError, match="there is no folder"):
        translate.main(used)


def test_typed_lines_are_answered_and_one_too_long_ends_nothing(
    config, trained, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("one " * 600 + "\ntwo two\n\n"))

    assert translate.main(replace(config, interactive=True)) == 0

    said = capsys.readouterr()
    assert said.out.split("\n")[-2] == "zwei zwei"
    assert "your text: a sentence of" in said.err


def test_an_alignment_is_drawn(config, trained):
    assert translate.main(replace(config, align="one three")) == 0

    picture = (trained / "plots" / "alignment.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "eins drei" in picture


def test_as_a_library(trained):
    translator = bert_jax.load_translator(trained)

    assert translator.translate(["four", ""]) == ["vier", ""]
    (found,) = translator.align(["four"])
    assert found.weights.shape == (len(found.target), len(found.source))


def test_short_sources_are_filled_up_with_end_symbols_in_use_too(trained, monkeypatch):
    plain = bert_jax.load_translator(trained)
    filled = Translator(replace(plain.config, source_length=9), plain.vocabulary, plain._params)
    (four,) = plain.vocabulary.encode(["four"])
    searched = []
    monkeypatch.setattr(filled, "_search", lambda _, sources: searched.extend(sources) or sources)

    filled.translate(["four"])
    (found,) = filled.align(["four"], ["vier"])

    assert searched == [four + [END] * (9 - len(four))]
    assert found.source[len(four) :] == ["</s>"] * (9 - len(four))
    assert found.weights.shape[1] == 9


def test_a_line_longer_than_the_positions_is_refused_with_its_place(config, trained, tmp_path):
    (tmp_path / "in.txt").write_text("one\n" + "one " * 600 + "\n", encoding="utf-8")

    with pytest.raises(DataError, match=r"in\.txt:2: a sentence of [\d,]+ tokens"):
        translate.main(replace(config, input=str(tmp_path / "in.txt")))


def test_another_model_s_vocabulary_is_refused(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    train_characters(["another text"], lowercase=False).save(tmp_path / "run" / "vocabulary")

    with pytest.raises(ConfigError, match="is not the vocabulary that this model was trained with"):
        bert_jax.load_translator(tmp_path / "run")


def test_other_training_pairs_are_refused_by_name(config, trained, tmp_path):
    other = replace(config, train=write_words(tmp_path / "other.tsv", 400, 5))

    with pytest.raises(ConfigError, match="data"):
        translate.main(other)


def test_what_decides_the_best_checkpoint_may_not_change(config, trained, tmp_path):
    for other in (
        replace(config, eval_pairs=5),
        replace(config, dev=write_words(tmp_path / "other.tsv", 30, 5)),
    ):
        with pytest.raises(ConfigError, match=r"eval_pairs|data"):
            translate.main(other)


def test_a_batch_that_the_devices_cannot_share_is_refused(config):
    with pytest.raises(ConfigError, match="batch"):
        translate.main(replace(config, batch_size=30, name="odd"))


def test_a_lower_cased_run_reports_one_bleu(config, tmp_path):
    upper = tmp_path / "upper.tsv"
    upper.write_text(Path(config.dev[0]).read_text(encoding="utf-8").upper(), encoding="utf-8")
    loop = replace(config.loop, steps=60, eval_every=60, checkpoint_every=60)
    changes = {"lowercase": True, "metric": "bleu", "dev": (str(upper),), "name": "lower"}

    assert translate.main(replace(config, loop=loop, **changes)) == 0

    folder = Path(config.runs_dir) / "lower" / "evaluation"
    report = json.loads((folder / "report.json").read_text())
    assert report["dev"]["bleu"] > 0
    assert f"BLEU = {report['dev']['bleu']:.2f} " in report["details"]


TRAIN = """
import translate
from pathlib import Path
from bert_jax.config import TranslateConfig, read_json
sys.exit(translate.main(read_json(TranslateConfig, Path(sys.argv[3]))))
"""


@pytest.mark.heavy
def test_two_processes_train_and_translate_as_one(config, tmp_path):
    path, loop = tmp_path / "config.json", replace(config.loop, steps=20, checkpoint_every=20)
    model = replace(config.model, dropout=0.0)  # each device draws its own
    config = replace(config, model=model, loop=loop, runs_dir=str(tmp_path), name="alone")
    path.write_text(to_json(replace(config, name="pair")), encoding="utf-8")
    assert translate.main(config) == 0

    ended = children.finish_pair(children.start_pair(TRAIN, path))

    assert [code for code, _, _ in ended] == [0, 0], ended
    alone, pair = (state_of(tmp_path / name)[0] for name in ("alone", "pair"))
    for one, two in zip(alone, pair, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    said = [tmp_path / name / "evaluation" / "translations.tsv" for name in ("alone", "pair")]
    assert said[0].read_text("utf-8") == said[1].read_text("utf-8")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        bert_jax.load_translator(tmp_path)


@pytest.mark.parametrize("name", RUNS)
def test_every_run_survives_json_and_is_documented(name):
    config = RUNS[name]()

    assert from_dict(TranslateConfig, json.loads(to_json(config))) == config
    assert RUNS[name].__doc__
    assert flatten(config)["model.kind"]


def test_an_unknown_kind_of_model_is_refused():
    values = json.loads(to_json(RUNS["dates"]()))
    values["model"]["kind"] = "rnn"

    with pytest.raises(ConfigError, match="kind = 'rnn'"):
        from_dict(TranslateConfig, values)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Seq2SeqConfig(attention="dot", bidirectional=True), "attention = 'dot'"),
        (lambda: Seq2SeqConfig(peeky=True), "peeky = True"),
        (lambda: Seq2SeqConfig(attention="none", input_feeding=True), "input_feeding = True"),
        (lambda: TransformerConfig(hidden_size=30, num_attention_heads=4), "hidden_size = 30"),
        (lambda: TransformerConfig(hidden_dropout_prob=1.0), "hidden_dropout_prob = 1.0"),
        (lambda: SearchConfig(num_beams=0), "num_beams = 0"),
        (lambda: SearchConfig(length_penalty=-1), "length_penalty = -1"),
        (lambda: replace(RUNS["dates"](), batch_tokens=5), "batch_size = 128"),
        (lambda: replace(RUNS["dates"](), label_smoothing=1.0), "label_smoothing = 1.0"),
        (lambda: replace(RUNS["dates"](), columns=("a",)), "columns"),
        (lambda: replace(RUNS["dates"](), source_length=513), "source_length = 513"),
        (lambda: replace(RUNS["dates"](), source_length=0), "source_length = 0"),
        (lambda: replace(RUNS["dates"](), train=("a", "b", "c")), "train"),
    ],
)
def test_configurations_that_cannot_work_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_save_under_way_is_finished_when_the_run_is_interrupted(config, tmp_path, monkeypatch):
    assert (
        interrupt_while_saving(translate, replace(config, runs_dir=str(tmp_path)), monkeypatch) == 1
    )
