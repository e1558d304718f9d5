"""Spans by hand: where answers are, in which windows, and what is predicted."""

import json
import math
import unicodedata

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.config import FinetuneConfig
from bert_jax.errors import ConfigError
from bert_jax.labelled.batching import collate
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.squad import Answer, Question
from bert_jax.reports.report import make_report
from bert_jax.tasks.question_answering import QuestionAnswering, most_context
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing, Tokenizer
from tests.tasks.tiny import TOKENIZER, ids

TASK = QuestionAnswering()
KOREAN = "세종대왕이 한글을 만들었다."
LETTERS = "abcdefgh"


def ask(context, *answers, question="who"):
    """Return a question with its answers at their first occurrence in the passage."""
    label = tuple(Answer(text, context.index(text)) for text in answers)
    return Question("a.json: question 1", question, context, label)


def letters(count):
    """Return a passage of `count` words; word i is one character, at 2 i."""
    return " ".join(LETTERS[i % len(LETTERS)] for i in range(count))


def encode(question, max_length=32, tokenizer=TOKENIZER):
    return TASK.encode([question], tokenizer, max_length)


def outputs(row, scores, others=-50.0):
    """Return logits [T, 2] of a row: those given for tokens of the passage; 0 for "none"."""
    logits = np.full((len(row.tokens), 2), others, np.float32)
    logits[0] = 0
    for token, pair in scores.items():
        logits[row.first_length + token] = pair
    return logits


def decode(question, rows, *all_outputs):
    (prediction,) = TASK.decode([question], rows, all_outputs)
    return prediction


def test_a_korean_answer_is_found_by_its_characters():
    question = ask(KOREAN, "한글", question="who ?")
    (row,) = encode(question)
    tokens = "[CLS] who ? [SEP] 세 ##종 ##대 ##왕 ##이 한 ##글 ##을 만 ##들 ##었 ##다 . [SEP]"
    assert row.tokens == ids(tokens)
    assert row.first_length == 4
    characters = [0, 1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 13, 14]
    assert row.targets == {
        "char_start": [-1] * 4 + characters + [-1],
        "char_end": [-1] * 4 + [i + 1 for i in characters] + [-1],
        "start": 9,
        "end": 10,
    }
    best = decode(question, [row], outputs(row, {5: (4, 0), 6: (0, 4)}))
    assert (best["text"], best["start"], best["end"]) == ("한글", 6, 8)


def test_syllables_that_are_taken_apart_come_back_whole():
    hangul = {s: unicodedata.normalize("NFD", s) for s in ("한", "글", "을", "만", "들", "었다")}
    first, rest = hangul["만"][:2], hangul["만"][2:] + hangul["들"]
    vocab = [*SPECIAL_TOKENS, hangul["한"], first]
    vocab += [f"##{piece}" for piece in (hangul["글"], hangul["을"], rest, hangul["었다"])]
    tokenizer = Tokenizer(vocab, Casing(lowercase=True))
    question = ask("한글을 만들었다", "들", question="")
    (row,) = encode(question, tokenizer=tokenizer)
    assert [tokenizer.vocab[i] for i in row.tokens[2:-1]] == [
        vocab[5], vocab[7], vocab[8], vocab[6], vocab[9], vocab[10]
    ]  # fmt: skip
    assert row.targets["char_start"][2:-1] == [0, 1, 2, 4, 4, 6]
    assert row.targets["char_end"][2:-1] == [1, 2, 3, 5, 6, 8]
    assert (row.targets["start"], row.targets["end"]) == (6, 6)  # the piece that holds it
    assert decode(question, [row], outputs(row, {0: (9, 0), 1: (0, 9)}))["text"] == "한글"
    assert decode(question, [row], outputs(row, {4: (9, 9)}))["text"] == "만들"


def test_an_answer_inside_a_piece_is_that_piece():
    (row,) = encode(ask("the films", "ilm"))
    assert row.tokens == ids("[CLS] who [SEP] the film ##s [SEP]")
    assert (row.targets["start"], row.targets["end"]) == (4, 4)


def test_probabilities_by_hand():
    question = ask("cat sat", "cat")
    (row,) = encode(question)
    assert row.tokens == ids("[CLS] who [SEP] cat sat [SEP]")
    # As weights: "cat" 4 · 1, "cat sat" 4 · 2, "sat" 1 · 2, none 1 · 1.
    logits = outputs(row, {0: (math.log(4), 0), 1: (0, math.log(2))})
    logits[[1, 2, 5]] = 100  # the question and [SEP] are not answers
    prediction = decode(question, [row], logits)
    assert [answer["text"] for answer in prediction["n_best"]] == ["cat sat", "cat", "sat"]
    assert [answer["probability"] for answer in prediction["n_best"]] == pytest.approx(
        [8 / 15, 4 / 15, 2 / 15]
    )
    assert (prediction["text"], prediction["start"], prediction["end"]) == ("cat sat", 0, 7)
    assert prediction["probability"] == pytest.approx(8 / 15)
    assert prediction["none_probability"] == pytest.approx(1 / 15)
    assert prediction["none_margin"] == pytest.approx(-math.log(8))


def test_an_answer_has_at_most_30_tokens_and_ends_after_its_start():
    question = ask(letters(40), "a")
    (row,) = encode(question, max_length=64)
    logits = outputs(row, {0: (9, 0), 29: (0, 7), 30: (0, 9)})
    prediction = decode(question, [row], logits)
    assert prediction["text"] == letters(30)
    logits = outputs(row, {3: (-50, 9), 5: (9, -50), 20: (-50, -20)})
    prediction = decode(question, [row], logits)
    assert (prediction["start"], prediction["end"]) == (10, 41)


def test_the_best_twenty_share_the_probability():
    question = ask(letters(10), "a")
    (row,) = encode(question)
    prediction = decode(question, [row], outputs(row, {}, others=0.0))
    assert len(prediction["n_best"]) == 5
    assert prediction["none_probability"] == pytest.approx(1 / 21)  # of 55 spans
    rows = encode(question, max_length=10)
    assert len(rows) == 3
    prediction = decode(question, rows, *(outputs(row, {}, others=0.0) for row in rows))
    assert prediction["none_probability"] == pytest.approx(1 / 21)


def test_windows_by_hand():
    # Room for 20 - 5 = 15 tokens of the passage, so windows start every 7.
    context = letters(40)
    question = Question("", "who ?", context, (Answer(context[40:45], 40),))  # words 20, 21, 22
    rows = encode(question, max_length=20)
    assert [row.targets["char_start"][row.first_length] // 2 for row in rows] == [0, 7, 14, 21, 28]
    assert [len(row.tokens) for row in rows] == [20, 20, 20, 20, 17]
    starts_and_ends = [(row.targets["start"], row.targets["end"]) for row in rows]
    assert starts_and_ends == [(0, 0), (0, 0), (4 + 6, 4 + 8), (0, 0), (0, 0)]


def test_long_windows_start_every_128_tokens():
    rows = encode(ask(letters(500), "a"), max_length=303)
    starts = [row.targets["char_start"][row.first_length] // 2 for row in rows]
    assert starts == [0, 128, 256]


@pytest.mark.parametrize(
    ("stride", "starts"), [(100, [0, 100, 200]), (200, [0, 200]), (1000, [0, 299])]
)
def test_windows_start_every_stride_tokens_and_leave_no_token_out(stride, starts):
    # 303 tokens hold [CLS] who [SEP], 299 of the passage, and [SEP].
    given = FinetuneConfig("question_answering", "", "", "", stride=stride)
    task = QuestionAnswering.from_examples([], given)
    rows = task.encode([ask(letters(450), "a")], TOKENIZER, 303)
    assert [row.targets["char_start"][row.first_length] // 2 for row in rows] == starts


def test_answers_are_decoded_with_the_stride_they_were_encoded_with():
    # Windows of 16 tokens that start at 0, 9, 18, 27. Word 12 has three words to one side in the
    # first and in the second, so it may start an answer in the first alone.
    task = QuestionAnswering(stride=9)
    question = ask(letters(40), "a")
    rows = task.encode([question], TOKENIZER, 20)
    assert [len(row.tokens) for row in rows] == [20, 20, 20, 17]
    high = [outputs(rows[0], {12: (5, 5)}), outputs(rows[1], {3: (9, 9)})]
    flat = [outputs(row, {}) for row in rows[2:]]
    (prediction,) = task.decode([question], rows, [*high, *flat])
    assert (prediction["start"], prediction["end"]) == (24, 25)
    assert prediction["none_margin"] == pytest.approx(-10)


def test_a_stride_is_saved_with_the_model():
    task = QuestionAnswering(stride=64)
    assert QuestionAnswering.from_labels((), task.options) == task
    assert QuestionAnswering.from_labels((), {"kind": "question_answering"}).stride is None
    for damaged in (0, "64", 1.5, 1 << 40):
        with pytest.raises(ConfigError, match="stride is") as caught:
            QuestionAnswering.from_labels((), {"stride": damaged})
        assert str(caught.value).count("\n") == 2
    with pytest.raises(ConfigError, match="stride = 64 is invalid"):
        FinetuneConfig("tagging", "", "", "", stride=64)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 80), st.integers(8, 40), st.integers(0, 79), st.integers(1, 12))
def test_every_word_is_in_a_window_and_the_answer_in_those_that_hold_it(size, length, first, count):
    first = min(first, size - 1)
    count = min(count, size - first)
    context = letters(size)
    span = (2 * first, 2 * (first + count) - 1)
    question = Question("", "who what who what", context, (Answer(context[slice(*span)], span[0]),))
    rows = encode(question, max_length=length)
    covered = set()
    for row in rows:
        assert len(row.tokens) <= length
        here = row.targets["char_start"]
        covered |= set(here)
        start, end = row.targets["start"], row.targets["end"]
        if {span[0], span[1] - 1} <= set(here):
            assert (here[start], row.targets["char_end"][end]) == span
        else:
            assert (start, end) == (0, 0)
    assert covered == {-1, *range(0, 2 * size, 2)}
    assert all(row.example == 0 for row in rows)


def test_the_window_with_the_most_context_by_hand():
    # The example in run_squad.py: "the man went to the | to the store and bought |
    # and bought a gallon of | gallon of milk", windows of 5 words that start every 3.
    windows = most_context([0, 3, 6, 9], [5, 5, 5, 3])
    # Tokens on the smaller side: 0 1 2 1 0 in each window of 5, 0 1 0 in the last one.
    #   to: 1 in the first window, 0 in the second; the: 0 and 1; and: 1 and 0; bought: 0 and 1;
    #   gallon: 1 and 0; of: 0 and 1.
    assert windows.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    # A tie goes to the larger window, then to the first.
    assert most_context([0, 4], [5, 3]).tolist() == [0] * 5 + [1] * 2
    assert most_context([0, 2], [3, 5]).tolist() == [0, 0] + [1] * 5
    assert most_context([0, 4], [5, 5]).tolist() == [0] * 5 + [1] * 4


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30), st.integers(10, 20))
def test_every_word_starts_an_answer_in_the_one_window_where_its_context_is_the_most(size, length):
    question = ask(letters(size), "a")
    rows = encode(question, max_length=length)
    here = [[start for start in row.targets["char_start"] if start >= 0] for row in rows]
    for word in range(0, 2 * size, 2):
        best = max(
            (i for i, words in enumerate(here) if word in words),
            key=lambda i: (
                min(here[i].index(word), len(here[i]) - 1 - here[i].index(word))
                + 0.01 * len(here[i])
            ),
        )
        for i, words in enumerate(here):  # each window in turn predicts the word
            if word in words:
                logits = [outputs(row, {}) for row in rows]
                logits[i] = outputs(rows[i], {words.index(word): (9, 9)})
                prediction = decode(question, rows, *logits)
                is_predicted = prediction["start"] == word and prediction["none_margin"] < 0
                assert is_predicted == (i == best)


@pytest.mark.parametrize(("first", "second"), [(2, 6), (6, 2)])
def test_a_span_in_two_windows_counts_where_it_has_more_context_and_the_least_none_counts(
    first, second
):
    question = ask(letters(12), "d")
    rows = encode(question, max_length=12)  # windows of 8 words start at words 0 and 4
    assert [row.targets["char_start"][row.first_length] for row in rows] == [0, 8]
    logits = [
        outputs(rows[0], {5: (0, math.log(first))}),  # 2 words after it
        outputs(rows[1], {1: (0, math.log(second))}),  # 1 word before it
    ]
    logits[1][0] = math.log(3)
    prediction = decode(question, rows, *logits)
    assert (prediction["start"], prediction["end"]) == (10, 11)
    assert prediction["probability"] == pytest.approx(first / (first + 1))
    assert prediction["none_probability"] == pytest.approx(1 / (first + 1))
    spans = [(answer["start"], answer["end"]) for answer in prediction["n_best"]]
    assert len(spans) == len(set(spans))


def test_an_answer_may_end_where_another_window_has_more_context():
    question = ask(letters(12), "d")
    rows = encode(question, max_length=12)
    logits = [outputs(row, {}) for row in rows]
    logits[0] = outputs(rows[0], {5: (9, -50), 7: (-50, 9)})  # the last word of the first window
    prediction = decode(question, rows, *logits)
    assert (prediction["start"], prediction["end"]) == (10, 15)
    assert prediction["none_margin"] == pytest.approx(-18)


def test_an_empty_passage_has_no_answer_and_is_still_json():
    question = Question("", "who", "", ())
    (row,) = encode(question)
    assert row.tokens == ids("[CLS] who [SEP] [SEP]")
    prediction = decode(question, [row], np.zeros((4, 2), np.float32))
    assert (prediction["text"], prediction["n_best"]) == ("", [])
    assert prediction["none_probability"] == 1.0
    assert prediction["none_margin"] > 0
    json.dumps(prediction, allow_nan=False)


def predicted(text, margin):
    return {"text": text, "none_margin": margin, "probability": 0.3, "none_probability": 0.6}


def test_none_is_predicted_above_a_margin_of_0_where_some_questions_have_no_answer():
    whole = [ask("cat sat", "cat"), ask("cat sat")]
    questions = [question._replace(may_be_none=True) for question in whole]
    right = [predicted("cat", 0.0), predicted("sat", 0.1)]
    wrong = [predicted("cat", 0.1), predicted("sat", -0.1)]
    assert set(TASK.score(questions, right).values()) == {1.0}
    assert set(TASK.score(questions, wrong).values()) == {0.0}
    compared = TASK.compare(questions, right)
    assert [(r.gold, r.predicted, r.correct, r.confidence) for r in compared] == [
        ("cat", "cat", 1.0, 0.3),
        ("", "", 1.0, 0.6),
    ]
    # SQuAD 1.1 and KorQuAD: every question has an answer, so one is always predicted.
    assert TASK.score(whole[:1], wrong[:1])["exact_match"] == 1.0


def test_a_part_of_a_set_is_scored_by_the_rule_of_the_whole(tmp_path):
    context = "cat sat"
    qas = [{"question": "who", "answers": [{"text": "cat", "answer_start": 0}]} for _ in range(4)]
    qas.append({"question": "what", "is_impossible": True})
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}))
    config = FinetuneConfig("question_answering", "", "", "")
    questions = TASK.read(str(path), "train", config, Rejects(), print)
    predictions = [predicted("cat", 1.0)] * 5  # "none", of all of them
    assert TASK.score(questions, predictions)["exact_match"] == 0.2
    assert TASK.score(questions[:4], predictions[:4])["exact_match"] == 0.0
    rows = TASK.encode(questions, TOKENIZER, 16)
    score = make_report(TASK, questions, rows, predictions)["scores"]["exact_match"]
    assert score["value"] == 0.2
    assert score["high"] < 0.9  # samples of answered questions alone are not right


def test_scores_take_the_nearest_of_several_answers():
    questions = [ask("the cat sat on mat", "cat", "cat sat on mat"), ask(KOREAN, "세종대왕")]
    predictions = [predicted("the cat sat", -1), predicted("세종대왕이", -1)]
    assert TASK.score(questions, predictions) == pytest.approx(
        {
            "f1": (2 / 3 + 0) / 2,
            "exact_match": 0,
            "f1_characters": (2 * 7 / 20 + 2 * 4 / 9) / 2,
            "exact_match_korquad": 0,
        }
    )


def test_the_loss_is_over_tokens_that_are_there():
    rows = TASK.encode([ask("cat sat", "sat"), ask("cat", "cat")], TOKENIZER, 16)
    rows = [r._replace(targets={k: r.targets[k] for k in ("start", "end")}) for r in rows]
    batch = collate(rows, [[0], [1]], 4, 16)
    scores = np.zeros((4, 16, 2), np.float32)
    scores[:, 6:] = 100  # large logits on padding
    loss_sum = jax.jit(TASK.loss_sum)
    assert jax.jit(TASK.num_targets)(batch) == 2
    assert loss_sum(scores, batch) == pytest.approx(math.log(6) + math.log(5))
    # The mean of start's and end's: a certain start leaves half of the loss.
    scores[0, rows[0].targets["start"], 0] = 50
    assert loss_sum(scores, batch) == pytest.approx(math.log(6) / 2 + math.log(5))
    # Two windows in one row: each has its own tokens, with positions from its own start.
    batch = collate(rows, [[1, 0]], 2, 16)
    scores = np.zeros((2, 16, 2), np.float32)
    scores[:, 11:] = 100
    scores[0, 5 + rows[0].targets["start"], 0] = 50
    assert loss_sum(scores, batch) == pytest.approx(math.log(6) / 2 + math.log(5))
