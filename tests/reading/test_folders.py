import os

import pytest

from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.sources import ReadOptions, find_sources


def find(*names, options=None) -> tuple[list[str], Findings]:
    findings = Findings()
    sources = find_sources([str(name) for name in names], options or ReadOptions(), findings)
    return [os.path.basename(source.name) for source in sources], findings


@pytest.fixture
def mixed(corpus, tmp_path):
    for name in ("a.txt", "B.TXT", "c.md", "table.csv", "wiki_00", "sub/d.txt"):
        corpus("some text\n", f"mixed/{name}")
    corpus(b"\x89PNG....", "mixed/picture.png")
    corpus(b"\x89PNG....", "mixed/picture")
    corpus(bytes(range(256)) * 9, "mixed/noise")
    os.symlink("nowhere", tmp_path / "mixed" / "dangling.txt")
    os.symlink(tmp_path, tmp_path / "mixed" / "linked")
    os.mkfifo(tmp_path / "mixed" / "pipe.txt")
    return tmp_path / "mixed"


SKIPPED = {
    "file of another type (skipped; name it to read it)": 3,
    "a PNG picture (skipped)": 1,
    "a file of bytes that are text in no known encoding (skipped)": 1,
    "link that leads nowhere (skipped)": 1,
    "neither a file nor a folder (skipped)": 1,
}


def test_a_folder_counts_whatever_it_leaves_out(mixed):
    names, findings = find(mixed)
    assert names == ["B.TXT", "a.txt", "d.txt", "wiki_00"]
    assert findings.counts == {**SKIPPED, "link to a folder (not followed)": 1}


def test_a_glob_reads_what_a_folder_reads(mixed):
    names, findings = find(mixed / "*")
    assert names == ["B.TXT", "a.txt", "wiki_00"]
    folders = "folder matched by a glob (skipped; name it to read it)"
    assert findings.counts == {**SKIPPED, folders: 2}
    names, findings = find(mixed / "**" / "*.txt")
    assert names == ["a.txt", "d.txt"]
    assert findings.examples["link to a folder (not followed)"] == [f"{mixed}/linked"]


def test_a_glob_with_an_ending_reads_files_with_it(mixed):
    assert find(mixed / "*.md")[0] == ["c.md"]
    assert find(mixed / "*.csv")[0] == ["table.csv"]
    with pytest.raises(DataError, match="matches no text; 1 x a PNG picture"):
        find(mixed / "*.png")


def test_a_file_that_is_named_is_read_or_refused(mixed):
    assert find(mixed / "c.md")[0] == ["c.md"]
    for name, message in (
        ("picture.png", "is a PNG picture"),
        ("noise", "text in no known encoding"),
        ("dangling.txt", "is a link that leads nowhere: nowhere"),
        ("pipe.txt", "no regular file"),
        ("a.txt/b", "does not exist"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            find(mixed / name)
        assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize("pattern", ["", "**/*.txt", "*/*.txt"])
def test_a_folder_that_cannot_be_read_is_refused(mixed, monkeypatch, pattern):
    """Root may read everything, so that the refusal is made up here."""
    original = os.scandir

    def scandir(path="."):
        if os.fspath(path).rstrip("/").endswith("sub"):
            raise PermissionError(13, "Permission denied", path)
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"sub/? cannot be read: Permission denied") as caught:
        find(mixed / pattern)
    assert str(caught.value).count("\n") == 2


def test_without_a_text_what_is_left_out_is_named(corpus, tmp_path):
    corpus(b"%PDF-1.7", "papers/a.txt")
    corpus("a,b\n", "papers/b.csv")
    for name in ("papers", "papers/*"):
        with pytest.raises(DataError, match=r"1 x file of another type.*b\.csv") as caught:
            find(tmp_path / name)
        assert "a PDF document" in str(caught.value)


def test_a_file_that_git_lfs_did_not_download_is_refused_wherever_it_is(corpus, tmp_path):
    corpus("plain text\n", "texts/a.txt")
    corpus("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "texts/b.parquet")
    for name in ("texts", "texts/*", "texts/b.parquet"):
        with pytest.raises(DataError, match=r"b\.parquet is a Git LFS pointer(.|\n)*git lfs pull"):
            find(tmp_path / name)


def test_text_in_another_encoding_is_refused_wherever_it_is(corpus, tmp_path):
    text = "오늘은 날씨가 매우 좋습니다.\n" * 20
    corpus("plain text\n", "texts/a.txt")
    corpus(text.encode("cp949"), "texts/b.txt")
    for name in ("texts", "texts/*", "texts/b.txt"):
        with pytest.raises(DataError, match=r"b.txt: 100% of the lines(.|\n)*--encoding cp949"):
            find(tmp_path / name)
    assert find(tmp_path / "texts", options=ReadOptions(encoding="cp949"))[0] == ["a.txt", "b.txt"]
