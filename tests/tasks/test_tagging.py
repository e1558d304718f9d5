"""Tags by hand: on first pieces, over windows, and as entities."""

import math
import warnings

import jax
import numpy as np
import pytest

from bert_jax.config import FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import NO_LABEL, collate
from bert_jax.labelled.rejects import Rejects
from bert_jax.tasks.tagging import TagExample, Tagging
from tests.extras import need
from tests.tasks.tiny import TOKENIZER, ids

LABELS = ("O", "B-PET", "I-PET")
TASK = Tagging(LABELS)


def example(words, tags=None):
    return TagExample("a.conll:1", tuple(words.split()), tags and tuple(tags.split()))


def decode(examples, rows, *tags):
    """Decode logits that give the first pieces of each row these tags, with odds of 8 to 1."""
    outputs = []
    for row, row_tags in zip(rows, tags, strict=True):
        scores = np.zeros((len(row.tokens), 3), np.float32)
        scores[:, 0] = 99  # large logits on other pieces are ignored
        first = np.flatnonzero(row.targets["is_first"])
        scores[first] = 0
        scores[first, [LABELS.index(tag) for tag in row_tags.split()]] = math.log(8)
        outputs.append(scores)
    return TASK.decode(examples, rows, outputs)


def test_labels_are_on_first_pieces_only():
    (row,) = TASK.encode([example("the cats 한글을 sat", "O B-PET I-PET O")], TOKENIZER, 16)
    assert row.tokens == ids("[CLS] the cat ##s 한 ##글 ##을 sat [SEP]")
    assert row.first_length == 9
    none = NO_LABEL
    assert row.targets == {
        "tag": [none, 0, 1, none, 2, none, none, 0, none],
        "is_first": [0, 1, 1, 0, 1, 0, 0, 1, 0],
    }


def test_a_sentence_without_tags_has_first_pieces_alone():
    (row,) = TASK.encode([example("the cats")], TOKENIZER, 16)
    assert row.targets == {"is_first": [0, 1, 1, 0, 0]}


def test_every_word_has_a_first_piece():
    # A control character leaves nothing of a word; "🙂" is no piece; one word is longer than a row.
    words = ("\x07", "🙂", "한" + "글" * 20, "cat")
    rows = TASK.encode([TagExample("", words, ("O", "O", "B-PET", "O"))], TOKENIZER, 10)
    assert [row.tokens for row in rows] == [
        ids("[CLS] [UNK] [UNK] [SEP]"),
        ids("[CLS] 한 " + "##글 " * 7 + "[SEP]"),
        ids("[CLS] cat [SEP]"),
    ]
    assert [sum(row.targets["is_first"]) for row in rows] == [2, 1, 1]


def test_a_long_sentence_comes_in_rows_of_whole_words():
    long = example("a b cats d e films g", "O O B-PET O I-PET O B-PET")
    short = example("the dog", "O B-PET")
    rows = TASK.encode([long, short], TOKENIZER, 8)  # room for 6 pieces
    assert [row.tokens for row in rows] == [
        ids("[CLS] a b cat ##s d e [SEP]"),
        ids("[CLS] film ##s g [SEP]"),
        ids("[CLS] the dog [SEP]"),
    ]
    assert [row.example for row in rows] == [0, 0, 1]
    rows = TASK.encode([long, short], TOKENIZER, 9)[:1]
    assert rows[0].tokens == ids("[CLS] a b cat ##s d e [SEP]")  # "film ##s" would be cut
    rows = TASK.encode([long, short], TOKENIZER, 8)
    predictions = decode([long, short], rows, "O O B-PET I-PET O", "B-PET I-PET", "O O")
    assert [p["tags"] for p in predictions] == [
        ["O", "O", "B-PET", "I-PET", "O", "B-PET", "I-PET"],
        ["O", "O"],
    ]
    assert predictions[1]["words"] == ["the", "dog"]
    assert predictions[1]["probabilities"] == pytest.approx([0.8, 0.8])


def test_words_of_a_text_have_their_places_in_it():
    text = " the  cats\u3000한글을\t!"
    given = [TASK.parse({"text": text}, ""), TASK.parse({"words": ["the", "cats"]}, "")]
    long = TASK.parse({"text": "a b cats d e films g"}, "")
    rows = TASK.encode([*given, long], TOKENIZER, 8)
    predictions = decode([*given, long], rows, *("O " * sum(r.targets["is_first"]) for r in rows))
    spans = zip(predictions[0]["start"], predictions[0]["end"], strict=True)
    assert [text[start:end] for start, end in spans] == predictions[0]["words"]
    assert predictions[0]["words"] == ["the", "cats", "한글을", "!"]
    assert "start" not in predictions[1]
    assert predictions[2]["start"] == [0, 2, 4, 9, 11, 13, 19]
    assert predictions[2]["end"] == [1, 3, 8, 10, 12, 18, 20]


def test_entity_scores_by_hand():
    # True: PET at words 1-2 of the first, 0 and 1 of the second. Predicted: 1 (too short); 0, 1.
    golds = [example("a b c d", "O B-PET I-PET O"), example("e f", "B-PET B-PET")]
    predictions = [{"tags": ["O", "B-PET", "O", "O"]}, {"tags": ["I-PET", "B-PET"]}]
    expected = {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "accuracy": 4 / 6}
    assert TASK.score(golds, predictions) == pytest.approx(expected)
    seqeval = need("seqeval.metrics")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tags = [list(g.label) for g in golds], [p["tags"] for p in predictions]
        assert seqeval.f1_score(*tags) == pytest.approx(2 / 3)


def test_the_correctness_of_a_sentence_is_its_share_of_right_words():
    golds = [example("a b c d", "O B-PET I-PET O")]
    predictions = [{"tags": ["O", "B-PET", "O", "O"], "probabilities": [0.9, 0.6, 0.7, 0.8]}]
    (compared,) = TASK.compare(golds, predictions)
    assert compared == ("a b c d", "O B-PET I-PET O", "O B-PET O O", 0.75, 0.6)
    gold, predicted = TASK.class_indices(golds, predictions)
    assert (gold.tolist(), predicted.tolist()) == ([0, 1, 2, 0], [0, 1, 0, 0])


def test_the_loss_counts_first_pieces_alone():
    rows = TASK.encode([example("the cats", "O B-PET"), example("a", "O")], TOKENIZER, 16)
    batch = collate(rows, [[0], [1]], 4, 16)
    scores = np.full((4, 16, 3), 7, np.float32)
    scores[:, 3:] = 0, 0, 100  # large logits on second pieces and padding
    assert jax.jit(TASK.num_targets)(batch) == 3
    assert jax.jit(TASK.loss_sum)(scores, batch) == pytest.approx(3 * math.log(3))


def config(path, **options):
    return FinetuneConfig(task="tagging", encoder="", train=str(path), dev="", **options)


def test_words_and_tags_of_other_numbers_are_rejected(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [
        '{"tokens": ["a", "b"], "ner_tags": ["O", "B-PET"]}',
        '{"tokens": ["a", "b"], "ner_tags": ["O"]}',
        '{"tokens": ["a"], "ner_tags": null}',
        '{"tokens": [], "ner_tags": []}',
        '{"tokens": "c d", "ner_tags": [0, 1]}',
        '{"tokens": 5, "ner_tags": ["O"]}',
    ]
    path.write_text("\n".join(lines))
    rejects, log = Rejects(), []
    examples = Tagging.read(str(path), "train", config(path), rejects, log.append)
    assert [(e.place, e.words, e.label) for e in examples] == [
        (f"{path}:1", ("a", "b"), ("O", "B-PET")),
        (f"{path}:5", ("c", "d"), ("0", "1")),
    ]
    assert [(row["place"].split(":")[-1], row["reason"]) for row in rejects.rows] == [
        ("2", "2 words and 1 tags"),
        ("3", "words or tags missing"),
        ("4", "words or tags missing"),
        ("6", "words or tags missing"),
    ]
    assert log == [f"{path}: JSONL; words 'tokens', tags 'ner_tags'"]


def test_tags_are_sorted_with_o_first_then_by_type():
    given = [example("a b c d e", "I-B B-B O B-A I-A")]
    assert Tagging.from_examples(given, config("x")).labels == ("O", "B-A", "I-A", "B-B", "I-B")
    with pytest.raises(DataError, match=r"its tags are \['O'\](.|\n)*at least two tags"):
        Tagging.from_examples([example("a", "O")], config("x"))


def test_tags_without_entities_are_refused_unless_accuracy_is_what_counts():
    numbers = [example("a b c", "3 4 0")]
    with pytest.raises(DataError, match=r"tags 0, 3, 4 name no entities(.|\n)*--labels") as caught:
        Tagging.from_examples(numbers, config("x"))
    assert str(caught.value).count("\n") == 2
    task = Tagging.from_examples([example("a b", "NOUN VERB")], config("x", metric="accuracy"))
    assert task.score([example("a b", "NOUN VERB")], [{"tags": ["NOUN", "NOUN"]}]) == {
        "accuracy": 0.5
    }


def test_numbers_stand_for_the_labels_that_are_given(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"tokens": ["a", "b", "c"], "ner_tags": [1, 2, 0]}\n')
    given = config(path, labels=("O", "B-PER", "I-PER"))
    (example_read,) = Tagging.read(str(path), "train", given, Rejects(), [].append)
    assert example_read.label == ("B-PER", "I-PER", "O")
    task = Tagging.from_examples([example_read], given)
    assert task.score([example_read], [{"tags": ["B-PER", "I-PER", "O"]}])["f1"] == 1.0


def test_a_sentence_with_an_unknown_tag_is_rejected_whole():
    rejects = Rejects()
    given = [example("a b", "O B-PET"), example("a b", "O B-X")]
    assert TASK.accept(given, rejects) == given[:1]
    assert rejects.rows[0]["reason"] == "tag 'B-X' is not one of O, B-PET, I-PET"


def test_a_users_input_is_a_text_or_a_list_of_words():
    assert TASK.parse({"text": "a  b"}, "").words == ("a", "b")
    assert TASK.parse({"words": ["a b", "c"]}, "").words == ("a b", "c")
    for values in ({"text": " "}, {"words": []}, {"other": "a"}, {"words": 5}):
        with pytest.raises(DataError, match="input 1: no words in"):
            TASK.parse(values, "input 1")
