import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.config import ColumnsConfig, FinetuneConfig
from bert_jax.errors import DataError
from bert_jax.labelled.batching import collate
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import (
    CHARS_PER_TOKEN,
    TextExample,
    encode_starts,
    encode_texts,
    parse_text,
    read_text_examples,
    training_columns,
    truncate_pair,
)
from bert_jax.nn.layout import row_layout
from tests.tasks.tiny import TOKENIZER, ids


@pytest.mark.parametrize(
    ("first", "second", "room", "lengths"),
    [
        (3, 4, 7, (3, 4)),
        (3, 4, 6, (3, 3)),
        (4, 3, 6, (3, 3)),
        (4, 4, 7, (4, 3)),  # on a tie the second
        (10, 2, 6, (4, 2)),  # only the longer one, until both are of one length
        (2, 10, 6, (2, 4)),
        (10, 9, 5, (3, 2)),
        (1, 0, 5, (1, 0)),
    ],
)
def test_the_longer_of_a_pair_is_cut_by_hand(first, second, room, lengths):
    assert truncate_pair(first, second, room) == lengths


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_a_cut_pair_fills_the_room_and_the_shorter_stays_whole(first, second, room):
    a, b = truncate_pair(first, second, room)
    assert a + b == min(room, first + second)
    assert a == first or a >= b
    assert b == second or b >= a - 1


def test_a_text_and_a_pair_as_tokens_and_segments():
    examples = [
        TextExample("", "the cat sat"),
        TextExample("", "the cat", "a dog sat"),
        TextExample("", ""),
        TextExample("", "cat", ""),
    ]
    rows = encode_texts(examples, TOKENIZER, 16)
    assert [row.tokens for row in rows] == [
        ids("[CLS] the cat sat [SEP]"),
        ids("[CLS] the cat [SEP] a dog sat [SEP]"),
        ids("[CLS] [SEP]"),
        ids("[CLS] cat [SEP] [SEP]"),
    ]
    assert [row.example for row in rows] == [0, 1, 2, 3]
    batch = collate(rows, [[0], [1], [2], [3]], 4, 9, TOKENIZER.pad_id)
    layout = row_layout(jnp.asarray(batch["lengths"]), 9)
    assert layout.segment_ids.tolist() == [
        [0] * 9,  # a single text has segment 0 throughout
        [0, 0, 0, 0, 1, 1, 1, 1, 0],
        [0] * 9,
        [0, 0, 0, 1, 0, 0, 0, 0, 0],
    ]


def test_long_texts_and_pairs_are_cut_to_the_length():
    examples = [TextExample("", "a b c d e f g h"), TextExample("", "a b c d e f", "g h")]
    rows = encode_texts(examples, TOKENIZER, 8)
    assert rows[0].tokens == ids("[CLS] a b c d e f [SEP]")
    assert rows[1].tokens == ids("[CLS] a b c [SEP] g h [SEP]")
    assert [row.first_length for row in rows] == [8, 5]


def test_what_is_cut_is_marked():
    examples = [
        TextExample("", "a b c d e f"), TextExample("", "a b c d e f g"),
        TextExample("", "a b c", "d e"), TextExample("", "a b c", "d e f"),
    ]  # fmt: skip
    assert [row.truncated for row in encode_texts(examples, TOKENIZER, 8)] == [
        False, True, False, True
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "the cat sat " * 5000,
        "the cat" + " " * 50_000 + "sat a b c d e f g h",  # few tokens in many characters
        "x" * 50_000 + " a b c d e f g h",
        "\n".join("abcdefgh") * 3000,
        "a" * 10_000,
    ],
)
def test_of_a_long_text_only_the_start_is_tokenized_with_the_same_result(text):
    whole = TOKENIZER.encode(text)
    (start,) = encode_starts([text], TOKENIZER, 8)
    assert start[:8] == whole[:8]
    assert (len(start) > 6) == (len(whole) > 6)
    examples = [TextExample("", text, "a b c"), TextExample("", text, text)]
    for row in encode_texts(examples, TOKENIZER, 8):
        assert row.tokens[1 : row.first_length - 1] == whole[:3]


def test_a_huge_text_is_not_tokenized_as_a_whole(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        TOKENIZER, "encode_batch", lambda texts: [sizes.append(len(t)) or [1] * 20 for t in texts]
    )
    encode_starts(["a b " * 1_000_000, "short"], TOKENIZER, 8)
    assert max(sizes) <= 8 * CHARS_PER_TOKEN


def read(path, content, **columns):
    path.write_text(content, encoding="utf-8")
    config = FinetuneConfig(
        task="classification", encoder="", train=str(path), dev="", columns=ColumnsConfig(**columns)
    )
    rejects, log = Rejects(), []
    return read_text_examples(str(path), "train", config, rejects, log.append), rejects, log


def test_columns_are_found_and_logged_and_every_row_is_used_or_rejected(tmp_path):
    lines = [
        '{"premise": "a", "hypothesis": "b", "label": 1}',
        '{"premise": "a", "hypothesis": null, "label": 1}',
        '{"premise": "a", "label": 1}',
        '{"premise": " ", "hypothesis": "b", "label": 1}',
        '{"premise": "a", "hypothesis": "b", "label": " "}',
        '{"premise": "a", "hypothesis": ["b"], "label": 0}',
        '{"premise": 5, "hypothesis": " b ", "label": 0.5}',
    ]
    path = tmp_path / "pairs.jsonl"
    examples, rejects, log = read(path, "\n".join(lines))
    assert examples == [
        TextExample(f"{path}:1", "a", "b", "1"),
        TextExample(f"{path}:7", "5", "b", "0.5"),
    ]
    assert [(row["place"].split(":")[-1], row["reason"]) for row in rejects.rows] == [
        ("2", "text missing"),
        ("3", "text missing"),
        ("4", "text empty"),
        ("5", "label empty"),
        ("6", "text missing"),
    ]
    assert log == [
        f"{path}: JSONL; text 'premise', text b 'hypothesis', label 'label'; 7 rows",
    ]


def test_given_columns_are_taken_and_the_label_is_never_the_text(tmp_path):
    table = "id\tsentence\tcomment\n1\tgood film\tbad film\n"
    path = tmp_path / "a.tsv"
    (example,), _, _ = read(path, table, label="sentence")
    assert (example.text, example.label) == ("bad film", "good film")
    (example,), _, _ = read(path, table, text="comment", text_b="sentence", label="id")
    assert (example.text, example.text_b, example.label) == ("bad film", "good film", "1")


def test_a_question_and_a_sentence_are_a_pair_as_in_qnli(tmp_path):
    table = "index\tquestion\tsentence\tlabel\n0\twho\tthe cat\tentailment\n"
    path = tmp_path / "a.tsv"
    (example,), _, log = read(path, table)
    assert (example.text, example.text_b, example.label) == ("who", "the cat", "entailment")
    assert "text 'question', text b 'sentence'" in log[0]
    (example,), _, _ = read(path, table, text="sentence")
    assert (example.text, example.text_b) == ("the cat", None)
    (example,), _, _ = read(path, table, label="question")
    assert (example.text, example.text_b, example.label) == ("the cat", None, "who")
    pair = parse_text({"Question": "who", "Sentence": "the cat"}, "")
    assert (pair.text, pair.text_b) == ("who", "the cat")


def test_a_label_of_the_first_row_alone_may_be_a_header(tmp_path):
    path = tmp_path / "a.tsv"
    table = "Phrase\tMood\na b\tgood\nc d\tbad\ne f\tgood\ng\tbad\n"
    examples, _, log = read(path, table, text="1", label="2")
    assert len(examples) == 5
    assert f"warning: {path}:1: no other row has the label 'Mood'" in log[1]
    assert "--columns.label 'Mood'" in log[1]
    examples, _, log = read(path, table, text="1", label="Mood")
    assert len(examples) == 4
    assert len(log) == 1
    assert len(read(path, "a\tgood\nb\tgood\nc\tbad\n", text="1", label="2")[2]) == 1


@pytest.mark.parametrize(
    ("table", "given", "columns"),
    [
        ("id\tdocument\tlabel\n1\ta\t0\n", {}, {"text": "document"}),
        ("premise\thypothesis\tlabel\na\tb\t0\n", {}, {"text": "premise", "text_b": "hypothesis"}),
        ("Tweet\tsentence\n1\t2\n", {"label": "sentence", "text": "tweet"}, {"text": "Tweet"}),
        ("0\ta b\tc\n", {"text": "2", "text_b": "3", "label": "1"}, {"text": "2", "text_b": "3"}),
    ],
)
def test_the_columns_of_training_are_remembered(tmp_path, table, given, columns):
    path = tmp_path / "a.tsv"
    path.write_text(table)
    config = FinetuneConfig("classification", "", str(path), "", columns=ColumnsConfig(**given))
    assert training_columns(str(path), "train", config) == columns


@pytest.mark.parametrize("values", [{"text": ""}, {"text": " \t"}, {"text": "a", "text_b": " "}])
def test_an_empty_text_is_refused(values):
    with pytest.raises(DataError, match=r"in\.txt:3: text empty"):
        parse_text(values, "in.txt:3")


def test_a_users_input_is_a_text_or_a_pair():
    assert parse_text({"Review": "good"}, "input 1") == TextExample("input 1", "good")
    pair = parse_text({"question1": "a", "question2": "b", "label": "x"}, "input 2")
    assert pair == TextExample("input 2", "a", "b")
    for values in ({"other": "a"}, {"text": 5}, {"text": "a", "text_b": 5}, {}):
        with pytest.raises(DataError, match="input 3: no text in") as caught:
            parse_text(values, "input 3")
        assert str(caught.value).count("\n") == 2
