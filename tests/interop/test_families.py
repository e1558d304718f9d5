"""Families of BERT's layers against transformers: outputs, losses, gradients, weights, fields."""

import dataclasses
import json
import os
import warnings

import jax
import numpy as np
import pytest

from benchmarks import families
from benchmarks.families import (
    LABELS,
    VOCAB,
    compare,
    configuration,
    make_model,
    models_of,
    round_trip,
)
from bert_jax.errors import ConfigError
from bert_jax.interop.config_json import make_config_json, read_config
from bert_jax.interop.families import FAMILIES
from bert_jax.interop.huggingface import read_directory, write_directory
from bert_jax.interop.stablehlo import make_inference_function
from bert_jax.models.architectures import architecture_of
from bert_jax.tokenizer.tokenizer import Casing, Tokenizer
from tests.extras import need

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = need("torch")
    transformers = need("transformers")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TOLERANCE = 2e-5
ONE = {"num_hidden_layers": 1}
CASES = {  # the first of each family has every head; the corners have those that they change
    "distilbert": ("distilbert", {"num_hidden_layers": 2}, None),
    "roberta": ("roberta", {"num_hidden_layers": 2}, None),
    "electra": ("electra", {"num_hidden_layers": 2, "embedding_size": 8}, None),
    "albert": ("albert", {"embedding_size": 8}, None),
    "layers in groups, equal widths": (
        "albert", {"embedding_size": 16, "num_hidden_groups": 2}, ("ForMaskedLM",),
    ),
    "xlm-roberta": ("xlm-roberta", ONE, ("ForMaskedLM", "ForSequenceClassification")),
    "embeddings as wide as the model": ("electra", ONE | {"embedding_size": 16}, ("ForMaskedLM",)),
    "padding is token 0, two segments": (
        "roberta", ONE | {"first_position": 1, "type_vocab_size": 2}, ("Model",),
    ),
    "another activation": (
        "roberta", ONE | {"hidden_act": "relu", "vocab_size": 50},
        ("ForMaskedLM", "ForSequenceClassification"),
    ),
    "another activation, in both heads of DistilBERT": (
        "distilbert", ONE | {"hidden_act": "relu", "vocab_size": 50}, ("ForMaskedLM",),
    ),
}  # fmt: skip
MODELS = [
    pytest.param(model_type, changes, name, id=f"{case}: {name}")
    for case, (model_type, changes, heads) in CASES.items()
    for config in [configuration(model_type, **changes)]
    for name in models_of(config)
    if heads is None or name.removeprefix(config.family) in heads
]


@pytest.mark.parametrize(("model_type", "changes", "name"), MODELS)
def test_outputs_losses_and_gradients_are_those_of_transformers(model_type, changes, name):
    found = compare(name, configuration(model_type, **changes))
    assert max(found) < TOLERANCE, found


@pytest.mark.parametrize(("model_type", "changes", "name"), MODELS)
def test_what_transformers_writes_comes_back_bit_equal(model_type, changes, name):
    assert round_trip(name, configuration(model_type, **changes))


@pytest.mark.parametrize("model_type", ["distilbert", "roberta", "electra", "albert"])
def test_without_a_name_it_is_what_its_weights_are(tmp_path, model_type):
    config = configuration(model_type, num_hidden_layers=1)
    for name in models_of(config):
        write_directory(tmp_path, make_model(name, config))
        (tmp_path / "bert_jax.json").unlink()
        values = json.loads((tmp_path / "config.json").read_text())
        del values["architectures"]
        values.pop("id2label", None), values.pop("label2id", None)
        (tmp_path / "config.json").write_text(json.dumps(values))
        read = read_directory(tmp_path, lambda line: None)
        assert read.architecture == name
        assert len(read.labels) == (3 if "Classification" in name else 0)


def test_a_discriminator_is_an_encoder_whose_head_is_left_out(tmp_path):
    config = configuration("electra", num_hidden_layers=1)
    fields = json.loads(make_config_json(config, "ElectraForPreTraining"))
    theirs = transformers.ElectraForPreTraining(transformers.ElectraConfig(**fields))
    theirs.save_pretrained(tmp_path)
    Tokenizer(VOCAB, Casing(lowercase=True)).save(tmp_path, 40)
    logged = []
    assert read_directory(tmp_path, logged.append).architecture == "ElectraModel"
    assert len(logged) == 2
    assert "ElectraForPreTraining is not supported, and is read as a ElectraModel" in logged[0]
    assert "does not use discriminator_predictions.dense.bias" in logged[1]


def test_positions_of_an_exported_roberta_skip_padding_wherever_it_stands():
    model = make_model("RobertaModel", configuration("roberta", num_hidden_layers=1))
    pad = model.config.first_position - 1
    ids = np.array([[pad, pad, 7, 8, pad, 9], [7, 8, 9, 10, pad, pad]], np.int32)
    mask = (ids != pad).astype(np.int32)
    fields = json.loads(make_config_json(model.config, model.architecture))
    theirs = transformers.RobertaModel(transformers.RobertaConfig(**fields)).eval()
    inputs = torch.from_numpy(ids.astype(int)), torch.from_numpy(mask.astype(int))
    weights = families.to_torch_names(families.to_flat(model.params, model.config))
    tensors = {name.removeprefix("roberta."): torch.tensor(x) for name, x in weights.items()}
    theirs.load_state_dict(tensors)
    expected = theirs(*inputs).last_hidden_state.detach().numpy()
    actual = jax.jit(make_inference_function(model))(ids, mask)[0]
    np.testing.assert_allclose(actual[mask > 0], expected[mask > 0], atol=TOLERANCE, rtol=0)


# --- config.json --------------------------------------------------------------------------------


def parse(folder, family, drop=(), **changes):
    """Read the config.json of a small model, with some fields dropped or changed."""
    config = configuration(family)
    values = json.loads(make_config_json(config, architecture_of(config, "Model"))) | changes
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in values.items() if k not in drop}))
    return read_config(path).config


def test_positions_are_those_that_a_text_can_use(tmp_path):
    config = configuration("roberta", max_position_embeddings=512)
    text = make_config_json(config, "RobertaModel")
    assert json.loads(text)["max_position_embeddings"] == 514  # as roberta-base has it
    assert parse(tmp_path, "roberta", max_position_embeddings=514).max_position_embeddings == 512
    drop = ("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id")
    bare, theirs = parse(tmp_path, "roberta", drop=drop), transformers.RobertaConfig()
    assert bare.num_positions == theirs.max_position_embeddings
    assert (bare.type_vocab_size, bare.layer_norm_eps) == (2, theirs.layer_norm_eps)


@pytest.mark.parametrize(
    "model_type", ["distilbert", "roberta", "electra", "xlm-roberta", "albert"]
)
def test_config_json_is_read_as_it_was_written(tmp_path, model_type):
    assert parse(tmp_path, model_type) == configuration(model_type)


def test_distilbert_has_its_own_names_of_fields(tmp_path):
    config = configuration("distilbert", hidden_act="gelu_tanh", hidden_dropout_prob=0.25)
    values = json.loads(make_config_json(config, "DistilBertModel"))
    assert (values["dim"], values["n_layers"], values["activation"]) == (16, 3, "gelu_new")
    assert values["dropout"] == 0.25
    assert not {"hidden_size", "hidden_act", "type_vocab_size"} & set(values)


def test_an_albert_without_a_dropout_of_its_classifier_opens_again(tmp_path):
    config = configuration("albert").with_dropout(0.2)  # as finetune.py --dropout 0.2
    written = make_config_json(config, "AlbertForSequenceClassification", LABELS)
    assert json.loads(written)["classifier_dropout_prob"] == 0.2
    (tmp_path / "config.json").write_text(written)
    assert read_config(tmp_path / "config.json").config.head_dropout_prob == 0.2
    assert parse(tmp_path, "albert", classifier_dropout_prob=None).head_dropout_prob == 0.0


@pytest.mark.parametrize(
    ("model_type", "changes", "message"),
    [
        ("distilbert", {"activation": "silu"}, "activation = 'silu'"),
        ("distilbert", {"dim": "wide"}, "dim = 'wide'(.|\n)*an integer"),
        ("distilbert", {"n_heads": 3}, "num_attention_heads = 3 is invalid"),
        ("distilbert", {"qa_dropout": 1.5}, "qa_dropout = 1.5"),
        ("distilbert", {"seq_classif_dropout": 1.5}, "seq_classif_dropout = 1.5"),
        ("distilbert", {"tie_word_embeddings": False}, "tie_word_embeddings = False"),
        ("roberta", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("roberta", {"is_decoder": True}, "is_decoder = True"),
        ("roberta", {"add_cross_attention": True}, "add_cross_attention = True"),
        ("roberta", {"pad_token_id": None}, "pad_token_id = None"),
        ("roberta", {"pad_token_id": -1}, "pad_token_id = -1"),
        ("roberta", {"max_position_embeddings": 2}, "max_position_embeddings = 2"),
        ("roberta", {"max_position_embeddings": "many"}, "max_position_embeddings = 'many'"),
        ("xlm-roberta", {"hidden_act": "silu"}, "hidden_act = 'silu'"),
        ("electra", {"embedding_size": 0}, "embedding_size = 0 is invalid"),
        ("electra", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("albert", {"inner_group_num": 2}, "inner_group_num = 2"),
        ("albert", {"num_hidden_groups": 4}, "num_hidden_groups = 4 is invalid"),
        ("albert", {"classifier_dropout_prob": 1.5}, "classifier_dropout = 1.5"),
        ("bert", {"model_type": "xlm-roberta-xl"}, "model_type = 'xlm-roberta-xl'"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(tmp_path, model_type, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse(tmp_path, model_type, **changes)
    assert str(caught.value).count("\n") == 2


def test_every_family_has_a_configuration_of_its_own():
    for model_type, family in FAMILIES.items():
        assert family.config.model_type == model_type
        assert {field.name for field in dataclasses.fields(family.config)} >= set(family.fields)
        assert all(
            name.startswith(family.config.family) for name in models_of(configuration(model_type))
        )
