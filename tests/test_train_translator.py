"""train_translator.py end to end, on synthetic pairs: learning, resuming, refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import train_translator
from bert_jax.config import flatten, from_dict, to_json
from bert_jax.errors import ConfigError
from bert_jax.lineage.config import (
    GNMTConfig,
    SearchConfig,
    Seq2SeqConfig,
    TrainTranslatorConfig,
    TransformerConfig,
)
from bert_jax.training.machine import machine_at_hand
from configs.train_translator import RUNS
from tests.test_pretrain import assert_same_bits, final_state, state_of
from tests.training import children
from tests.training.interrupted import interrupt_while_saving
from tests.word_pairs import write_words


@pytest.fixture(scope="module")
def config(word_config):
    return word_config


@pytest.fixture(scope="module")
def trained(trained_words):
    return trained_words


def test_it_learns_and_reports_its_scores(trained):
    report = json.loads((trained / "evaluation" / "report.json").read_text())

    assert report["dev"]["exact"] >= 0.6  # chance: 1 in 5 even for a single word
    rows = (trained / "evaluation" / "translations.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["source", "reference", "translation"]
    assert len(rows) == 31


def test_a_dry_run_compiles_the_largest_batches_and_trains_nothing(config, tmp_path, capsys):
    assert train_translator.main(replace(config, runs_dir=str(tmp_path), dry_run=True)) == 0
    printed = capsys.readouterr().out
    assert ": fits: 0.00 of " in printed
    assert " all-reduce, 0 MB; 0 asynchronous" in printed
    assert list(tmp_path.iterdir()) == []


def test_all_is_compiled_before_the_first_step_and_nothing_after_the_last(
    config, trained, monkeypatch
):
    log = (trained / "train.log").read_text()
    for name in ("training step, 32", "evaluation, 64", "greedy search, 64", "search with 2 beams"):
        assert log.index(f"{name}") < log.index("first step took")
    machine = machine_at_hand()._replace(memory=1)
    monkeypatch.setattr(train_translator, "choose_machine", lambda topology: machine)
    assert train_translator.main(config) == 0


def test_resuming_is_as_if_never_interrupted(config, trained, tmp_path):
    again = replace(config, runs_dir=str(tmp_path), name="words")
    shutil.copytree(trained, tmp_path / "words")
    for step in ("200", "300"):
        shutil.rmtree(tmp_path / "words" / "checkpoints" / step, ignore_errors=True)
        (tmp_path / "words" / "checkpoints" / f"{step}.manifest.json").unlink(missing_ok=True)
    left = sorted(p.name for p in (tmp_path / "words" / "checkpoints").glob("*.manifest.json"))

    assert train_translator.main(again) == 0

    assert left == ["100.manifest.json"]
    assert_same_bits(final_state(again), final_state(config))


def test_other_training_pairs_are_refused_by_name(config, trained, tmp_path):
    other = replace(config, train=write_words(tmp_path / "other.tsv", 400, 5))

    with pytest.raises(ConfigError, match="data"):
        train_translator.main(other)


def test_what_decides_the_best_checkpoint_may_not_change(config, trained, tmp_path):
    for other in (
        replace(config, eval_pairs=5),
        replace(config, dev=write_words(tmp_path / "other.tsv", 30, 5)),
    ):
        with pytest.raises(ConfigError, match=r"eval_pairs|data"):
            train_translator.main(other)


def test_a_batch_that_the_devices_cannot_share_is_refused(config):
    with pytest.raises(ConfigError, match="batch"):
        train_translator.main(replace(config, batch_size=30, name="odd"))


def test_a_lower_cased_run_reports_one_bleu(config, tmp_path):
    upper = tmp_path / "upper.tsv"
    upper.write_text(Path(config.dev[0]).read_text(encoding="utf-8").upper(), encoding="utf-8")
    loop = replace(config.loop, steps=60, eval_every=60, checkpoint_every=60)
    changes = {"lowercase": True, "metric": "bleu", "dev": (str(upper),), "name": "lower"}

    assert train_translator.main(replace(config, loop=loop, **changes)) == 0

    folder = Path(config.runs_dir) / "lower" / "evaluation"
    report = json.loads((folder / "report.json").read_text())
    assert report["dev"]["bleu"] > 0
    assert f"BLEU = {report['dev']['bleu']:.2f} " in report["details"]


TRAIN = """
import train_translator
from pathlib import Path
from bert_jax.config import read_json
from bert_jax.lineage.config import TrainTranslatorConfig
sys.exit(train_translator.main(read_json(TrainTranslatorConfig, Path(sys.argv[3]))))
"""


@pytest.mark.heavy
def test_two_processes_train_and_translate_as_one(config, tmp_path):
    path, loop = tmp_path / "config.json", replace(config.loop, steps=20, checkpoint_every=20)
    model = replace(config.model, dropout=0.0)  # each device draws its own
    config = replace(config, model=model, loop=loop, runs_dir=str(tmp_path), name="alone")
    path.write_text(to_json(replace(config, name="pair")), encoding="utf-8")
    assert train_translator.main(config) == 0

    ended = children.finish_pair(children.start_pair(TRAIN, path))

    assert [code for code, _, _ in ended] == [0, 0], ended
    alone, pair = (state_of(tmp_path / name)[0] for name in ("alone", "pair"))
    for one, two in zip(alone, pair, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    written = [tmp_path / name / "evaluation" / "translations.tsv" for name in ("alone", "pair")]
    assert written[0].read_text("utf-8") == written[1].read_text("utf-8")


@pytest.mark.parametrize("name", RUNS)
def test_every_run_survives_json_and_is_documented(name):
    config = RUNS[name]()

    assert from_dict(TrainTranslatorConfig, json.loads(to_json(config))) == config
    assert RUNS[name].__doc__
    assert flatten(config)["model.kind"]


def test_an_unknown_kind_of_model_is_refused():
    values = json.loads(to_json(RUNS["dates"]()))
    values["model"]["kind"] = "rnn"

    with pytest.raises(ConfigError, match="kind = 'rnn'"):
        from_dict(TrainTranslatorConfig, values)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Seq2SeqConfig(attention="dot", bidirectional=True), "attention = 'dot'"),
        (lambda: Seq2SeqConfig(peeky=True), "peeky = True"),
        (lambda: Seq2SeqConfig(attention="none", tie_embeddings=True), "tie_embeddings = True"),
        (lambda: GNMTConfig(hidden_size=512, tie_embeddings=True), "tie_embeddings = True"),
        (lambda: Seq2SeqConfig(residual_words=True), "residual_words = True"),
        (lambda: GNMTConfig(hidden_size=512, residual_words=True), "residual_words = True"),
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
def test_invalid_configurations_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_save_in_progress_is_finished_when_the_run_is_interrupted(config, tmp_path, monkeypatch):
    assert (
        interrupt_while_saving(
            train_translator, replace(config, runs_dir=str(tmp_path)), monkeypatch
        )
        == 1
    )
