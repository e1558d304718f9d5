import gzip
import json
import lzma
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from bert_jax.errors import DataError
from bert_jax.reading import cleaning, streams
from bert_jax.reading.cleaning import MAX_LINE_CHARS, Findings
from bert_jax.reading.readers import read_texts
from bert_jax.reading.sources import ReadOptions, Source, find_sources


def read(name: str, **options) -> tuple[list[str], Findings]:
    findings = Findings()
    texts = read_texts(Source(name, 0), ReadOptions(**options), findings)
    return [text.text for text in texts], findings


def test_a_blank_line_ends_a_document(corpus):
    texts, findings = read(corpus("\n\na one\na two\n\n \t\n\nb one\n\n"))
    assert texts == ["a one\na two", "b one"]
    assert not findings.counts


@pytest.mark.parametrize(("name", "open_it"), [("a.gz", gzip.open), ("a.xz", lzma.open)])
def test_compressed_text_reads_the_same(tmp_path, name, open_it):
    with open_it(tmp_path / name, "wb") as file:
        file.write("a\n\nb 한\n".encode())
    assert read(str(tmp_path / name))[0] == ["a", "b 한"]


def test_a_long_document_comes_in_pieces_that_say_so(corpus):
    path = corpus("aaaa\nbbbb\ncccc\n\nd\n")
    texts = list(read_texts(Source(path, 0), ReadOptions(piece_chars=8), Findings()))
    assert [tuple(text) for text in texts] == [
        ("aaaa\nbbbb", False),
        ("cccc", True),
        ("d", False),
    ]


def test_every_line_may_be_a_document(corpus, monkeypatch):
    path = corpus("\ufeffone\r\n\n \t\ntwo \xff\nthree")
    texts, findings = read(path, documents="lines")
    assert texts == ["one", "two \xff", "three"]
    assert not findings.counts
    monkeypatch.setattr(cleaning, "MAX_LINE_CHARS", 8)
    monkeypatch.setattr(streams, "MAX_RECORD_BYTES", 20)
    name = corpus("a long line of text\n" + "x" * 30 + "\nnext")
    options = ReadOptions(documents="lines", piece_chars=8)
    findings = Findings()
    pieces = [tuple(text) for text in read_texts(Source(name, 0), options, findings)]
    assert pieces == [("a long\nline of", False), ("text", True), ("next", False)]
    assert findings.examples["line longer than 0 MB (skipped)"] == [f"{name}:2"]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.txt.gz"])
def test_another_encoding_gives_the_same_texts(corpus, name):
    content = {"a.jsonl": '{"text": "한국어"}\n', "a.csv": "text\n한국어\n"}.get(name, "한국어\n")
    for encoding in ("cp949", "utf-16", "utf-16-be", "utf-8"):
        data = content.encode(encoding)
        path = corpus(gzip.compress(data) if name.endswith("gz") else data, name)
        texts, findings = read(path, encoding=encoding)
        assert texts == ["한국어"]
        assert not findings.counts


def test_tables_lists_and_nested_columns_are_records(corpus):
    table = corpus('id,body\n1,"one\n\ntwo"\n2,\n', "a.csv")
    texts, findings = read(table, text_column="body")
    assert texts == ["one\ntwo"]
    assert findings.counts == {"record with empty text (skipped)": 1}
    records = [{"meta": {"text": ["one", "two"]}}, {"meta": {"text": 3}}, {"meta": None}]
    lines = corpus("\n".join(map(json.dumps, records)), "a.jsonl")
    texts, findings = read(lines, text_column="meta.text")
    assert texts == ["one\ntwo"]
    assert findings.counts == {
        "record with int in place of text in 'meta.text' (skipped)": 1,
        "record without text in 'meta.text' (skipped)": 1,
    }
    with pytest.raises(DataError, match=r"one of 'meta.text'(.|\n)*--text-column meta.text"):
        read(lines)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_jsonl_is_a_record_a_document_and_bad_lines_are_counted(tmp_path, ending):
    rows = [
        json.dumps({"text": "one\n\ntwo\u2028three"}),
        "",
        "{not json",
        json.dumps(["a list"]),
        json.dumps({"text": None}),
        json.dumps({"text": " \n"}),
        json.dumps({"other": 1}),
        '{"text": "lone \\ud800 surrogate"}',
        "[" * 100_000,
    ]
    path = tmp_path / f"a.jsonl{ending}"
    data = "\n".join(rows).encode()
    path.write_bytes(gzip.compress(data) if ending else data)
    texts, findings = read(str(path))
    assert texts == ["one\ntwo three", "lone \ufffd surrogate"]
    assert findings.counts == {
        "line with U+2028 or U+2029 (made a space)": 1,
        "line that is no JSON (skipped)": 2,
        "line that is no JSON object (skipped)": 1,
        "record without text in 'text' (skipped)": 2,
        "record with empty text (skipped)": 1,
        "line with lone surrogates (replaced)": 1,
    }
    assert findings.examples["line that is no JSON (skipped)"] == [f"{path}:3", f"{path}:9"]


def test_parquet_reads_its_text_column(tmp_path):
    path = str(tmp_path / "a.parquet")
    table = pyarrow.table({"id": [1, 2, 3], "body": ["one", None, "three\nfour"]})
    pyarrow.parquet.write_table(table, path)
    texts, findings = read(path, text_column="body")
    assert texts == ["one", "three\nfour"]
    assert findings.counts == {"record without text in 'body' (skipped)": 1}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_record_on_one_long_line_is_cut_and_counted(tmp_path, kind):
    path, text = tmp_path / f"a.{kind}", "word " * 500_000
    if kind == "jsonl":
        path.write_text(json.dumps({"text": text}) + "\n")
    else:
        pyarrow.parquet.write_table(pyarrow.table({"text": [text]}), path)
    texts, findings = read(str(path))
    assert max(len(line) for text in texts for line in text.split("\n")) <= MAX_LINE_CHARS
    assert " ".join(texts).split() == text.split()
    assert findings.counts == {f"line longer than {MAX_LINE_CHARS} characters (cuts)": 2}
    assert findings.examples.popitem()[1] == [f"{path}:1"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_missing_column_is_refused_with_the_nearest_name(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_text('{"texts": "one"}\n')
    else:
        pyarrow.parquet.write_table(pyarrow.table({"texts": ["one"]}), path)
    with pytest.raises(DataError, match=r"no column 'text'(.|\n)*pass --text-column texts"):
        read(str(path))


CORRUPT = gzip.compress(b"text ", mtime=0)[:10] + b"\xff" * 20  # what deflate cannot hold


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gz", b"plain text", r"a\.gz cannot be read: (.|\n)*a gzip file"),
        ("a.gz", gzip.compress(b"text " * 1000, mtime=0)[:-20], r"a\.gz cannot be read"),
        ("a.gz", CORRUPT, r"a\.gz cannot be read"),
        ("a.jsonl.gz", CORRUPT, r"a\.jsonl\.gz cannot be read"),
        ("a.xz", b"plain text", r"a\.xz cannot be read: (.|\n)*an xz file"),
        ("a.jsonl.gz", b"plain text", r"a\.jsonl\.gz cannot be read"),
        ("a.parquet", b"plain text", r"a\.parquet cannot be read"),
        ("a.txt", "text".encode("utf-16"), r"a\.txt is UTF-16(.|\n)*iconv"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(corpus, name, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(corpus(content, name))
    assert str(caught.value).count("\n") == 2


# TFDS 4.9 reads its metadata through a protobuf call that protobuf 7 deprecates
@pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")
def test_a_tfds_data_set_is_read_without_tensorflow(tfds_folder):
    options = ReadOptions(tfds_data_dir=tfds_folder)
    for name in ("tfds:tiny_wiki", "tfds:tiny_wiki:test"):
        (source,) = find_sources([name], options, Findings())
        texts = [text.text for text in read_texts(source, options, Findings())]
        assert sorted(texts) == ["Another article.", "첫 문장.\n둘째 문장."]


@pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")
def test_a_damaged_tfds_data_set_is_refused(tfds_folder):
    options = ReadOptions(tfds_data_dir=tfds_folder)
    (source,) = find_sources(["tfds:tiny_wiki"], options, Findings())
    (shard,) = Path(tfds_folder).rglob("*train.array_record*")
    shard.write_bytes(shard.read_bytes()[:20] + bytes(100_000))
    with pytest.raises(DataError, match="tfds:tiny_wiki:train:1 cannot be read") as caught:
        list(read_texts(source, options, Findings()))
    assert str(caught.value).count("\n") == 2
