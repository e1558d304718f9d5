import pytest

from bert_jax.errors import DataError
from bert_jax.labelled.conll import read_conll
from bert_jax.labelled.rejects import Rejects


def test_sentences_with_tabs_or_spaces(corpus):
    path = corpus("-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\n한 국\tB-LOC\n", "train")
    first, second = read_conll(path, Rejects())
    assert first == (f"{path}:3", ("EU", "rejects"), ("B-ORG", "O"))
    assert second.words == ("한 국",)


def test_wikianns_language_is_taken_off(corpus):
    path = corpus("en:a\tO\nen::\tO\n\nen:en:b\tB-X\n", "train")
    assert [s.words for s in read_conll(path, Rejects())] == [("a", ":"), ("en:b",)]
    path = corpus("en:a\tO\nb:c\tO\n", "other")
    assert read_conll(path, Rejects())[0].words == ("en:a", "b:c")


def test_a_sentence_with_a_word_without_a_tag_is_rejected(corpus):
    rejects = Rejects()
    path = corpus("a O\nb\n\nc O\n", "train")
    assert len(read_conll(path, rejects)) == 1
    assert rejects.rows[0]["place"] == f"{path}:2"
    with pytest.raises(DataError, match="has no sentences"):
        read_conll(corpus("\n\n", "empty"), Rejects())
