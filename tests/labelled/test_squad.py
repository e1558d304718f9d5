import json

import pytest

from bert_jax.errors import DataError
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.squad import read_squad


def write(corpus, qas, context="one two one three"):
    return corpus(
        json.dumps({"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}), "a.json"
    )


def qa(text, start, **more):
    return {"question": "q?", "answers": [{"text": text, "answer_start": start}], **more}


def test_answers_are_at_their_start_or_at_the_nearest_occurrence(corpus):
    path = write(corpus, [qa("one", 0), qa(" two ", 3), qa("one", 7), qa("one", 14)])
    answers = [question.label[0] for question in read_squad(path, Rejects())]
    assert [tuple(a) for a in answers] == [("one", 0), ("two", 4), ("one", 8), ("one", 8)]


@pytest.mark.parametrize("answers", [[], [{"text": "one", "answer_start": 0}]])
def test_all_questions_of_a_file_know_whether_one_of_them_has_no_answer(corpus, answers):
    path = write(corpus, [qa("one", 0), {"question": "q", "answers": answers}])
    flags = [question.may_be_none for question in read_squad(path, Rejects())]
    assert flags == [not answers] * 2


def test_what_cannot_be_used_is_rejected(corpus):
    rejects = Rejects()
    bad = [qa("four", 0), {"question": " "}, {"question": "q", "answers": [{"text": "one"}]}, "no"]
    path = write(corpus, [*bad, {"question": "q", "answers": [], "is_impossible": True}])
    (left,) = read_squad(path, rejects)
    assert left.label == ()
    assert [row["reason"] for row in rejects.rows] == [
        "an answer that is not in its passage",
        "no question or no passage",
        "an answer without text or place",
        "no question or no passage",
    ]


@pytest.mark.parametrize("content", ["", "[]", '{"data": 1}', "[" * 100_000, '{"data": []}'])
def test_another_form_is_refused(corpus, content):
    with pytest.raises(DataError) as caught:
        read_squad(corpus(content, "a.json"), Rejects())
    assert str(caught.value).count("\n") == 2
