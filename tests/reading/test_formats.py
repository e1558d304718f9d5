import json
import lzma
import subprocess
import sys

import pytest

from bert_jax.errors import DataError
from bert_jax.reading.formats import NotTextError, check_format, file_kind, plain_ending


@pytest.mark.parametrize(
    ("name", "ending", "kind"),
    [
        ("a/b.txt", ".txt", "text"),
        ("A.TXT.GZ", ".txt", "text"),
        ("a.d/wiki_00", "", "text"),
        ("a.d/.hidden", "", "text"),
        ("a.gz", "", "text"),
        ("a.JSONL.xz", ".jsonl", "jsonl"),
        ("a.json", ".json", "jsonl"),
        ("a.Csv", ".csv", "table"),
        ("a.tsv.gz", ".tsv", "table"),
        ("a.Parquet", ".parquet", "parquet"),
    ],
)
def test_the_ending_tells_the_kind(name, ending, kind):
    assert (plain_ending(name), file_kind(name)) == (ending, kind)


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("a.txt", b"\x89PNG\r\n\x1a\n", "is a PNG picture"),
        ("a.txt", b"PK\x03\x04....", "ZIP archive"),
        ("a.bz2", b"BZh91AY", "bzip2 data(.|\n)*bzcat a.bz2 > new.txt"),
        ("a.txt", b"\x1f\x8b\x08\x00", "gzip data(.|\n)*rename it to end in .gz"),
        ("a.txt", lzma.compress(b"text"), "xz data"),
        ("a.csv", b"%PDF-1.7", "PDF document"),
        ("a b.tar", b"a.txt".ljust(257, b"\0") + b"ustar", "tar archive(.|\n)*tar xf 'a b.tar'"),
        ("a.parquet.gz", b"\x1f\x8b", "gzip data"),
        ("a.txt", b"PAR1....", "is a Parquet file"),
    ],
)
def test_what_is_no_text_is_refused_by_what_it_is(name, head, message):
    with pytest.raises(NotTextError, match=message) as caught:
        check_format(name, head)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("a.json", b'[\n {"text": "one"},\n', "is a JSON array"),
        ("a.json", b'["one", "two"]\n', "is a JSON array"),
        ("a.jsonl", b'[\n {"text": "one"},\n', "is a JSON array"),
        ("a.txt", b'[{"text": "one"},\n', "is a JSON array"),
        ("a.txt", b'\n{"text": "one"}\n{"text": "two"}\n{"te', "rename it to end in .jsonl"),
        ("a.json", b'{\n "text": "one"\n}\n', "not one JSON object a line"),
    ],
)
def test_json_that_is_not_lines_is_refused(name, head, message):
    with pytest.raises(DataError, match=message) as caught:
        check_format(name, head)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.json", b'{"text": "one"}\n{"text": "two"}\n'),
        ("a.jsonl", b'["a list"]\n{"text": "one"}\n'),
        ("a.txt", b"[1] The first note.\n[2] The second.\n"),
        ("a.txt", b"{one}\n{two}\n"),
        ("a.txt", b'{"text": "one"}\nand text\n'),
        ("a.parquet", b"PAR1...."),
        ("a.txt", b""),
    ],
)
def test_what_is_as_its_name_says_is_accepted(name, head):
    check_format(name, head)


def test_the_conversion_of_an_array_works_as_it_is_written(tmp_path):
    records = [{"text": "one\n두"}, {"text": "two"}]
    path = tmp_path / "an array.json"
    path.write_text(json.dumps(records))
    with pytest.raises(DataError) as caught:
        check_format(str(path), path.read_bytes())
    command = str(caught.value).partition("convert it: python")[2]
    subprocess.run(f"{sys.executable}{command}", shell=True, cwd=tmp_path, check=True)
    lines = (tmp_path / "new.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == records
