"""A trained translation model, loaded."""

import json
import shutil
from dataclasses import replace

import pytest

from bert_jax.errors import ConfigError
from bert_jax.lineage.subwords import END, train_characters
from bert_jax.lineage.translator import Translator, load_translator


@pytest.fixture(scope="module")
def trained(trained_words):
    return trained_words


def test_as_a_library(trained):
    translator = load_translator(trained)

    assert translator.translate(["four", ""]) == ["vier", ""]
    (found,) = translator.align(["four"])
    assert found.weights.shape == (len(found.target), len(found.source))


def test_short_sources_are_filled_up_with_end_symbols_in_use_too(trained, monkeypatch):
    plain = load_translator(trained)
    filled = Translator(replace(plain.config, source_length=9), plain.vocabulary, plain.params)
    (four,) = plain.vocabulary.encode(["four"])
    searched = []
    monkeypatch.setattr(filled, "_search", lambda _, sources: searched.extend(sources) or sources)

    filled.translate(["four"])
    (found,) = filled.align(["four"], ["vier"])

    assert searched == [four + [END] * (9 - len(four))]
    assert found.source[len(four) :] == ["</s>"] * (9 - len(four))
    assert found.weights.shape[1] == 9


def test_another_model_s_vocabulary_is_refused(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    train_characters(["another text"], lowercase=False).save(tmp_path / "run" / "vocabulary")

    with pytest.raises(ConfigError, match="is not the vocabulary that this model was trained with"):
        load_translator(tmp_path / "run")


def test_a_config_json_that_is_not_the_checkpoint_s_is_refused(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    seen = config["model"]["hidden_size"]
    config["model"]["hidden_size"] = 2 * seen
    (run / "config.json").write_text(json.dumps(config))

    message = f"model.hidden_size = {2 * seen}, but the checkpoint has {seen}"
    with pytest.raises(ConfigError, match=message):
        load_translator(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        load_translator(tmp_path)
