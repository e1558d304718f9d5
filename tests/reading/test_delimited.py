import io

import pytest

from bert_jax.errors import DataError
from bert_jax.reading import delimited
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.delimited import delimited_values


def read(content: str | bytes, name: str = "a.csv", column: str = "text"):
    findings = Findings()
    data = content.encode() if isinstance(content, str) else content
    return list(delimited_values(io.BytesIO(data), name, column, findings)), findings


def test_csv_has_quotes_and_rows_of_several_lines():
    rows, findings = read('id,text\r\n1,"one, ""1"""\r\n2,"two\nlines"\r\n\r\n3,three\r\n')
    assert rows == [("a.csv:2", 'one, "1"'), ("a.csv:3", "two\nlines"), ("a.csv:6", "three")]
    assert not findings.counts


def test_tsv_has_no_quotes():
    rows, findings = read('\ufefftext\tid\n"one\t1\ntwo"\t2\n', "a.TSV.gz")
    assert rows == [("a.TSV.gz:2", '"one'), ("a.TSV.gz:3", 'two"')]
    assert not findings.counts


@pytest.mark.parametrize(
    ("name", "delimiter", "word"),
    [("a.csv", ";", "semicolon"), ("a.csv", "\t", "tab"), ("a.tsv", ",", "comma"),
     ("a.csv", "|", "bar")],
)  # fmt: skip
def test_another_delimiter_is_detected_and_reported(name, delimiter, word):
    rows, findings = read(f"id{delimiter}text\n1{delimiter}one, two\n".replace(", ", " "), name)
    assert rows == [(f"{name}:2", "one two")]
    assert findings.counts == {f"table with {word} as the delimiter (read so)": 1}


def test_a_single_column_is_a_table_too():
    assert read("text\none; 1\n")[0] == [("a.csv:2", "one; 1")]


def test_without_a_header_the_column_is_a_number():
    assert read("7,one\n8,two\n", column="2")[0] == [("a.csv:1", "one"), ("a.csv:2", "two")]


@pytest.mark.parametrize("column", ["text", "0", "3"])
def test_a_missing_column_is_refused_by_the_names_that_are_there(column):
    message = rf"a.csv:1: no column '{column}'(.|\n)*one of 'id', 'body'"
    with pytest.raises(DataError, match=message):
        read("id,body\n1,one\n", column=column)


def test_rows_that_cannot_be_read_are_counted():
    rows, findings = read('id,text\n1,one,1\n2\n3,"a"b\n4,four\n')
    assert rows == [("a.csv:5", "four")]
    assert findings.counts == {
        "row with another number of fields than the first (skipped)": 2,
        "row with a quote that is not doubled (skipped)": 1,
    }
    assert findings.examples["row with a quote that is not doubled (skipped)"] == ["a.csv:4"]


def test_a_quote_that_is_never_closed_is_refused_in_bounded_memory(monkeypatch):
    with pytest.raises(
        DataError, match=r"a\.csv:3: a quote is opened in this row and never closed"
    ):
        read('id,text\n1,one\n2,"two\n3,three\n')
    monkeypatch.setattr(delimited, "MAX_ROW_BYTES", 100)
    lines = iter([b"id,text\n", b'1,"\n', *([b'","\n'] * 100)])  # each quote opens a new cell
    taken = []

    class Endless(io.RawIOBase):
        def readline(self, size=-1):
            taken.append(1)
            return next(lines)

    with pytest.raises(DataError, match=r"a\.csv:2: a quote is opened"):
        list(delimited_values(Endless(), "a.csv", "text", Findings()))  # type: ignore[arg-type]
    assert len(taken) < 40


def test_an_empty_table_has_no_rows():
    assert read("")[0] == []
