"""Words that decided: found in their texts, and summed over their tokens."""

import numpy as np
import pytest

import bert_jax
from bert_jax.errors import ConfigError, DataError
from bert_jax.inspection.explanations import Target, explain
from tests.tasks.tiny import make, with_one_segment

CONTEXT = "the cats sat on the mat . the dog sat on the cat . " * 6


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_words_of_texts_and_pairs_have_places_and_sums(kind):
    model = bert_jax.Model(make(kind))
    found = explain(model, ("the Cats, sat", "세종대왕이 a  dogs"), steps=32)
    texts = [(word.part, word.text, word.start, word.end) for word in found.words]
    assert texts == [
        (0, "the", 0, 3), (0, "Cats", 4, 8), (0, ",", 8, 9), (0, "sat", 10, 13),
        (1, "세종대왕이", 0, 5), (1, "a", 6, 7), (1, "dogs", 9, 13),
    ]  # fmt: skip
    assert found.words[4].stop - found.words[4].first == 5
    np.testing.assert_allclose(found.values.sum(), found.output - found.baseline, atol=1e-4)


def test_the_label_is_the_prediction_s_or_the_one_asked_for():
    model = bert_jax.Model(make("classification"))
    (prediction,) = model.predict(["the cat"])
    best = explain(model, "the cat")
    assert best.label == prediction["label"]
    other = explain(model, "the cat", Target(label="so-so"))
    assert other.label == "so-so"
    assert other.output != best.output
    with pytest.raises(ConfigError, match=r"label = 'great' is none(.|\n)*bad, good, so-so"):
        explain(model, "the cat", Target(label="great"))


def test_words_beyond_the_longest_input_are_left_out():
    model = bert_jax.Model(make("classification"))
    found = explain(model, "the cat " * 50)
    assert len(found.words) == 46  # of 48 tokens


def test_the_tag_of_a_word_in_a_later_window_is_explained():
    model = bert_jax.Model(make("tagging"))
    sentence = "the cats sat on  the mats . " * 10
    (prediction,) = model.predict([sentence])
    for index in (1, 50):
        found = explain(model, sentence, Target(word=index), steps=32)
        assert found.label == prediction["tags"][index]
        probability = prediction["probabilities"][index]
        np.testing.assert_allclose(1 / (1 + np.exp(-found.output)), probability, atol=1e-5)
        np.testing.assert_allclose(found.values.sum(), found.output - found.baseline, atol=1e-3)
    assert all(sentence[word.start : word.end] == word.text for word in found.words)
    assert found.words[0].start > 0  # the second window
    with pytest.raises(ConfigError, match="word = 70, but the sentence has 70"):
        explain(model, sentence, Target(word=70))


def test_words_of_a_list_are_counted_with_a_space_between():
    found = explain(bert_jax.Model(make("tagging")), {"words": ["the", "cats", "sat"]})
    assert [(word.start, word.end) for word in found.words] == [(0, 3), (4, 8), (9, 12)]


def test_an_answer_is_explained_by_question_and_passage():
    model = bert_jax.Model(make("question_answering"))
    (prediction,) = model.predict([{"question": "who sat ?", "context": CONTEXT}])
    for answer in prediction["n_best"]:
        span = answer["start"], answer["end"]
        found = explain(model, {"question": "who sat ?", "context": CONTEXT}, Target(span=span))
        assert found.label == answer["text"]
        in_passage = [word for word in found.words if word.part == 1]
        assert [word.text for word in found.words if word.part == 0] == ["who", "sat", "?"]
        assert in_passage[0].start <= span[0] < span[1] <= in_passage[-1].end
        assert all(CONTEXT[word.start : word.end] == word.text for word in in_passage)
    with pytest.raises(ConfigError, match="no tokens of the passage begin and end there"):
        explain(model, {"question": "who", "context": "the cat"}, Target(span=(1, 2)))


def test_what_cannot_be_predicted_is_not_explained():
    with pytest.raises(ConfigError, match="was not fine-tuned"):
        explain(bert_jax.Model(make("classification")._replace(
            architecture="BertModel", params=make("classification").params["bert"], labels=(),
            task=None)), "the cat")  # fmt: skip
    with pytest.raises(DataError, match="two texts, but the model has one segment"):
        explain(bert_jax.Model(with_one_segment(make("classification"))), ("the cat", "a dog"))
