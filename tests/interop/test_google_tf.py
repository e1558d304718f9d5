"""Google's TF1 checkpoints: files that do not match are refused. TensorFlow is not needed."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from bert_jax.errors import ConfigError
from bert_jax.interop import google_tf
from bert_jax.interop.parameter_names import to_flat
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing
from tests.tasks.tiny import CONFIG, TOKENIZER, random_params


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write the files of a checkpoint, whose arrays are patched in without TensorFlow."""
    flat = to_flat(random_params("BertForPreTraining"), CONFIG)
    monkeypatch.setattr(google_tf, "_read", lambda prefix: {})
    monkeypatch.setattr(google_tf, "from_tf_names", lambda variables: flat)
    write_config(tmp_path)
    write_vocab(tmp_path, [*TOKENIZER.vocab[:-1], "D"])
    return tmp_path


def write_config(folder, **changes):
    values = dataclasses.asdict(CONFIG) | {"hidden_act": "gelu"} | changes
    (folder / "bert_config.json").write_text(json.dumps(values))


def write_vocab(folder, tokens):
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))


def read(folder, lowercase=False):
    files = folder / "bert_config.json", folder / "vocab.txt"
    return google_tf.read_tf_checkpoint(folder / "bert_model.ckpt", *files, Casing(lowercase), None)


def test_a_checkpoint_is_read(folder):
    model = read(folder)
    assert (model.config, model.architecture) == (CONFIG, "BertForPreTraining")
    expected = random_params("BertForPreTraining")
    jax.tree.map(np.testing.assert_array_equal, model.params, expected)


@pytest.mark.parametrize("layers", [1, 3])
def test_another_number_of_layers_is_refused(folder, layers):
    write_config(folder, num_hidden_layers=layers)
    with pytest.raises(ConfigError, match=f"num_hidden_layers = {layers}, but .* 2 layers"):
        read(folder)


def test_a_vocabulary_that_the_embeddings_do_not_hold_is_refused(folder):
    write_vocab(folder, [*TOKENIZER.vocab, "D"])
    with pytest.raises(ConfigError, match=r"the tokenizer has 42 tokens, config\.json 41"):
        read(folder)


@pytest.mark.parametrize(
    ("words", "is_refused"),
    [
        (("[unused0]", "a", "##b", "é"), True),
        (("[unused0]", "a", "B"), False),
        (("[unused0]", "[X]", "한", "##글", "1", "["), False),  # no token has a case
    ],
)
def test_a_vocabulary_without_capitals_needs_lower_casing(folder, words, is_refused):
    write_vocab(folder, [*SPECIAL_TOKENS, *words])
    assert read(folder, lowercase=True).tokenizer.casing.lowercase
    if is_refused:
        with pytest.raises(ConfigError, match=r"vocab\.txt has no capital letter") as caught:
            read(folder)
        assert str(caught.value).count("\n") == 2
        assert "--lowercase" in str(caught.value)
    else:
        assert not read(folder).tokenizer.casing.lowercase


def test_a_masked_lm_without_next_sentence_keeps_head_and_pooler(folder, monkeypatch):
    flat = to_flat(random_params("BertForPreTraining"), CONFIG)
    kept = {name: x for name, x in flat.items() if name != "cls.seq_relationship.kernel"}
    monkeypatch.setattr(google_tf, "from_tf_names", lambda variables: kept)
    logged = []
    files = folder / "bert_config.json", folder / "vocab.txt"
    prefix = folder / "bert_model.ckpt"
    model = google_tf.read_tf_checkpoint(prefix, *files, Casing(), None, logged.append)
    assert (model.architecture, model.has_pooler) == ("BertForMaskedLM", True)
    line = f"{prefix}: a BertForMaskedLM does not use cls.seq_relationship.bias"
    assert logged == [line]
