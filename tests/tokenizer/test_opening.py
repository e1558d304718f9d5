import pytest

from bert_jax.errors import ConfigError
from bert_jax.tokenizer.opening import open_tokenizer
from bert_jax.tokenizer.tokenizer import AddedToken, Casing, Tokenizer

CASING = Casing(lowercase=True, strip_accents=False)


def test_a_vocabulary_alone_has_the_casing_and_limit_that_are_asked(tmp_path, vocab):
    Tokenizer(vocab).save(tmp_path)
    tokenizer = open_tokenizer(tmp_path / "vocab.txt", True, False, 150)
    assert (tokenizer.vocab, tokenizer.casing, tokenizer.max_word_chars) == (vocab, CASING, 150)
    assert open_tokenizer(tmp_path / "vocab.txt").sha256 == Tokenizer(vocab).sha256


@pytest.mark.parametrize("where", [".", "model", "tokenizer"])
def test_the_folder_of_a_model_a_run_or_data_has_its_own(tmp_path, vocab, where):
    saved = Tokenizer(vocab, CASING, [AddedToken("covid19")], 120)
    saved.save(tmp_path / where)
    assert open_tokenizer(tmp_path).sha256 == saved.sha256
    assert open_tokenizer(tmp_path, True, False).sha256 == saved.sha256
    longer = open_tokenizer(tmp_path, max_word_chars=130)
    assert (longer.vocab, longer.added, longer.max_word_chars) == (saved.vocab, saved.added, 130)


@pytest.mark.parametrize("asked", [{"lowercase": True}, {"strip_accents": True}])
def test_another_casing_than_the_folders_is_refused(tmp_path, vocab, asked):
    Tokenizer(vocab).save(tmp_path)
    with pytest.raises(ConfigError, match="has False, False") as caught:
        open_tokenizer(tmp_path, **asked)
    assert str(caught.value).count("\n") == 2


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no tokenizer_config\.json"):
        open_tokenizer(tmp_path)
