"""Which views a model has."""

import contextlib
import json

import pytest

from bert_jax.errors import ConfigError, UserError
from bert_jax.explorer.opening import kind_of, open_views
from tests.explorer.conftest import CLASSIFIER, ENCODER


def names(opened):
    return {view.name for view in opened.views}


def test_a_pretrained_model_fills_blanks_and_a_classifier_does_not():
    opened = open_views(ENCODER)
    assert "fill" in names(opened)
    assert "classify" not in names(opened)
    assert opened.about.startswith("BertForMaskedLM: 2 layers of 128, 2 heads, 2,015,360 param")
    with contextlib.suppress(ConfigError):  # it has no view at all
        assert "fill" not in names(open_views(CLASSIFIER))


def test_a_run_is_known_by_its_configuration(tmp_path, nano_run):
    assert kind_of(nano_run) == ("bert", True)
    assert "fill" in names(open_views(str(nano_run)))
    for kind, field in (("translator", "source_length"), ("memory", "criterion_sizes")):
        run = tmp_path / kind
        run.mkdir()
        (run / "config.json").write_text(json.dumps({field: 1}))
        (run / "metrics.jsonl").write_text("")
        assert kind_of(run) == (kind, True)


def test_a_folder_without_a_model_is_a_user_s_error(tmp_path):
    with pytest.raises(ConfigError, match="is not a model"):
        open_views(str(tmp_path))
    with pytest.raises(UserError, match="is not a model"):
        open_views(str(tmp_path / "absent"))


def test_a_model_of_an_object_store_is_opened_from_its_copy(store):
    store.put(f"{ENCODER}/", "/bucket/model/", recursive=True)
    opened = open_views("memory://bucket/model")
    assert opened.name == "memory://bucket/model"
    assert "fill" in names(opened)
