"""Requests of the views of predictions: answered, or refused with what is wrong."""

import json

import pytest

import bert_jax
from bert_jax.errors import DataError
from bert_jax.explorer.explaining import choose_language, predict_each, read_inputs_of
from bert_jax.explorer.views.answer import answer_view
from bert_jax.explorer.views.classify import classify_view
from bert_jax.explorer.views.tag import tag_view
from bert_jax.explorer.views.vectors import vectors_view
from tests.tasks.tiny import TOKENIZER, make, with_one_segment

VIEWS = {
    "classification": classify_view,
    "multilabel": classify_view,
    "regression": classify_view,
    "tagging": tag_view,
    "question_answering": answer_view,
}
IG = "integrated_gradients"


def view_of(kind: str):
    return VIEWS[kind](bert_jax.Model(make(kind)))


@pytest.mark.parametrize("kind", VIEWS)
def test_every_request_of_a_saved_page_has_an_answer(kind):
    view = view_of(kind)
    requests = view.to_save(["the cats sat\ta good dog", "", "  ", "a"])
    assert requests
    for request in requests:
        answer = view.answer(json.loads(json.dumps(request)))
        json.dumps(answer, allow_nan=False)
    wanted = {request["do"] for request in requests}
    assert wanted == {"predict", "explain"}


def test_only_models_that_can_do_it_have_a_view():
    views = {classify_view, tag_view, answer_view}
    for kind, own in VIEWS.items():
        model = bert_jax.Model(make(kind))
        assert [view for view in views if view(model) is not None] == [own]
        assert vectors_view(model).name == "vectors"


def test_a_model_with_one_segment_takes_no_pairs():
    view = classify_view(bert_jax.Model(with_one_segment(make("classification"))))
    assert not view.about["takes_pairs"]
    request = {"do": "predict", "inputs": [{"text": "the cat", "text_b": "a dog"}]}
    (prediction,) = view.answer(request)["predictions"]
    assert "two texts, but the model has one segment" in prediction["error"]


def test_a_text_that_is_not_there_yet_has_no_prediction():
    model = bert_jax.Model(make("classification"))
    predictions = predict_each(model, [{"text": " "}, {"text": "the cat"}])
    assert predictions[0] is None
    assert predictions[1]["label"] in model.labels


def test_long_texts_are_cut_with_a_notice():
    texts, notices = read_inputs_of({"inputs": [{"text": "a" * 30_000}]}, ["text", "text_b"])
    assert len(texts[0]["text"]) == 20_000
    assert notices == ["The text was cut after 20,000 characters."]
    answer = view_of("classification").answer({"do": "predict", "inputs": [{"text": "the " * 900}]})
    assert answer["predictions"][0]["truncated"]


@pytest.mark.parametrize(
    ("kind", "request_", "message"),
    [
        ("classification", {}, "do = 'None'"),
        ("classification", {"do": ["predict"]}, "do = "),
        ("classification", {"do": "predict"}, "inputs = 'None'"),
        ("classification", {"do": "predict", "inputs": [{}] * 3}, "inputs = "),
        ("classification", {"do": "predict", "inputs": ["a"]}, "an input = 'a'"),
        ("classification", {"do": "predict", "inputs": [{"text": 1}]}, "text = '1'"),
        ("classification", {"do": "explain", "inputs": [{"text": "a"}]}, "method = 'None'"),
        (
            "tagging",
            {"do": "explain", "inputs": [{"text": "a"}], "method": IG, "word": True},
            "word = 'True'",
        ),
        (
            "question_answering",
            {"do": "explain", "inputs": [{"question": "a", "context": "a"}], "span": [0, "1"]},
            "span = ",
        ),
    ],
)
def test_what_is_asked_is_checked(kind, request_, message):
    with pytest.raises(DataError, match=message):
        view_of(kind).answer(request_)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"layer": 1, "word": ""}, "text = 'None'"),
        ({"text": "a", "layer": 3, "word": ""}, "layer = '3'(.|\n)*0 to 2"),
        ({"text": "a", "layer": True, "word": ""}, "layer = 'True'"),
        ({"text": "a", "layer": 1, "word": None}, "word = 'None'"),
        ({"text": "a", "layer": 1, "word": "", "chosen": [0, 1]}, r"chosen = \[0, 1\]"),
        ({"text": "a", "layer": 1, "word": "", "chosen": "x"}, "chosen = x"),
    ],
)
def test_what_is_asked_of_vectors_is_checked(request_, message):
    with pytest.raises(DataError, match=message):
        vectors_view(bert_jax.Model(make("classification"))).answer(request_)


def test_vectors_of_nothing_and_of_one_sentence():
    view = vectors_view(bert_jax.Model(make("classification")))
    assert view.answer({"text": " \n ", "layer": 0, "word": "a"})["sentences"] == []
    answer = view.answer({"text": "the cat", "layer": 2, "word": "cat", "chosen": [0, 0]})
    json.dumps(answer, allow_nan=False)
    assert answer["found"]["between"] is None
    assert [word["start"] for word in answer["chosen"]["in_sentences"]] == [4]
    for request in view.to_save(["the cat sat", "a cat"]):
        assert request["word"] == "cat"
        assert view.answer(request)["found"]


def test_the_language_is_that_of_the_vocabulary():
    texts = {"en": "the cat sat on the mat", "xx": "qqq"}
    assert choose_language(TOKENIZER, texts) == "en"
