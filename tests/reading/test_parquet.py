import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest

from bert_jax.errors import DataError
from bert_jax.reading import parquet
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.parquet import parquet_values


def read(path, column="text") -> tuple[list, Findings]:
    findings = Findings()
    return [value for _, value in parquet_values(str(path), column, findings)], findings


def write(tmp_path, array, **options):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": array}), path, **options)
    return path


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (["one", None, "two\n"], ["one", None, "two\n"]),
        (pyarrow.array(["one", None], pyarrow.large_string()), ["one", None]),
        (pyarrow.array([b"one \xff", None]), ["one \ufffd", None]),
        (pyarrow.array(["one", None, "one"]).dictionary_encode(), ["one", None, "one"]),
        ([["one", "two"], None, []], [["one", "two"], None, []]),
        (pyarrow.array([], pyarrow.string()), []),
    ],
    ids=["strings", "large strings", "bytes", "dictionary", "lists", "no rows"],
)
def test_every_kind_of_text_column_is_read(tmp_path, array, expected):
    assert read(write(tmp_path, array))[0] == expected


def test_a_column_in_a_struct_is_named_with_a_dot(tmp_path):
    path = tmp_path / "a.parquet"
    rows = [{"text": "one", "tags": ["x"]}, {"text": None, "tags": None}, None]
    table = {"meta": rows, "a.b": ["dotted", "", ""]}
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    assert read(path, "meta.text")[0] == ["one", None, None]
    assert read(path, "meta.tags")[0] == [["x"], None, None]
    assert read(path, "a.b")[0] == ["dotted", "", ""]
    with pytest.raises(DataError, match=r"one of 'meta.text', 'meta.tags', 'a.b'(.|\n)*meta.text$"):
        read(path, "text")


def test_a_column_of_numbers_is_refused(tmp_path):
    with pytest.raises(DataError, match="column 'text' holds no text, but INT64"):
        read(write(tmp_path, [1, 2]))


def test_values_beyond_the_limit_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "MAX_RECORD_BYTES", 10)
    values, findings = read(write(tmp_path, ["x" * 11, "x" * 10]))
    assert values == ["x" * 10]
    assert list(findings.counts.values()) == [1]
    values, findings = read(write(tmp_path, [["x" * 6, "x" * 6], ["x"], ["x" * 11]]))
    assert values == [["x"]]
    assert findings.examples.popitem()[1] == [f"{tmp_path}/a.parquet:1", f"{tmp_path}/a.parquet:3"]


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_few_bytes_that_hold_far_too_much_text_are_refused(tmp_path, monkeypatch, use_dictionary):
    monkeypatch.setattr(parquet, "MAX_CHUNK_BYTES", 1 << 20)
    text = pyarrow.array(["a " * 5_000])
    array = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 200, pyarrow.int32()), text)
    if not use_dictionary:
        array = array.cast(pyarrow.string())
    path = write(tmp_path, array, compression="zstd", use_dictionary=use_dictionary)
    with pytest.raises(DataError, match=r"a column of [\d,]+ bytes holds 2,0\d+,\d+ bytes of"):
        read(path)


def test_long_texts_are_read_a_few_at_a_time(tmp_path, monkeypatch):
    batches = []
    monkeypatch.setattr(parquet, "BATCH_BYTES", 100_000)
    original = parquet._inner
    monkeypatch.setattr(
        parquet, "_inner", lambda batch, name: batches.append(len(batch)) or original(batch, name)
    )
    texts = ["long " * 5_000, "short"] * 100
    assert read(write(tmp_path, texts))[0] == texts
    assert max(batches) == 100_000 // 25_000


MEASURE = r"""
import re, resource, sys
from bert_jax.reading.cleaning import Findings
from bert_jax.reading import parquet
parquet.MAX_RATIO = 10**9
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
print(sum(len(value) for _, value in parquet.parquet_values(sys.argv[1], "text", Findings())))
print(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.heavy
def test_what_repeats_is_in_memory_a_few_times_only(tmp_path):
    text = pyarrow.array(["a " * 5_000_000])
    array = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 256, pyarrow.int32()), text)
    path = write(tmp_path, array, compression="zstd", store_schema=False)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True
    )
    size, peak = map(int, done.stdout.split())
    assert size == 2_560_000_000
    assert peak < 600_000  # kB
