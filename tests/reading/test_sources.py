import gzip
from pathlib import Path

import pytest

from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.sources import ReadOptions, Source, find_sources, group_parts


def test_folders_globs_and_files_in_a_fixed_order(corpus, tmp_path):
    corpus(gzip.compress(b"{}"), "a/x.jsonl.gz")
    for name in ("b.txt", "a/wiki_00", "c.parquet", "skipped.png", ".hidden"):
        corpus("text", name)
    findings = Findings()
    sources = find_sources([str(tmp_path)], ReadOptions(), findings)
    names = [source.name.removeprefix(f"{tmp_path}/") for source in sources]
    assert names == ["a/wiki_00", "a/x.jsonl.gz", "b.txt", "c.parquet"]
    assert sum(findings.counts.values()) == 2
    both = find_sources([f"{tmp_path}/*.txt", f"{tmp_path}/skipped.png"], ReadOptions(), findings)
    assert [source.name[-5:] for source in both] == ["b.txt", "d.png"]


@pytest.mark.parametrize("output", ["prepared", "."])
def test_what_prepare_itself_writes_is_never_read(corpus, tmp_path, output):
    written = ("tokenizer/vocab.txt", "T128/shard", "beam/notes.txt", "report.json")
    names = [str(Path(output) / name) for name in written]
    for name in ("b.txt", "prepared/mine.txt", "Texts/c.txt", *names):
        corpus("text", name)
    findings = Findings()
    for inputs in ([str(tmp_path)], [f"{tmp_path}/**/*.txt"]):
        sources = find_sources(inputs, ReadOptions(), findings, tmp_path / output)
        relative = {source.name.removeprefix(f"{tmp_path}/") for source in sources}
        assert relative == {"b.txt", "prepared/mine.txt", "Texts/c.txt"}
    assert not findings.counts


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
