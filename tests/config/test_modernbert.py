"""ModernBERT's configuration, and how a file tells a family from another."""

import json
from dataclasses import replace

import pytest

from bert_jax.config import (
    BertConfig,
    LoopConfig,
    ModernBertConfig,
    OptimizerConfig,
    PretrainConfig,
    from_dict,
    resume_identity,
    to_json,
)
from bert_jax.errors import ConfigError


def make(model, **options):
    return PretrainConfig("rows", model, OptimizerConfig(), LoopConfig(steps=10), **options)


def test_a_file_names_its_family_and_without_a_name_it_is_berts():
    for model in (BertConfig(hidden_size=24), ModernBertConfig(hidden_size=24)):
        saved = json.loads(to_json(make(model)))
        assert ("model_type" in saved["model"]) == isinstance(model, ModernBertConfig)
        assert from_dict(PretrainConfig, saved).model == model
    saved["model"]["model_type"] = "bart"
    with pytest.raises(ConfigError, match=r"model_type = 'bart'(.|\n)*'bert', 'modernbert'"):
        from_dict(PretrainConfig, saved)
    del saved["model"]["model_type"]
    with pytest.raises(ConfigError, match="unknown field 'hidden_activation'"):
        from_dict(PretrainConfig, saved)


def test_a_run_is_not_resumed_by_another_family():
    identity = resume_identity(make(ModernBertConfig()))
    assert identity["model.model_type"] == '"modernbert"'
    assert "model.classifier_dropout" not in identity
    assert "model.model_type" not in resume_identity(make(BertConfig()))


def test_layers_alternate_and_the_window_is_half_of_local_attention_to_each_side():
    config = ModernBertConfig(num_hidden_layers=5, local_attention=9)
    assert [config.is_local(i) for i in range(5)] == [False, True, True, False, True]
    assert config.window == 4


def test_dropout_of_hidden_layers_and_of_attention():
    config = ModernBertConfig().with_dropout(0.2)
    assert (config.embedding_dropout, config.mlp_dropout, config.classifier_dropout) == (0.2,) * 3
    assert (config.hidden_dropout_rate, config.attention_dropout_rate) == (0.2, 0.0)
    config = config.with_dropout(None, 0.3)
    assert (config.hidden_dropout_rate, config.attention_dropout_rate) == (0.2, 0.3)


def test_it_learns_masked_words_alone_from_any_rows():
    run = make(ModernBertConfig())
    assert (run.with_nsp(True).nsp, run.with_nsp(False).nsp) == (False, None)
    assert replace(run, nsp=False).with_nsp(False).nsp is None
    with pytest.raises(ConfigError, match="a ModernBERT does not predict next sentences"):
        replace(run, nsp=True).with_nsp(True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_attention_heads": 7}, "num_attention_heads = 7 is invalid"),
        ({"hidden_size": 36}, "num_attention_heads = 12 is invalid(.|\n)*even width"),
        ({"local_attention": 0}, "local_attention = 0"),
        ({"global_attn_every_n_layers": 0}, "global_attn_every_n_layers = 0"),
        ({"classifier_pooling": "max"}, "classifier_pooling = 'max'"),
        ({"hidden_activation": "swish"}, "hidden_activation = 'swish'"),
        ({"mlp_dropout": 1.0}, "mlp_dropout = 1.0"),
        ({"local_rope_theta": 0.5}, "local_rope_theta = 0.5"),
        ({"norm_eps": 0.0}, "norm_eps = 0.0"),
        ({"num_hidden_layers": 2000}, "num_hidden_layers = 2000"),
    ],
)
def test_invalid_fields_are_named(fields, message):
    with pytest.raises(ConfigError, match=message):
        ModernBertConfig(**fields)
