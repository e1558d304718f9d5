import dataclasses

import jax
import numpy as np
import pytest

from bert_jax.config import LoopConfig, OptimizerConfig, Phase, PretrainConfig
from bert_jax.errors import ConfigError
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.tasks.starting import adapt_vocabulary
from bert_jax.tokenizer.tokenizer import Casing, Tokenizer
from tests.tasks.tiny import CONFIG, TOKENIZER, random_params

PARAMS = random_params("BertForPreTraining")
ROWS = CONFIG.vocab_size


def run_with(vocab_size: int | None) -> PretrainConfig:
    model = dataclasses.replace(CONFIG, vocab_size=vocab_size)
    return PretrainConfig(
        "", model, OptimizerConfig(), LoopConfig(10), phases=(Phase(32),), encoder="x"
    )


def trained(tokenizer: Tokenizer = TOKENIZER) -> PretrainedModel:
    return PretrainedModel(CONFIG, "BertForPreTraining", PARAMS, tokenizer)


def test_the_same_vocabulary_changes_nothing():
    same = Tokenizer(TOKENIZER.vocab)
    params, lines = adapt_vocabulary(trained(), same, run_with(ROWS))
    assert params is PARAMS
    assert lines == []


def test_another_vocabulary_or_casing_is_refused():
    for other in (Tokenizer(TOKENIZER.vocab[:-1]), Tokenizer(TOKENIZER.vocab, Casing(True))):
        with pytest.raises(ConfigError, match="a different vocabulary or casing from x"):
            adapt_vocabulary(trained(), other, run_with(ROWS))


def test_a_new_word_starts_as_the_mean_of_its_pieces_and_is_named():
    new = Tokenizer([*TOKENIZER.vocab, "cats"])
    params, (line,) = adapt_vocabulary(trained(), new, run_with(ROWS + 1))
    assert "1 rows added" in line
    word = params["bert"]["embeddings"]["word"]
    pieces = TOKENIZER.encode("cats")
    assert len(pieces) == 2
    np.testing.assert_allclose(word[-1], word[pieces].mean(axis=0), rtol=1e-6)


def test_embeddings_that_are_padded_are_kept_and_logged():
    shorter = Tokenizer(TOKENIZER.vocab[:-3])
    params, (line,) = adapt_vocabulary(trained(shorter), shorter, run_with(ROWS))
    jax.tree.map(np.testing.assert_array_equal, params, PARAMS)
    assert f"{ROWS} word embeddings for {ROWS - 3} tokens" in line


@pytest.mark.parametrize(
    ("given", "tokens", "rows", "size"),
    [(None, 10, 0, 10), (None, 10, 16, 16), (None, 18, 16, 18), (24, 10, 16, 24)],
)
def test_the_size_of_the_vocabulary_holds_tokens_and_trained_rows(given, tokens, rows, size):
    assert run_with(given).with_vocab_size(tokens, rows).model.vocab_size == size


def test_a_size_that_cuts_trained_rows_is_refused():
    with pytest.raises(ConfigError, match="smaller than the embeddings of x: 16") as caught:
        run_with(12).with_vocab_size(10, 16)
    assert "leave model.vocab_size out" in str(caught.value)
