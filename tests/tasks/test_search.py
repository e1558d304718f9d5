"""The search for settings of fine-tuning: what it tries, chooses, keeps and reads."""

import json
import math
from dataclasses import replace

import pytest

from bert_jax.config import BertConfig, FinetuneConfig, SearchConfig
from bert_jax.errors import ConfigError, DivergedError
from bert_jax.labelled.batching import EncodedText
from bert_jax.tasks.search import Trials, describe_trials, make_grid, search
from bert_jax.tasks.splits import Split, limit_examples

GRID = SearchConfig((0.1, 0.2), (0.0, 0.5), (0.25,), (2.0, 4.0))
CONFIG = FinetuneConfig("regression", "", "", "", learning_rate=0.3, grid=GRID)
DATA = {name: Split(list(range(9)), []) for name in ("train", "dev", "test")}


def settings(config):
    return config.learning_rate, config.epochs, config.dropout, config.word_dropout


def run(value, sign=1, config=CONFIG):
    """Search with a function of the settings as the score; return the best and all trials."""
    tried = []

    def measure(config):
        tried.append(settings(config))
        return value(*tried[-1])

    best = search(config, make_grid(config, BertConfig()), measure, sign)
    return best and settings(best), tried


def test_each_option_is_tried_with_the_best_of_those_before():
    best, tried = run(lambda rate, epochs, dropout, words: rate == 0.2 and epochs - 4 * words)
    assert tried == [
        (0.3, 3.0, None, 0.0), (0.1, 3.0, None, 0.0), (0.2, 3.0, None, 0.0),
        (0.2, 3.0, 0.0, 0.0), (0.2, 3.0, 0.5, 0.0), (0.2, 3.0, None, 0.25),
        (0.2, 2.0, None, 0.0), (0.2, 4.0, None, 0.0),
    ]  # fmt: skip
    assert best == (0.2, 4.0, None, 0.0)
    best, _ = run(lambda rate, epochs, dropout, words: rate + epochs + words, sign=-1)
    assert best == (0.1, 2.0, None, 0.0)


def test_a_diverged_trial_is_never_best_and_an_interrupted_one_ends_the_search():
    best, tried = run(lambda rate, *_: math.nan if rate == 0.3 else -rate)
    assert best == (0.1, 3.0, None, 0.0)
    best, tried = run(lambda rate, *_: None if rate == 0.1 else rate)
    assert (best, len(tried)) == (None, 2)


@pytest.mark.parametrize(("width", "first"), [(256, 3e-4), (768, 2e-5)])
def test_learning_rates_follow_the_width_unless_they_are_given(width, first):
    encoder = BertConfig(hidden_size=width, num_attention_heads=4)
    assert make_grid(replace(CONFIG, grid=SearchConfig()), encoder)["learning_rate"][0] == first
    assert make_grid(CONFIG, encoder)["learning_rate"] == (0.1, 0.2)


def test_the_encoders_own_dropout_is_not_tried_twice():
    encoder = BertConfig(hidden_dropout_prob=0.5)
    assert make_grid(CONFIG, encoder)["dropout"] == (0.0,)
    assert make_grid(replace(CONFIG, dropout=0.2), encoder)["dropout"] == (0.0, 0.5)


def test_an_invalid_value_is_refused_before_the_first_trial():
    with pytest.raises(ConfigError, match=r"word_dropout = 1\.5 is invalid"):
        make_grid(replace(CONFIG, grid=SearchConfig(word_dropout=(1.5,))), BertConfig())


def open_trials(folder, train, config=CONFIG, hashes=()):
    return Trials(folder, config, make_grid(config, BertConfig()), DATA, dict(hashes), train)


def test_finished_trials_are_read_and_those_of_other_data_refused(tmp_path, capsys):
    seen = []

    def train(config, folder, data):
        seen.append(data)
        folder.mkdir(parents=True)
        for name in ("checkpoints", "plots"):
            (folder / name).mkdir()
        if config.dropout == 0.5:
            raise DivergedError("5 steps gave NaN", "finite losses", "lower the learning rate")
        return 0.5

    config = replace(CONFIG, grid=replace(GRID, train_limit=3))
    first, second = config, replace(config, dropout=0.5)
    trials = open_trials(tmp_path, train, config)
    assert trials.measure(first) == 0.5
    assert math.isnan(trials.measure(second))
    assert "trials use 3 of 9 training examples (33%)" in capsys.readouterr().out
    assert [set(data) for data in seen] == [{"train", "dev"}] * 2
    assert seen[0]["train"].examples == [0, 4, 8]
    assert [path.name for path in (tmp_path / "search").glob("*/*")] == ["plots"] * 2

    again = open_trials(tmp_path, train, replace(config, learning_rate=0.1, patience=None))
    assert again.measure(first) == 0.5
    assert math.isnan(again.measure(second))
    assert len(seen) == 2
    table = describe_trials(again.finished, first).splitlines()
    assert [row.split()[-1] for row in table] == ["seconds", "best", "0"]
    assert "encoder's" in table[1]
    assert "diverged" in table[2]
    with pytest.raises(ConfigError, match=r"batch_size \(saved 32, given 16\)"):
        open_trials(tmp_path, train, replace(config, batch_size=16))
    with pytest.raises(ConfigError, match=r"grid\.train_limit \(saved 3, given 20000\)"):
        open_trials(tmp_path, train)
    with pytest.raises(ConfigError, match=r"data \(saved \(absent\), given 1\)"):
        open_trials(tmp_path, train, config, {"data": "1"})


@pytest.mark.parametrize("run", ["", "seed-0"])
def test_a_run_begun_without_a_search_is_refused_before_the_first_trial(tmp_path, run):
    step = tmp_path / run / "checkpoints" / "7"
    step.mkdir(parents=True)
    step.with_name("7.manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"has checkpoints of a run without .*\n.*\n.*--name, or"):
        open_trials(tmp_path, None)
    (tmp_path / "search.json").write_text("{}")  # a search that has ended, and its run
    with pytest.raises(ConfigError, match="comes from another run"):
        open_trials(tmp_path, None)


def test_an_option_that_a_search_did_not_have_counts_as_its_default(tmp_path):
    trials = open_trials(tmp_path, lambda *_: 1.0)
    (tmp_path / "search").mkdir()
    trials.measure(CONFIG)
    saved = json.loads((tmp_path / "search.json").read_text())
    del saved["identity"]["patience"]
    (tmp_path / "search.json").write_text(json.dumps(saved))
    assert len(open_trials(tmp_path, lambda *_: 1.0).finished) == 1


def test_a_limited_split_keeps_all_texts_of_its_examples():
    texts = [EncodedText([i], 1, {}, example) for i, example in enumerate((0, 0, 1, 2, 2, 3))]
    split = Split(list("abcd"), texts)
    assert limit_examples(split, None) is split
    assert limit_examples(split, 4) is split
    half = limit_examples(split, 2)
    assert half.examples == ["a", "d"]
    assert [(text.tokens, text.example) for text in half.encoded] == [([0], 0), ([1], 0), ([5], 1)]
