import gzip
import json
import lzma

import pyarrow
import pyarrow.parquet
import pytest
import tensorflow_datasets as tfds

from bert_jax.data.cleaning import Findings
from bert_jax.data.sources import ReadOptions, Source, find_sources, group_parts, read_texts
from bert_jax.errors import DataError


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
def test_a_missing_column_is_refused_with_the_nearest_name(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_text('{"texts": "one"}\n')
    else:
        pyarrow.parquet.write_table(pyarrow.table({"texts": ["one"]}), path)
    with pytest.raises(DataError, match=r"no column 'text'(.|\n)*pass --text-column texts"):
        read(str(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gz", b"plain text", r"a\.gz cannot be read: (.|\n)*a gzip file"),
        ("a.gz", gzip.compress(b"text " * 1000)[:-20], r"a\.gz cannot be read"),
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


def test_folders_globs_and_files_in_a_fixed_order(corpus, tmp_path):
    for name in ("b.txt", "a/wiki_00", "a/x.jsonl.gz", "c.parquet", "skipped.png", ".hidden"):
        corpus("text", name)
    findings = Findings()
    found = find_sources([str(tmp_path)], ReadOptions(), findings)
    names = [source.name.removeprefix(f"{tmp_path}/") for source in found]
    assert names == ["a/wiki_00", "a/x.jsonl.gz", "b.txt", "c.parquet"]
    assert sum(findings.counts.values()) == 2
    both = find_sources([f"{tmp_path}/*.txt", f"{tmp_path}/skipped.png"], ReadOptions(), findings)
    assert [source.name[-5:] for source in both] == ["b.txt", "d.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("corpus.tx", r"corpus\.tx' does not exist(.|\n)*did you mean .*corpus\.txt"),
        ("no/such/file", r"does not exist(.|\n)*check the path"),
        ("*.nothing", r"matches no file"),
        ("empty", r"holds no text"),
    ],
)
def test_names_that_stand_for_nothing_are_refused(corpus, tmp_path, name, message):
    corpus("text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message) as caught:
        find_sources([str(tmp_path / name)], ReadOptions(), Findings())
    assert str(caught.value).count("\n") == 2


def test_parts_are_consecutive_and_of_about_one_size():
    sources = [Source(str(i), size) for i, size in enumerate([5, 5, 5, 20, 1, 1])]
    parts = group_parts(sources, part_bytes=10)
    assert [[s.name for s in part] for part in parts] == [["0", "1"], ["2", "3"], ["4", "5"]]
    assert len(group_parts(sources)) == 1


class TinyWiki(tfds.core.GeneratorBasedBuilder):
    """Two articles."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {"title": tfds.features.Text(), "text": tfds.features.Text()}
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"title": "가", "text": "첫 문장.\n\n둘째 문장."}
        yield 1, {"title": "b", "text": "Another article."}


@pytest.fixture
def tfds_folder(tmp_path) -> str:
    builder = TinyWiki(data_dir=str(tmp_path / "tfds"), file_format="array_record")
    builder.download_and_prepare()
    return str(tmp_path / "tfds")


# TFDS 4.9 reads its metadata through a protobuf call that protobuf 7 deprecates
@pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")
def test_a_tfds_data_set_is_read_without_tensorflow(tfds_folder):
    options = ReadOptions(tfds_data_dir=tfds_folder)
    for name in ("tfds:tiny_wiki", "tfds:tiny_wiki:test"):
        (source,) = find_sources([name], options, Findings())
        texts = [text.text for text in read_texts(source, options, Findings())]
        assert sorted(texts) == ["Another article.", "첫 문장.\n둘째 문장."]


@pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("tfds:tiny_wiki:dev", "text", "has no split 'dev'"),
        ("tfds:tiny_wiki", "txt", "no column 'txt'(.|\n)*pass --text-column text"),
        ("tfds:no_such_data_set", "text", "cannot be prepared"),
    ],
)
def test_a_wrong_tfds_name_is_refused(tfds_folder, name, column, message):
    options = ReadOptions(column, tfds_data_dir=tfds_folder)
    with pytest.raises(DataError, match=message):
        find_sources([name], options, Findings())
