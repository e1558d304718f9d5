import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from bert_jax.errors import DataError
from bert_jax.tokenizer.rules import SPECIAL_TOKENS, Casing
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.tokenizer.training import train_bpe, train_unigram
from tests.extras import need
from tests.tokenizer.families import HARD, TEXTS

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = need("transformers")

TRAINERS = {"bpe": train_bpe, "unigram": train_unigram}
SIZES = {"bpe": 400, "unigram": 240}
LINES = [*TEXTS, *["the and with his on be number"] * 40]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=TRAINERS)
def trained(request):
    """Return the kind, and a tokenizer trained on a small text."""
    kind = request.param
    return kind, TRAINERS[kind](lambda: iter(LINES), SIZES[kind], Casing())


def test_special_tokens_have_the_ids_of_wordpiece(trained):
    kind, tokenizer = trained
    assert tokenizer.vocab[:5] == list(SPECIAL_TOKENS)
    assert tokenizer.special_ids == [0, 1, 2, 3, 4]
    assert tokenizer.vocab_size == SIZES[kind]
    assert tokenizer.join([], []) == [2, 3, 3]


def test_another_process_trains_the_same(trained):
    kind, tokenizer = trained
    code = (
        "from bert_jax.tokenizer import training; from bert_jax.tokenizer.rules import Casing;"
        "from tests.tokenizer.test_training import LINES, SIZES;"
        f"train = training.train_{kind};"
        f"print(train(lambda: iter(LINES), SIZES[{kind!r}], Casing()).sha256)"
    )
    for threads in ("1", "2"):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAYON_NUM_THREADS": threads}
        command = [sys.executable, "-c", code]
        printed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
        assert printed.decode().split()[-1] == tokenizer.sha256


def test_saved_it_is_the_same_to_us_and_to_transformers(trained, tmp_path):
    _, tokenizer = trained
    tokenizer.save(tmp_path, 128)
    assert Tokenizer.load(tmp_path).sha256 == tokenizer.sha256
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in HARD:
        assert tokenizer.join(tokenizer.encode(text)) == theirs(text)["input_ids"]
        pair = tokenizer.join(tokenizer.encode(text), tokenizer.encode("the of"))
        assert theirs(text, "the of")["input_ids"] == pair


def test_words_of_the_text_are_few_pieces_and_all_of_it_is_known(trained):
    kind, tokenizer = trained
    text = "the and with his on be number"
    assert len(tokenizer.encode(text)) <= 9
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert (tokenizer.unk_id in tokenizer.encode("Ω")) is (kind == "unigram")
    starts = [not tokenizer.is_continuation[index] for index in tokenizer.encode(text)]
    assert sum(starts) == len(text.split())


@pytest.mark.parametrize("kind", TRAINERS)
def test_lower_casing_is_part_of_the_tokenizer(kind):
    tokenizer = TRAINERS[kind](lambda: iter(TEXTS), 300, Casing(True))
    assert tokenizer.encode("THE Café") == tokenizer.encode("the cafe")
    assert tokenizer.casing == Casing(True, True)
    assert "uncased" in tokenizer.description


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_text_without_characters_is_refused(kind):
    with pytest.raises(DataError, match="no characters"):
        TRAINERS[kind](lambda: iter(["  ", "\n"]), 300, Casing())


def test_words_that_were_unknown_can_be_added(trained):
    kind, tokenizer = trained
    more = tokenizer.with_words(["鰯", "the"])
    assert more.vocab_size == tokenizer.vocab_size + 1  # "the" is one token already
    assert more.encode("鰯") == [more.vocab.index("鰯")]
    assert tokenizer.unk_id in tokenizer.encode("鰯") or kind == "bpe"  # bytes know every word
