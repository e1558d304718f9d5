"""Which views a model has."""

import contextlib
import json

import jax
import pytest

import bert_jax
from bert_jax.config import ModernBertConfig
from bert_jax.errors import ConfigError, UserError
from bert_jax.explorer.opening import kind_of, open_views
from bert_jax.explorer.server import prepare
from bert_jax.interop.huggingface import PretrainedModel, write_directory
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Tokenizer
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


def test_every_view_of_a_modernbert_answers(tmp_path):
    vocab = [*SPECIAL_TOKENS, *"abcdef"]
    config = ModernBertConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=64, vocab_size=len(vocab), local_attention=4,
    )  # fmt: skip
    name = "ModernBertForMaskedLM"
    params = build(config, architecture(name))[0](jax.random.key(0))
    folder = tmp_path / "model"
    write_directory(folder, PretrainedModel(config, name, params, Tokenizer(vocab)))
    opened = open_views(str(folder))
    views = {view.name: view for view in opened.views}
    assert list(views) == ["fill", "attention", "vectors"]
    prepare(opened)
    for view in opened.views:
        assert [view.answer(request) for request in view.to_save(["a b c d e f a b c"])]
    (blank,) = views["fill"].answer({"text": "a b [MASK] d"})["blanks"]
    (all_tokens,) = bert_jax.load(folder).fill_mask("a b [MASK] d", top_k=len(vocab))
    expected = [pair for pair in all_tokens if pair[0] not in SPECIAL_TOKENS]
    found = [(one["text"], one["probability"]) for one in blank["candidates"][: len(expected)]]
    assert [token for token, _ in found] == [token for token, _ in expected]
    assert [p for _, p in found] == pytest.approx([p for _, p in expected], rel=1e-4)
