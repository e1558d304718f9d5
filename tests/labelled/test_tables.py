import csv
import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from bert_jax.errors import DataError
from bert_jax.labelled import columnar
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import LABEL, TEXT, TEXT_B, choose_column, read_label, read_table


def rows(name, **options):
    rejects = Rejects()
    table = read_table(name, rejects, **options)
    return table, [tuple(record.values.values()) for record in table.records], rejects


def test_without_a_header_more_fields_may_follow_as_in_sts_b(corpus):
    table, cells, rejects = rows(corpus("a b\tc d\t5\ne\tf\t0\tsource\ng\th\n", "a.tsv"))
    assert table.columns == ("1", "2", "3")
    assert cells == [("a b", "c d", "5"), ("e", "f", "0")]
    assert [row["reason"] for row in rejects.rows] == ["2 fields, expected 3"]


def test_tsv_is_read_without_quoting_and_ragged_rows_are_rejected(corpus):
    path = corpus('text\tlabel\n"a "quote\t1\n\nonly text\nx\ty\tz\n  b\t0\n', "a.tsv")
    table, cells, rejects = rows(path)
    assert table.columns == ("text", "label")
    assert cells == [('"a "quote', "1"), ("  b", "0")]
    assert [record.place for record in table.records] == [f"{path}:2", f"{path}:6"]
    assert [row["place"] for row in rejects.rows] == [f"{path}:{line}" for line in (3, 4, 5)]
    assert rejects.summary()[1] == f"1 rejected: 1 fields, expected 2 ({path}:4)"


@pytest.mark.parametrize(
    ("name", "mark"), [("a.tsv", "\t"), ("a.csv", ","), ("one.csv", ""), ("a.jsonl", "")]
)
def test_blank_rows_are_counted_but_not_at_the_end(corpus, name, mark):
    lines = ["text" + mark + "label" * bool(mark), "a" + mark, mark, "", " ", "b" + mark]
    if name.endswith("jsonl"):
        lines = ['{"text": "0"}', '{"text": "a"}', "", "", " ", '{"text": "b"}']
    path = corpus("\n".join([*lines, "", "", ""]), name)
    _, cells, rejects = rows(path)
    assert [row[0] for row in cells][-2:] == ["a", "b"]
    assert [(row["place"], row["reason"]) for row in rejects.rows] == [
        (f"{path}:{line}", "blank row") for line in (3, 4, 5)
    ]


def test_no_row_is_lost_behind_a_stray_quote(corpus):
    lines = [f"text {i},{i % 2}" for i in range(505)]
    lines[3], lines[450] = '"stray,1', 'closes "here",0'
    path = corpus("\n".join(["text,label", *lines]), "a.csv")
    _, cells, rejects = rows(path)
    assert len(cells) + len(rejects.rows) == 505
    assert [row["place"] for row in rejects.rows] == [f"{path}:{i}" for i in range(5, 453)]
    assert rejects.rows[1]["row"] == "text 4,0"
    lines[450] = 'closes",0,1'
    path = corpus("\n".join(["text,label", *lines]), "a.csv")
    _, cells, rejects = rows(path)
    assert len(cells) + len(rejects.rows) == 505
    assert rejects.summary()[0].startswith("448 rejected: 3 fields, expected 2")


def test_rows_that_a_quote_may_have_joined_are_reported(corpus):
    path = corpus('text,label\na,1\n"b,1\nc,0\nd",1\n"e\nf",0\n', "a.csv")
    table, cells, _ = rows(path)
    assert cells == [("a", "1"), ("b,1\nc,0\nd", "1"), ("e\nf", "0")]
    assert table.description == (
        f"CSV with a header; 2 rows of several lines, the longest {path}:3 with 3"
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_do_not_matter(corpus, ending, bom):
    content = bom + ending.join(["document\tlabel", "a\t1", "b\t", ""])
    assert rows(corpus(content, "a.txt"))[1] == [("a", "1"), ("b", "")]


def test_csv_has_quotes_and_fields_over_several_lines(corpus):
    path = corpus('review,score\n"a, ""b""\nc",1\nd,2\n"x"y,3\n', "a.csv")
    table, cells, rejects = rows(path)
    assert cells == [('a, "b"\nc', "1"), ("d", "2")]
    assert table.records[1].place == f"{path}:4"
    assert [row["place"] for row in rejects.rows] == [f"{path}:5"]


def test_a_quote_that_is_never_closed_is_refused_at_its_row(corpus):
    path = corpus('text,label\na,1\n"b,2\nc,3\n', "a.csv")
    with pytest.raises(DataError, match=r"a\.csv:3: a quote is opened(.|\n)*never closed"):
        rows(path)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.tsv", "text,label\na,1\n", "CSV (by its content; it is named .tsv) with a header"),
        ("a.csv", "text\tlabel\na, b\t1\n", "TSV (by its content; it is named .csv) with a header"),
        ("a.tsv", "a\t1\n", "TSV without a header"),
    ],
)
def test_the_content_decides_where_the_name_is_wrong(corpus, name, content, kind):
    assert rows(corpus(content, name))[0].description == kind


def test_columns_without_a_header_are_numbered(corpus):
    table, cells, _ = rows(corpus("good film\t1\nbad\t0\n", "a.tsv"))
    assert table.columns == ("1", "2")
    assert len(cells) == 2


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("question\t1\nreview\t0\n", False),  # next to a number
        ("review\tnoun\ngo\tverb\nfilm\tnoun\n", False),  # a class that comes again
        ("target\tgood\nsea\tgood\n", False),
        ("question\tWhat is it that was asked ?\nanswer\tWhat is said .\n", False),
        ("id\ttext\n1\ta dog\n", True),
        ("\ttext\n1\ta dog\n", True),
        ("text\na dog\n", True),
        ("Review\tstars\na dog\t5\n", True),
        ("target\tlabel\tof 2019\na\tb\t1\n", True),
    ],
)
def test_a_first_row_is_no_header_where_it_looks_like_the_others(corpus, content, header):
    table, cells, _ = rows(corpus(content, "a.tsv"))
    assert table.description.endswith("with a header" if header else "without a header")
    assert len(cells) == content.count("\n") - header


def test_a_column_that_is_asked_for_by_number_makes_no_header(corpus):
    path = corpus('"3","Wall St. Bears","Short sellers"\n"1","Peace","Talks"\n', "a.csv")
    table, cells, _ = rows(path, names=("2", "3", "1"))
    assert table.columns == ("1", "2", "3")
    assert cells[0] == ("3", "Wall St. Bears", "Short sellers")
    assert rows(corpus("en,de\nyes,ja\n", "b.csv"), names=("en", "de"))[0].columns == ("en", "de")


def test_tags_in_parquet_have_the_names_that_hugging_face_wrote(tmp_path):
    tags = {"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "Sequence"}
    words = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}
    features = {"tokens": words, "ner_tags": tags, "id": {"dtype": "string", "_type": "Value"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = {"tokens": [["a", "b"], ["c"], ["d"], ["e"]], "id": ["0", "1", "2", "3"]}
    columns["ner_tags"] = [[1, 0], [-1], None, [2]]
    name = str(tmp_path / "a.parquet")
    table = pyarrow.table(columns).replace_schema_metadata(about)
    pyarrow.parquet.write_table(table, name)
    cells = [record.values["ner_tags"] for record in rows(name)[0].records]
    assert cells == [["B-PER", "O"], None, None, None]
    table = table.replace_schema_metadata({"huggingface": "{"})
    pyarrow.parquet.write_table(table, name)
    assert rows(name)[0].records[0].values["ner_tags"] == [1, 0]


def test_jsonl_parquet_and_packed_files(corpus, tmp_path):
    lines = [json.dumps({"text": "a", "label": 1}), "{", "[1]", "", json.dumps({"text": "b"})]
    path = corpus(gzip.compress("\n".join(lines).encode()), "a.jsonl.gz")
    table, _, rejects = rows(path)
    assert [record.values for record in table.records] == [{"text": "a", "label": 1}, {"text": "b"}]
    reasons = [row["reason"] for row in rejects.rows]
    assert reasons == ["not valid JSON", "not a JSON object", "blank row"]
    name = str(tmp_path / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", None], "label": [1, 2]}), name)
    assert rows(name)[1] == [("a", 1), (None, 2)]


@pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")
def test_a_tfds_data_set_is_a_table(tfds_folder):
    table, cells, _ = rows("tfds:tiny_wiki", tfds_data_dir=tfds_folder, split="test")
    assert set(table.columns) == {"title", "text"}
    assert len(cells) == 2
    with pytest.raises(DataError, match="has no split 'dev'"):
        rows("tfds:tiny_wiki:dev", tfds_data_dir=tfds_folder)


def test_columns_are_found_by_their_names(corpus):
    table, _, _ = rows(corpus("index\tSentence1\tsentence2\tgold_label\n0\ta\tb\tc\n", "a.tsv"))
    assert choose_column(table, None, TEXT, "text") == "Sentence1"
    assert choose_column(table, None, TEXT_B, "text b") == "sentence2"
    assert choose_column(table, None, LABEL, "label") == "gold_label"
    assert choose_column(table, "index", TEXT, "text") == "index"
    assert choose_column(table, None, ("nothing",), "x", required=False) is None
    with pytest.raises(DataError, match=r"no column 'gold'(.|\n)*one of 'index'"):
        choose_column(table, "gold", LABEL, "label")
    with pytest.raises(DataError, match=r"the first row is(.|\n)*--columns\.text-b"):
        choose_column(table, None, ("nothing",), "text b")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "", "has no rows"),
        ("a.tsv", "text\tlabel\n", "has no rows"),
        ("a.tsv", "text\ttext\na\tb\n", r"a\.tsv:1: the header names a column twice"),
        ("a.tsv", b"text\tlabel\n\xb0\xa1\t1\n", r"a\.tsv:2: byte 0xb0 is not UTF-8"),
        ("a.tsv", "text\tlabel\n".encode("utf-16"), "is UTF-16"),
        ("a.tsv.gz", "text\tlabel\n", r"a\.tsv\.gz cannot be read"),
        ("a.parquet", "version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        ("a.parquet", "text", r"a\.parquet cannot be read"),
    ],
)
def test_what_is_no_table_is_refused_in_three_lines(corpus, name, content, message):
    with pytest.raises(DataError, match=message) as caught:
        rows(corpus(content, name))
    assert str(caught.value).count("\n") == 2
    with pytest.raises(DataError, match="does not exist"):
        rows("nothing.tsv")


def test_a_semicolon_separates_fields_too(corpus):
    table, cells, rejects = rows(corpus("Text;Label\ngood, film;1\n'bad';0\n", "a.csv"))
    assert table.description == "CSV with ';' between fields, with a header"
    assert cells == [("good, film", "1"), ("'bad'", "0")]
    assert not rejects.rows


def test_a_header_may_be_told_from_numbers_and_its_columns_have_numbers_too(corpus):
    path = corpus("Mood\tID\tPhrase\n1\t7\ta b\n0\t8\tc\n", "a.tsv")
    table, cells, _ = rows(path, names=("3", "1"))
    assert cells == [("1", "7", "a b"), ("0", "8", "c")]
    assert choose_column(table, "3", TEXT, "text") == "Phrase"
    assert choose_column(table, "mood", LABEL, "label") == "Mood"
    with pytest.raises(DataError, match=r"no column '4'(.|\n)*one of 'Mood', 'ID', 'Phrase'"):
        choose_column(table, "4", TEXT, "text")
    with pytest.raises(DataError, match=r"--columns\.text with one of 'Mood', 'ID', 'Phrase'"):
        choose_column(table, None, TEXT, "text")


def test_rows_in_another_encoding_are_rejected_and_refused_if_they_are_many(corpus):
    lines = ["text\tlabel", *(f"text {i}\t{i % 2}" for i in range(20))]
    data = "\n".join(lines).encode()
    path = corpus(data + b"\n\xb0\xa1\t1\n", "a.tsv")
    _, cells, rejects = rows(path)
    assert len(cells) == 20
    assert rejects.summary() == [f"1 rejected: byte 0xb0 is not UTF-8 ({path}:22)"]
    path = corpus(data + b"\n\xb0\xa1\t1" * 3, "b.tsv")
    with pytest.raises(DataError, match=r"b\.tsv:22: byte 0xb0(.|\n)*3 rows(.|\n)*iconv -f CP949"):
        rows(path)
    path = corpus(gzip.compress(data + b"\n\xb0\xa1\t1" * 3), "b.tsv.gz")
    with pytest.raises(DataError, match=r"convert it: zcat .*b\.tsv\.gz \| iconv -f CP949"):
        rows(path)


def test_rows_that_cannot_be_read_are_shown_if_none_can(corpus):
    with pytest.raises(DataError, match=r"no rows that can be read: 2 rejected: not valid JSON"):
        rows(corpus("{\n{\n", "a.jsonl"))


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a", "label": 1}, 5, {"text": "b"}]',
        '{"data": [{"text": "a", "label": 1}, 5, {"text": "b"}], "version": 1}',
        '{"text": "a", "label": 1}\n5\n{"text": "b"}\n',
    ],
)
def test_json_is_a_list_or_lines(corpus, content):
    path = corpus(content, "a.json")
    table, _, rejects = rows(path)
    assert [record.values for record in table.records] == [{"text": "a", "label": 1}, {"text": "b"}]
    assert [record.place for record in table.records] == [f"{path}:1", f"{path}:3"]
    assert rejects.summary() == [f"1 rejected: not a JSON object ({path}:2)"]
    assert table.columns == ("text", "label")


def test_json_of_another_form_is_refused(corpus):
    with pytest.raises(DataError, match="holds a JSON int"):
        rows(corpus("5", "a.json"))
    assert rows(corpus('{\n"text": "a"\n}', "b.json"))[1] == [("a",)]


def test_a_small_parquet_file_with_huge_rows_needs_little_memory(tmp_path, monkeypatch):
    """One long value that a dictionary repeats: the file stays small."""
    monkeypatch.setattr(columnar, "MAX_LINE_BYTES", 1000)
    words = pyarrow.array(["short", "x" * 2000])
    repeated = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 1, 0] * 20, "int32"), words)
    name = str(tmp_path / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"text": repeated}), name)
    _, cells, rejects = rows(name)
    assert cells == [("short",)] * 40
    assert len(rejects.rows) == 20
    assert rejects.rows[0]["place"] == f"{name}:2"
    assert "a row of more than 1,000 characters" in rejects.rows[0]["reason"]


def test_a_field_without_an_end_is_rejected(corpus):
    path = corpus("text,label\n" + '"open\n' + "a,1\n" * 600 + 'b,"2"\n', "a.csv")
    limit = csv.field_size_limit(1000)
    try:
        _, cells, rejects = rows(path)
    finally:
        csv.field_size_limit(limit)
    assert cells[-1] == ("b", "2")
    assert "or an open quote" in rejects.rows[0]["reason"]
    assert len(cells) + len(rejects.rows) == 602


@pytest.mark.parametrize(
    ("value", "label"), [(" a ", "a"), (1, "1"), (0.5, "0.5"), (True, "True"), ("0", "0")]
)
def test_a_label_is_a_text(value, label):
    assert read_label(value) == label


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "label missing"), (" ", "label empty"), (["a"], "label is a list"), ({}, "is a dict")],
)
def test_what_is_no_label_has_a_reason(value, reason):
    with pytest.raises(ValueError, match=reason):
        read_label(value)


def test_a_field_of_100000_characters_is_read(corpus):
    for name, mark in (("a.tsv", "\t"), ("a.csv", ",")):
        _, cells, _ = rows(corpus(f"text{mark}label\n{'a' * 300_000}{mark}1\n", name))
        assert len(cells[0][0]) == 300_000


def test_rejects_are_written_one_a_line(tmp_path):
    rejects = Rejects()
    for number in range(5):
        rejects.add(f"a.tsv:{number}", "why", ["x", "한"])
    rejects.write(tmp_path / "rejects.jsonl")
    lines = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert json.loads(lines[4]) == {"place": "a.tsv:4", "reason": "why", "row": '["x", "한"]'}
    assert rejects.summary() == ["5 rejected: why (a.tsv:0, a.tsv:1, a.tsv:2, …)"]
