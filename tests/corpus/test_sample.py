import pytest

from bert_jax.corpus import sample as sample_module
from bert_jax.corpus.bundles import BundleOptions, Corpus
from bert_jax.corpus.heldout import assign_split, hash_text
from bert_jax.corpus.sample import Sample, check_documents, take_sample, training_texts
from bert_jax.errors import DataError
from bert_jax.reading.sources import ReadOptions, Source


def test_the_sample_counts_letters():
    sample = take_sample(["AB cd 한 1!", "\n한"], "auto", "en")
    assert sample == Sample("lines", hangul_share=2 / 6, upper_share=2 / 6)
    assert take_sample(["One. Two. Three."], "lines", "en").is_prose


def test_the_sample_is_bounded():
    endless = ("One sentence. Another one.\n" * 1000 for _ in range(10**9))
    assert take_sample(endless, "auto", "en").mode == "split"
    assert take_sample(["One. Two. Three."], "lines", "en").mode == "lines"


def test_no_text_at_all_is_refused():
    with pytest.raises(DataError, match="corpus is empty"):
        take_sample([], "auto", "en")


def test_a_vocabulary_is_trained_on_a_share_of_the_training_split(corpus, monkeypatch):
    documents = [f"document {i:03d}" for i in range(400)]
    text = "\n\n".join(documents)
    sources = (Source(corpus(text), len(text)),)
    everything = Corpus((sources,), ReadOptions(), BundleOptions(1 << 20, 0.3, seed=5))
    train = [d for d in documents if assign_split(hash_text(d.encode()), 0.3, 5) == "train"]
    assert list(training_texts(everything)) == train
    monkeypatch.setattr(sample_module, "VOCAB_BYTES", len(text) // 2)
    sampled = list(training_texts(everything))
    assert set(sampled) < set(train)
    assert 0.4 < len(sampled) / len(train) < 0.6


def test_too_few_documents_are_refused_as_soon_as_all_are_read(corpus):
    text = "\n\n".join(f"document {i}" for i in range(9))
    sources = (Source(corpus(text), len(text)),)
    few = Corpus((sources,), ReadOptions(), BundleOptions(1 << 20, 0.001, seed=5))
    with pytest.raises(DataError, match="eval split has fewer than two"):
        list(training_texts(few))
    with pytest.raises(DataError, match="eval split has fewer than two"):
        check_documents(few)
