import gzip
import io
import json

import pytest

from bert_jax.errors import DataError
from bert_jax.labelled import files
from bert_jax.labelled.inputs import (
    UNKNOWN,
    Input,
    InputColumns,
    Reading,
    as_input,
    main_text,
    read_inputs,
)


def read(name, *args):
    """Return the values and the error of each input."""
    return [(example.values, example.error) for example in read_inputs(str(name), *args).rows]


@pytest.mark.parametrize(
    ("format", "line", "values", "error"),
    [
        ("auto", "a\tb", {"text": "a\tb"}, ""),
        ("tsv", "a\tb", {"1": "a", "2": "b"}, ""),
        ("tsv", "a", {"1": "a"}, ""),
        ("tsv", "a, b", {"1": "a, b"}, ""),
        ("csv", '"a, b";c', {"1": "a, b", "2": "c"}, ""),
        ("auto", '{"text": "a", "error": "mine"}', {"text": "a", "error": "mine"}, ""),
        ("auto", "[1]", {"text": "[1]"}, ""),
        ("jsonl", "[1]", {"row": "[1]"}, "standard input:1: not a JSON object"),
        ("lines", '{"text": "a"}', {"text": '{"text": "a"}'}, ""),
        ("auto", "{", {"line": "{"}, "standard input:1: not valid JSON"),
        ("auto", "", {"text": ""}, ""),
    ],
)
def test_lines_by_format(monkeypatch, format, line, values, error):
    monkeypatch.setattr("sys.stdin", io.StringIO(line + "\r\n"))
    columns = InputColumns("1") if format == "csv" else InputColumns()
    assert read("-", format, columns) == [(values, error)]


def test_rejected_rows_of_a_table_keep_their_places(corpus):
    path = corpus("id\ttext\n1\ta\n2\n3\tb\n4\n", "a.tsv")
    assert read(path) == [
        ({"id": "1", "text": "a"}, ""),
        ({"row": '["2"]'}, f"{path}:3: 1 fields, expected 2"),
        ({"id": "3", "text": "b"}, ""),
        ({"row": '["4"]'}, f"{path}:5: 1 fields, expected 2"),
    ]
    assert [values for values, _ in read(path, "lines")][:2] == [
        {"text": "id\ttext"}, {"text": "1\ta"}
    ]  # fmt: skip


def test_rejected_rows_keep_their_places_behind_the_first_rows(corpus):
    """The first thousand rows are read ahead, and so are their rejected ones."""
    lines = [
        "text\tid",
        *(f"t\t{i}" if i % 3 else " \t " if i % 2 else "ragged" for i in range(3000)),
    ]
    path = corpus("\n".join(lines), "a.tsv")
    places = [example.place for example in read_inputs(path).rows]
    assert places == [f"{path}:{i + 2}" for i in range(3000)]


READER = Reading("question_answering")


def test_questions_of_a_squad_file_keep_their_ids(corpus):
    qas = [{"question": "who", "id": "7"}, {"question": "what", "answers": []}]
    path = corpus(json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": qas}]}]}), "a.json")
    assert read(path, "auto", InputColumns(), READER) == [
        ({"question": "who", "context": "c", "id": "7"}, ""),
        ({"question": "what", "context": "c"}, ""),
    ]
    with pytest.raises(DataError, match=r"SQuAD's JSON(.|\n)*task is classification"):
        read(path, "auto", InputColumns(), Reading("classification"))
    path = corpus(json.dumps({"data": [{"paragraphs": [{"qas": qas}]}]}), "b.json")
    with pytest.raises(DataError, match="not a SQuAD file"):
        read(path, "auto", InputColumns(), READER)


@pytest.mark.parametrize("kind", ["classification", "question_answering", None])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.json.gz"])
@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a", "context": "c"}\n{"text": "b"}\n',
        '[{"text": "a", "context": "c"}, {"text": "b"}]',
        ' [\n{"text": "a",\n"context": "c"},\n{"text": "b"}]\n',
    ],
)
def test_lists_and_lines_of_json_are_read_under_any_name(corpus, kind, name, content):
    if name.endswith("gz"):
        content = gzip.compress(content.encode())
    rows = read(corpus(content, name), "auto", InputColumns(), Reading(kind))
    assert rows == [({"text": "a", "context": "c"}, ""), ({"text": "b"}, "")]


ANY = InputColumns()


def fields(name, columns=ANY, model=UNKNOWN, format="auto"):
    return [example.read for example in read_inputs(str(name), format, columns, model).rows]


NSMC = "id\tdocument\tlabel\n8\tgood\t1\n9\tbad, so\t0\n"


@pytest.mark.parametrize("format", ["auto", "tsv"])
@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "-"])
def test_a_table_is_known_by_its_header_under_any_name(corpus, monkeypatch, name, format):
    path = corpus(NSMC, name) if name != "-" else name
    monkeypatch.setattr("sys.stdin", io.StringIO(NSMC))
    assert fields(path, format=format) == [{"text": "good"}, {"text": "bad, so"}]


@pytest.mark.parametrize(
    "content",
    [
        "a dog\nthe cat\n",
        "text\nb\n",  # one column
        "first, second\nanother, one\n",  # no text among the names
        "label\tnumber\nb\t5\nc\t6\n",
        "text, he said\nand left\n",  # a line without a comma
    ],
)
def test_lines_of_text_are_no_table(corpus, content):
    lines = content.splitlines()
    assert fields(corpus(content, "a.txt")) == [{"text": line} for line in lines]


def test_columns_are_those_asked_for_then_those_of_training_then_known_ones(corpus):
    path = corpus("id,tweet,text\n1,x,y\n", "a.csv")
    trained = Reading("classification", (), {"text": "tweet", "text_b": None})
    assert fields(path) == [{"text": "y"}]
    assert fields(path, model=trained) == [{"text": "x"}]
    assert fields(path, InputColumns("ID", "tweet"), trained) == [{"text": "1", "text_b": "x"}]
    assert fields(path, InputColumns("2")) == [{"text": "x"}]
    other = Reading("classification", (), {"text": "elsewhere"})
    assert fields(path, model=other) == [{"text": "y"}]
    path = corpus("id,tweet\n1,x\n2,y\n", "b.csv")
    with pytest.raises(DataError, match=r"for the text(.|\n)*--columns\.text.*'id', 'tweet'"):
        fields(path)
    with pytest.raises(DataError, match=r"no column 'twet'(.|\n)*pass --columns\.text tweet"):
        fields(path, InputColumns("twet"))


def test_columns_of_json_are_chosen_for_each_row(corpus):
    path = corpus('{"Text": "a"}\n{"review": "b"}\n{"tweet": "c", "text": "d"}\n', "a.jsonl")
    assert fields(path)[1] == {"review": "b"}
    assert fields(path, InputColumns("tweet"))[2] == {"text": "c"}
    assert fields(path, InputColumns("tweet"))[0] == {"text": None}


@pytest.mark.parametrize("name", ["a.txt", "a.tsv"])
def test_a_table_without_a_header_is_read_by_the_numbers_of_training(corpus, name):
    trained = Reading("regression", (), {"text": "3", "text_b": "2"})
    path = corpus("0.5\tone two\tthree\n1\tfour\tfive six\n", name)
    assert fields(path, model=trained) == [
        {"text": "three", "text_b": "one two"}, {"text": "five six", "text_b": "four"},
    ]  # fmt: skip


def test_a_model_for_single_texts_reads_no_pair(corpus):
    path = corpus("question\tsentence\tn\nwho\tthe cat\t1\n", "a.tsv")
    known = Reading("classification")
    assert fields(path, model=known) == [{"text": "who", "text_b": "the cat"}]
    single = Reading("classification", (), {"text": "review"})
    assert fields(path, model=single) == [{"text": "who"}]
    two = corpus("a b\tc\n", "b.tsv")
    assert fields(two, model=known, format="tsv") == [{"text": "a b", "text_b": "c"}]
    with pytest.raises(DataError, match=r"no column with a known name(.|\n)*'1', '2'"):
        fields(two)


def test_a_header_without_a_known_name_is_named_by_following_the_advice(corpus):
    path = corpus("tweet,when\none two,now\nthree,then\n", "a.csv")
    with pytest.raises(DataError, match=r"or with a name if the first row is a header$"):
        fields(path, model=Reading("classification"))
    named = Reading("classification", (), {"text": "tweet"})
    assert [row["text"] for row in fields(path, model=named)] == ["one two", "three"]


CONLL = "The\tO\ncat\tB-X\n\nA\tO\ndog\tB-X\n"
TAGGER = Reading("tagging", ("O", "B-X"), {"text": "tokens"})


@pytest.mark.parametrize("name", ["a.txt", "a.conll", "a"])
def test_a_tagger_reads_sentences_of_words_without_their_tags(corpus, name):
    path = corpus(CONLL, name)
    rows = list(read_inputs(path, model=TAGGER).rows)
    assert [row.read for row in rows] == [{"words": ["The", "cat"]}, {"words": ["A", "dog"]}]
    assert rows[1].values == {"words": ["A", "dog"], "tags": ["O", "B-X"]}
    assert rows[1].place == f"{path}:4"


@pytest.mark.parametrize("format", ["auto", "conll"])
def test_a_tagger_reads_sentences_from_standard_input(monkeypatch, format):
    monkeypatch.setattr("sys.stdin", io.StringIO(CONLL))
    assert len(fields("-", model=TAGGER, format=format)) == 2


def test_a_tagger_reads_words_without_tags_and_lines_and_tables(corpus):
    words = corpus("The\ncat\n\nA\n", "a.txt")
    given = list(read_inputs(words, "conll", model=TAGGER).rows)
    assert [row.values for row in given] == [{"words": ["The", "cat"]}, {"words": ["A"]}]
    lines = corpus("the cat sees O\nthe dog\n", "b.txt")
    assert fields(lines, model=TAGGER)[0] == {"text": "the cat sees O"}
    table = corpus('[{"tokens": ["the", "cat"], "id": 1}]', "c.json")
    assert fields(table, model=TAGGER) == [{"words": ["the", "cat"]}]
    with pytest.raises(DataError, match="no tagger"):
        fields(words, format="conll")


def test_lines_that_cannot_be_decoded_or_are_endless_are_errors(corpus, monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 10)
    path = corpus(b"good\n\xb0\xa1 film\n" + b"a" * 3_000_000 + b"\nlast one\n", "a.txt")
    assert read(path) == [
        ({"text": "good"}, ""),
        ({"line": "\ufffd\ufffd film"}, f"{path}:2: byte 0xb0 is not UTF-8"),
        ({"line": "a" * 11}, f"{path}:3: a line of more than 10 bytes"),
        ({"text": "last one"}, ""),
    ]


def test_how_much_was_read_is_known(corpus):
    for name in ("a.txt", "a.jsonl"):
        inputs = read_inputs(corpus('{"text": "a"}\n' * 20_000, name))
        shares = [inputs.fraction() for _ in inputs.rows]
        assert 0 < shares[0] < 0.9
        assert sorted(shares) == shares
        assert inputs.fraction() == 1.0


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.json", "a.parquet"])
def test_a_missing_file_is_refused_before_any_input_is_asked_for(name):
    with pytest.raises(DataError, match=name):
        read_inputs(f"nowhere/{name}")


def test_texts_pairs_and_dicts_are_inputs():
    assert as_input("a") == Input({"text": "a"})
    assert as_input(("a", "b")) == Input({"sentence1": "a", "sentence2": "b"})
    assert as_input({"question": "q", "context": "c"}).values == {"question": "q", "context": "c"}
    values = ({"text": 5}, {"sentence1": "a"}, {"question": "q", "sentence": "s"}, {"line": "x"})
    assert [main_text(each) for each in values] == ["5", "a", "q", ""]
    assert main_text({"Text": "a"}) == "a"
    assert main_text({"words": ["a", "b"]}) == "a b"
