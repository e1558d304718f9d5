"""Attention weights equal those of transformers; texts are cut and padded as the notice says."""

import os
import warnings

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.config import BertConfig, ModernBertConfig
from bert_jax.errors import CheckpointError, DataError
from bert_jax.inspection import attention as inspected
from bert_jax.inspection.attention import attention, longest_input
from bert_jax.interop.huggingface import PretrainedModel, write_directory
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Tokenizer
from tests.extras import need

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = need("torch")
    transformers = need("transformers")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TOLERANCE = 2e-5
VOCAB = [*SPECIAL_TOKENS, *"abcdefghij", "##ing"]
TEXTS = [("a b c", None), ("a aing b", "c d"), ("a b c d e f g h i j a b c d e f", "a b c d")]


def make(folder, name="BertForPreTraining", seed=0, config=None, **changes):
    """Write a random model; return its folder."""
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 24, "initializer_range": 0.5,
        "vocab_size": len(VOCAB),
    }  # fmt: skip
    config = config or BertConfig(**{**sizes, **changes})
    params = build(config, architecture(name))[0](jax.random.key(seed))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda p: p + rng.normal(0, 0.1, p.shape).astype(np.float32), params)
    write_directory(folder, PretrainedModel(config, name, params, Tokenizer(VOCAB)))
    return folder


@pytest.mark.parametrize("name", ["BertForPreTraining", "BertModel"])
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_are_those_of_transformers(tmp_path, name, seed):
    folder = make(tmp_path / "model", name, seed)
    ours = bert_jax.load(folder)
    theirs = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    for text, text_b in TEXTS:
        found = attention(ours, text, text_b)
        inputs = {
            "input_ids": [ours.tokenizer._ids[token] for token in found.tokens],
            "token_type_ids": found.segments,
        }
        with torch.no_grad():
            given = {name: torch.tensor([ids]) for name, ids in inputs.items()}
            expected = theirs(**given, output_attentions=True).attentions
        expected = np.stack([layer[0].numpy() for layer in expected])
        assert expected.std() > 0.05  # neither uniform, nor one-hot, would tell right from wrong
        assert found.weights.shape == expected.shape
        np.testing.assert_allclose(found.weights, expected, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(found.weights.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["ModernBertForMaskedLM", "ModernBertModel"])
def test_weights_of_modernbert_are_those_of_transformers(tmp_path, name):
    config = ModernBertConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=64, vocab_size=len(VOCAB), local_attention=4,
        initializer_range=0.5,
    )  # fmt: skip
    folder = make(tmp_path / "model", name, config=config)
    theirs = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    for text, text_b in TEXTS:
        found = attention(bert_jax.load(folder), text, text_b)
        ids = torch.tensor([[VOCAB.index(token) for token in found.tokens]])
        with torch.no_grad():
            expected = theirs(ids, output_attentions=True).attentions
        expected = np.stack([layer[0].numpy() for layer in expected])
        assert found.weights.shape == expected.shape
        np.testing.assert_allclose(found.weights, expected, atol=TOLERANCE, rtol=0)
    assert (found.weights[1] == 0).any()  # a window
    assert (found.weights[3] > 0).all()


def test_a_pair_is_two_segments_and_pieces_keep_their_mark(tmp_path):
    found = attention(bert_jax.load(make(tmp_path / "model")), "a aing", "b")
    assert found.tokens == ["[CLS]", "a", "a", "##ing", "[SEP]", "b", "[SEP]"]
    assert found.segments == [0, 0, 0, 0, 0, 1, 1]
    assert found.notice is None
    picture = found.picture().as_json()
    assert [panel["name"] for panel in picture["panels"]] == ["Layer 1", "Layer 2", "Layer 3"]
    assert picture["panels"][0]["row_groups"] == found.segments
    head = np.array(picture["panels"][2]["heads"][3]["weights"]) / picture["scale"]
    np.testing.assert_allclose(head, found.weights[2, 3], atol=1e-4)


def test_a_longer_text_is_cut_with_a_notice(tmp_path, monkeypatch):
    model = bert_jax.load(make(tmp_path / "model"))
    assert longest_input(model) == 24  # its positions
    found = attention(model, "a " * 40)
    assert len(found.tokens) == 24
    assert found.notice == "Only the first 24 tokens are shown."
    assert len(attention(model, "a " * 40, max_tokens=10).tokens) == 10
    monkeypatch.setattr(inspected, "MAX_WEIGHTS", 12 * 15**2)  # of its 12 heads
    assert longest_input(model) == 15


def test_texts_of_about_a_length_share_a_program(tmp_path):
    model = bert_jax.load(make(tmp_path / "model"))
    attention(model, "a")
    before = inspected._attention._cache_size()
    for text in ("", "a b", "c d e f g h", "i ing"):
        attention(model, text)
    assert inspected._attention._cache_size() == before


def test_a_model_with_one_segment_takes_no_pair(tmp_path):
    model = bert_jax.load(make(tmp_path / "model", type_vocab_size=1))
    with pytest.raises(DataError, match="one segment"):
        attention(model, "a", "b")
    assert attention(model, "a").segments == [0, 0, 0]


def test_a_damaged_model_is_a_checkpoint_error(tmp_path):
    model = bert_jax.load(make(tmp_path / "model"))
    model.params["bert"]["embeddings"]["word"] *= np.nan
    with pytest.raises(CheckpointError, match="NaN"):
        attention(model, "a")
