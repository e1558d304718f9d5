"""ModernBERT against transformers: outputs, losses, gradients, weights and config.json."""

import dataclasses
import functools
import json
import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from bert_jax.config import ModernBertConfig
from bert_jax.errors import ConfigError
from bert_jax.interop.config_json import make_config_json, read_config
from bert_jax.interop.huggingface import PretrainedModel, read_directory, write_directory
from bert_jax.interop.parameter_names import to_flat, to_torch_names
from bert_jax.models.architectures import WITH_LABELS, architecture, head_of
from bert_jax.models.functional import build
from bert_jax.models.modernbert import MODERNBERT_MODELS
from bert_jax.nn.layout import row_layout
from bert_jax.nn.windowed import MIN_BLOCK
from bert_jax.tasks.losses import masked_language_model_sums
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing, Tokenizer
from tests.extras import need

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = need("torch")
    transformers = need("transformers")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TOLERANCE = 2e-5
VOCAB = [*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz"]
CONFIG = ModernBertConfig(
    hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=256, vocab_size=len(VOCAB), local_attention=8, initializer_range=0.2,
)  # fmt: skip
LABELS = ("bad", "good", "긍정")
BIASES = {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True}
CORNERS = {
    "the window does not divide T": ({}, 21),
    "no layer has a window": ({"global_attn_every_n_layers": 1, "num_hidden_layers": 2}, 12),
    "a window wider than T": ({"local_attention": 64, "global_attn_every_n_layers": 2}, 20),
    "blocks, the last not full": ({"local_attention": 10}, 4 * MIN_BLOCK + 11),
    "a padded vocabulary": ({"vocab_size": len(VOCAB) + 9, "num_hidden_layers": 2}, 16),
    "biases, other activations": (
        BIASES | {"hidden_activation": "relu", "classifier_activation": "gelu_tanh"}, 16,
    ),
    "one layer, an odd window, no bias of the decoder": (
        {"num_hidden_layers": 1, "local_attention": 7, "decoder_bias": False}, 16,
    ),
}  # fmt: skip


def make(name, config=CONFIG):
    """Return a model whose weights differ from every default initialization."""
    labels = LABELS if name in WITH_LABELS else ()
    init, _ = build(config, architecture(name, len(labels)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda p: np.asarray(p + rng.normal(0, 0.05, p.shape), np.float32),
        jax.jit(init)(jax.random.key(0)),
    )
    return PretrainedModel(config, name, params, Tokenizer(VOCAB, Casing(lowercase=True)), labels)


def read_theirs(folder, name):
    """Read a directory by transformers' automatic class, which must miss and drop nothing."""
    head = head_of(name).removesuffix("Model") or ""
    auto = getattr(transformers, f"AutoModel{head}")
    model, loaded = auto.from_pretrained(folder, output_loading_info=True)
    assert type(model).__name__ == name
    assert not any(loaded.values()), loaded
    return model


def make_batch(length):
    rng = np.random.default_rng(length)
    tokens = rng.integers(5, len(VOCAB), (2, length)).astype(np.int32)
    return tokens, np.array([[[length, 0]], [[length // 2, 0]]], np.int32)


def as_inputs(tokens, lengths):
    return jnp.asarray(tokens), row_layout(jnp.asarray(lengths), tokens.shape[1])


def assert_same_gradients(ours, config, theirs):
    """Compare every gradient with that of the parameter of its name."""
    expected = {name: x.grad.numpy() for name, x in theirs.named_parameters() if x.grad is not None}
    actual = to_torch_names(to_flat(ours, config))
    if "embeddings" in ours:  # an encoder alone
        actual = {name.removeprefix("model."): x for name, x in actual.items()}
    assert set(actual) == set(expected)
    for name, gradient in actual.items():
        np.testing.assert_allclose(gradient, expected[name], atol=TOLERANCE, rtol=0, err_msg=name)


@pytest.mark.parametrize("corner", CORNERS)
def test_masked_words(tmp_path, corner):
    changes, length = CORNERS[corner]
    config = dataclasses.replace(CONFIG, **changes)
    model = make("ModernBertForMaskedLM", config)
    write_directory(tmp_path / "model", model)
    theirs = read_theirs(tmp_path / "model", model.architecture).eval()
    tokens, lengths = make_batch(length)
    labels = np.random.default_rng(1).integers(0, len(VOCAB), tokens.shape).astype(np.int32)
    is_token = np.arange(length)[None] < lengths.sum(-1)
    _, merge = build(config, model.module)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(params):
        logits = merge(params)(*as_inputs(tokens, lengths))
        weights = jnp.asarray(is_token, jnp.float32)
        loss, count = masked_language_model_sums(logits, jnp.asarray(labels), weights)
        return loss / count, logits

    (loss, logits), grads = run(jax.tree.map(jnp.asarray, model.params))
    output = theirs(
        input_ids=torch.from_numpy(tokens.astype(int)),
        attention_mask=torch.from_numpy(is_token.astype(int)),
        labels=torch.from_numpy(np.where(is_token, labels, -100).astype(int)),
    )
    output.loss.backward()
    expected = output.logits.detach().numpy()
    np.testing.assert_allclose(logits[is_token], expected[is_token], atol=TOLERANCE, rtol=0)
    assert float(loss) == pytest.approx(output.loss.item(), abs=TOLERANCE)
    assert_same_gradients(grads, config, theirs)


HEADS = {
    "cls": ("ModernBertForSequenceClassification", {"classifier_pooling": "cls"}),
    "mean": ("ModernBertForSequenceClassification", {"classifier_pooling": "mean"}),
    "tokens": ("ModernBertForTokenClassification", {}),
    "answers": ("ModernBertForQuestionAnswering", {}),
    "encoder": ("ModernBertModel", {}),
}


@pytest.mark.parametrize("case", HEADS)
def test_other_heads(tmp_path, case):
    name, changes = HEADS[case]
    config = dataclasses.replace(CONFIG, num_hidden_layers=2, **changes)
    model = make(name, config)
    write_directory(tmp_path / "model", model)
    theirs = read_theirs(tmp_path / "model", name).eval()
    tokens, lengths = make_batch(19)
    is_token = np.arange(19)[None] < lengths.sum(-1)
    _, merge = build(config, model.module)

    def read(outputs):
        """Return [B, C] of each row, or [N, C] of the tokens."""
        return outputs[:, 0] if head_of(name) == "ForSequenceClassification" else outputs[is_token]

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(params):
        outputs = read(merge(params)(*as_inputs(tokens, lengths)))
        return (outputs * jnp.cos(jnp.arange(outputs.shape[1]))[None]).sum(), outputs

    (loss, outputs), grads = run(jax.tree.map(jnp.asarray, model.params))
    output = theirs(
        input_ids=torch.from_numpy(tokens.astype(int)),
        attention_mask=torch.from_numpy(is_token.astype(int)),
    )
    expected = torch.stack(list(output.values()), -1) if case == "answers" else output[0]
    expected = expected if expected.ndim == 2 else expected[torch.from_numpy(is_token)]
    score = (expected * torch.cos(torch.arange(expected.shape[1]))).sum()
    score.backward()
    np.testing.assert_allclose(outputs, expected.detach().numpy(), atol=TOLERANCE, rtol=0)
    assert float(loss) == pytest.approx(score.item(), abs=TOLERANCE)
    assert_same_gradients(grads, config, theirs)


@pytest.mark.parametrize("name", MODERNBERT_MODELS)
def test_what_transformers_writes_comes_back_bit_equal(tmp_path, name):
    theirs = getattr(transformers, name)(
        transformers.ModernBertConfig(
            **{k: v for k, v in json.loads(make_config_json(CONFIG, name)).items()
               if k not in ("architectures", "dtype")},
            num_labels=3 if name in WITH_LABELS else 2,
        )
    )  # fmt: skip
    theirs.save_pretrained(tmp_path / "theirs")
    make(name)[3].save(tmp_path / "theirs", 256, segments=False)
    logged = []
    model = read_directory(tmp_path / "theirs", logged.append)
    assert (model.config, model.architecture, logged) == (CONFIG, name, [])
    write_directory(tmp_path / "ours", model)
    again = read_theirs(tmp_path / "ours", name).state_dict()
    expected = theirs.state_dict()
    assert set(again) == set(expected)
    for parameter, x in expected.items():
        assert torch.equal(again[parameter], x), parameter


def test_an_encoder_is_read_from_a_model_with_a_head(tmp_path):
    model = make("ModernBertForMaskedLM")
    write_directory(tmp_path, model)
    theirs = transformers.AutoModel.from_pretrained(tmp_path).state_dict()
    flat = to_torch_names(to_flat(model.params["bert"], CONFIG))
    assert {f"model.{name}" for name in theirs} == set(flat)


def test_the_tokenizer_gives_no_segments(tmp_path):
    model = make("ModernBertModel")
    write_directory(tmp_path, model)
    encoded = transformers.AutoTokenizer.from_pretrained(tmp_path)("abc", "def")
    assert set(encoded) == {"input_ids", "attention_mask"}
    assert read_directory(tmp_path).tokenizer.sha256 == model.tokenizer.sha256


# --- config.json --------------------------------------------------------------------------------


def parse(tmp_path, drop=(), **changes):
    """Read the config.json of a model, with some fields dropped or changed."""
    values = json.loads(make_config_json(CONFIG, "ModernBertModel")) | changes
    path = tmp_path / "config.json"
    path.write_text(json.dumps({k: v for k, v in values.items() if k not in drop}))
    return read_config(path).config


OF_4 = ("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta")
OF_5 = ("layer_types", "rope_parameters")
FULL, SLIDING = "full_attention", "sliding_attention"


def test_both_forms_of_config_json_are_read(tmp_path):
    assert parse(tmp_path) == parse(tmp_path, drop=OF_4) == parse(tmp_path, drop=OF_5) == CONFIG
    thetas = {FULL: {"rope_type": "default", "rope_theta": 500.0}, SLIDING: {"rope_theta": 20.0}}
    types = [FULL, SLIDING, FULL, SLIDING]
    other = parse(tmp_path, drop=OF_4, rope_parameters=thetas, layer_types=types)
    assert (other.global_rope_theta, other.local_rope_theta) == (500.0, 20.0)
    assert other.global_attn_every_n_layers == 2
    assert parse(tmp_path, drop=OF_5, local_rope_theta=None).local_rope_theta == 160_000.0
    once = parse(tmp_path, drop=OF_4, layer_types=[FULL] + 3 * [SLIDING])
    assert [once.is_local(i) for i in range(4)] == [False, True, True, True]


def test_transformers_reads_the_same_from_both_forms(tmp_path):
    config = dataclasses.replace(CONFIG, global_attn_every_n_layers=2, local_rope_theta=77.0)
    values = json.loads(make_config_json(config, "ModernBertModel"))
    for dropped in (OF_4, OF_5):
        given = {k: v for k, v in values.items() if k not in dropped}
        theirs = transformers.ModernBertConfig(**given)
        assert theirs.layer_types == values["layer_types"]
        for kind, expected in values["rope_parameters"].items():
            assert expected.items() <= theirs.rope_parameters[kind].items()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_types": [FULL, SLIDING, SLIDING, SLIDING]}, "global_attn_every_n_layers = 3"),
        ({"layer_types": [SLIDING] * 4}, "global_attn_every_n_layers|layer_types"),
        ({"layer_types": [FULL]}, "layer_types"),
        ({"layer_types": "full"}, "layer_types"),
        ({"rope_parameters": {FULL: {"rope_type": "yarn", "factor": 2.0}}}, "rope_parameters"),
        ({"rope_parameters": [1]}, "rope_parameters"),
        ({"rope_parameters": {FULL: {"rope_theta": 1e4}}}, "global_rope_theta = 160000.0"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"head_dim": 64}, "head_dim"),
        ({"norm_bias": "no"}, "norm_bias = 'no'(.|\n)*true or false"),
        ({"attention_bias": 1}, "attention_bias = 1(.|\n)*true or false"),
        ({"classifier_pooling": "max"}, "classifier_pooling = 'max'"),
        ({"classifier_pooling": 1}, "classifier_pooling = 1(.|\n)*a text"),
        ({"hidden_activation": "silu"}, "hidden_activation = 'silu'"),
        ({"num_attention_heads": 16}, "num_attention_heads = 16 is invalid(.|\n)*even width"),
        ({"global_rope_theta": 0.0, "rope_parameters": None}, "global_rope_theta = 0.0"),
        ({"local_attention": 0}, "local_attention = 0 is invalid"),
        ({"model_type": "bart"}, "model_type = 'bart'(.|\n)*'bert', 'modernbert'"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse(tmp_path, **changes)
    assert str(caught.value).count("\n") == 2


def test_an_untied_decoder_is_refused_and_a_copy_is_dropped(tmp_path):
    model = make("ModernBertForMaskedLM")
    write_directory(tmp_path, model)
    (tmp_path / "bert_jax.json").unlink()
    path = tmp_path / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    word = tensors["model.embeddings.tok_embeddings.weight"]
    safetensors.numpy.save_file(tensors | {"decoder.weight": word.copy()}, path)
    assert read_directory(tmp_path).architecture == "ModernBertForMaskedLM"
    safetensors.numpy.save_file(tensors | {"decoder.weight": word + 1}, path)
    with pytest.raises(ConfigError, match="decoder differs from the word embedding"):
        read_directory(tmp_path)


def test_without_a_name_it_is_what_its_weights_are(tmp_path):
    for name in ("ModernBertModel", "ModernBertForMaskedLM", "ModernBertForSequenceClassification"):
        write_directory(tmp_path, make(name))
        (tmp_path / "bert_jax.json").unlink()
        values = json.loads((tmp_path / "config.json").read_text())
        del values["architectures"]
        (tmp_path / "config.json").write_text(json.dumps(values))
        assert read_directory(tmp_path, lambda line: None).architecture == name
