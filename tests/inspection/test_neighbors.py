"""Vectors of words: equal to the encoder's, nearest ones by hand, and senses that part."""

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.config import ModernBertConfig
from bert_jax.inspection.explanations import explain
from bert_jax.inspection.neighbors import (
    expected_instead,
    find_occurrences,
    nearest,
    nearest_in_vocabulary,
    occurrence,
    principal_plane,
    read_sentences,
    two_clusters,
    vectors_of,
)
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from tests.tasks.tiny import CONFIG, TOKENIZER, make, random_params

TEXTS = ["the cat sat", "The cats, a dog", "세종이 cat . " * 40]


@pytest.fixture(scope="module")
def model():
    params = random_params("BertForMaskedLM")
    return bert_jax.Model(PretrainedModel(CONFIG, "BertForMaskedLM", params, TOKENIZER))


@pytest.fixture(scope="module")
def sentences(model):
    return read_sentences(model, TEXTS)


def test_the_last_layer_is_the_encoder_s_output_and_long_sentences_are_cut(model, sentences):
    for sentence, expected in zip(sentences, model.encode(TEXTS), strict=True):
        assert sentence.states.shape == (3, *expected.shape)
        np.testing.assert_allclose(sentence.states[-1], expected, atol=1e-5)
    assert sentences[2].states.shape[1] == 64
    assert read_sentences(model, []) == []


def test_the_embeddings_of_a_word_do_not_know_its_sentence(model):
    a, b = read_sentences(model, ["the cat sat", "a cat ?"])
    np.testing.assert_allclose(a.states[0, 2], b.states[0, 2], atol=1e-6)
    assert np.abs(a.states[1, 2] - b.states[1, 2]).max() > 0.01


def test_every_kind_of_model_has_vectors():
    for kind in ("classification", "tagging", "question_answering"):
        classifier = bert_jax.Model(make(kind))
        (sentence,) = read_sentences(classifier, ["the cat"])
        np.testing.assert_allclose(
            sentence.states[-1], classifier.encode(["the cat"])[0], atol=1e-5
        )


@pytest.mark.parametrize("num_layers", [1, 4])
def test_modern_encoders_have_vectors_and_attributions(num_layers):
    config = ModernBertConfig(
        hidden_size=16, num_hidden_layers=num_layers, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=64, vocab_size=TOKENIZER.vocab_size, local_attention=4,
        initializer_range=0.2,
    )  # fmt: skip
    name = "ModernBertForSequenceClassification"
    init, _ = build(config, architecture(name, 2))
    params = jax.tree.map(np.asarray, jax.jit(init)(jax.random.key(0)))
    saved = PretrainedModel(config, name, params, TOKENIZER, ("bad", "good"))
    classifier = bert_jax.Model(saved)
    (sentence,) = read_sentences(classifier, ["the cats sat on the mat ."])
    assert len(sentence.states) == num_layers + 1
    np.testing.assert_allclose(
        sentence.states[-1], classifier.encode(["the cats sat on the mat ."])[0], atol=1e-5
    )
    found = explain(classifier, "the cats sat on the mat .", steps=32)
    np.testing.assert_allclose(found.values.sum(), found.output - found.baseline, atol=1e-4)


def test_words_that_begin_with_the_letters_are_found(sentences):
    found = find_occurrences(sentences, "CAT ")
    assert [(x.sentence, x.start, x.end, x.first, x.stop) for x in found[:3]] == [
        (0, 4, 7, 2, 3), (1, 4, 8, 2, 4), (2, 4, 7, 4, 5),
    ]  # fmt: skip
    assert [x.sentence for x in find_occurrences(sentences, "CAT", ignore_case=False)] == []
    assert [(x.start, x.end) for x in find_occurrences(sentences[2:], "세")[:2]] == [
        (0, 3),
        (10, 13),
    ]
    assert [(x.start, x.end, x.first, x.stop) for x in find_occurrences(sentences, "cats, a")] == [
        (4, 11, 2, 6)
    ]
    for nothing in ("", "  ", "at", "dogs"):
        assert find_occurrences(sentences, nothing) == []


def test_the_vector_of_a_word_is_the_mean_of_its_pieces(sentences):
    cats = occurrence(1, sentences[1].words[1])
    assert cats.stop - cats.first == 2
    mean = sentences[1].states[2, 2:4].mean(0)
    (vector,) = vectors_of(sentences, [cats], 2)
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


def test_two_clouds_are_two_clusters_and_lie_apart_on_the_plane():
    rng = np.random.default_rng(0)
    centers = np.eye(8, dtype=np.float32)[[0, 0, 3, 0, 3, 3]]
    vectors = centers + rng.normal(0, 0.05, centers.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = two_clusters(vectors)
    assert found.labels.tolist() == [0, 0, 1, 0, 1, 1]
    assert found.within is not None
    assert found.between is not None
    assert found.within > 0.95
    assert abs(found.between) < 0.2
    points, shares = principal_plane(vectors)
    assert (np.sign(points[:, 0]) == np.sign(points[0, 0])).tolist() == [
        True, True, False, True, False, False,
    ]  # fmt: skip
    assert shares[0] > 0.9
    centered = vectors - vectors.mean(0)
    np.testing.assert_allclose(
        np.square(points).sum() / np.square(centered).sum(), shares.sum(), atol=1e-5
    )


def test_few_vectors_make_no_clusters_or_planes_of_their_own():
    one = np.eye(4, dtype=np.float32)[:1]
    assert two_clusters(one)[1:] == (None, None)
    assert principal_plane(one)[0].tolist() == [[0, 0]]
    same = two_clusters(np.repeat(one, 3, axis=0))
    assert same.labels.tolist() == [0, 0, 0]
    assert same.within == 1
    assert same.between is None
    two = two_clusters(np.eye(4, dtype=np.float32)[:2])
    assert two.labels.tolist() == [0, 1]
    assert two[1:] == (None, 0)


def test_nearest_vectors_by_hand():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    found = nearest(np.array([0, 1], np.float32), vectors, 2)
    assert [index for index, _ in found] == [1, 2]
    np.testing.assert_allclose([cosine for _, cosine in found], [1, 0.8], atol=1e-6)


def test_neighbors_in_the_vocabulary_leave_the_word_out(model):
    tokens = TOKENIZER.encode("cats")
    found = nearest_in_vocabulary(model, tokens, 5)
    assert len(found) == 5
    assert not {"cat", "##s"} & {token for token, _ in found}
    cosines = [cosine for _, cosine in found]
    assert cosines == sorted(cosines, reverse=True)
    table = model.params["bert"]["embeddings"]["word"]
    mean, best = np.mean(table[np.array(tokens)], 0), table[TOKENIZER.vocab.index(found[0][0])]
    expected = mean @ best / np.linalg.norm(mean) / np.linalg.norm(best)
    np.testing.assert_allclose(cosines[0], expected, atol=1e-5)


def test_the_head_says_what_it_expects_instead(model, sentences):
    token = TOKENIZER.vocab.index("cat")
    found = expected_instead(model, sentences[0].states[-1, 2], token, TOKENIZER.vocab_size - 1)
    assert "cat" not in {word for word, _ in found}
    np.testing.assert_allclose(sum(p for _, p in found), 1, atol=1e-5)
    assert found == sorted(found, key=lambda pair: -pair[1])
