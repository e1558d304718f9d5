"""Copies of what is in an object store: fetched once, and again where something has changed."""

import os

import pytest

from bert_jax.errors import DataError
from bert_jax.progress import Progress
from bert_jax.remote.addresses import WRITTEN, as_path
from bert_jax.remote.reading import fetch, fetch_again, open_output
from bert_jax.remote.writing import claim, publish
from tests.remote.small_store import write_run


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def count_fetches(store, monkeypatch):
    """Return a list that grows by the names of each call that downloads."""
    fetched, get = [], store.get
    monkeypatch.setattr(
        type(store),
        "get",
        lambda self, names, *rest, **options: (fetched.extend(names), get(names, *rest, **options)),
    )
    return fetched


def test_a_local_path_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "x").write_text("x")
    for path in (tmp_path, tmp_path / "x", tmp_path / "nothing"):
        assert fetch(path) == path
        open_output(path), publish(path), claim(path)
        assert not fetch_again(path)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_folder_is_fetched_once(store, monkeypatch):
    fetched = count_fetches(store, monkeypatch)
    path = fetch(as_path("memory://bucket/rows"))
    assert (path / "report.json").read_bytes() == b"{}"
    assert (path / "T32" / "a").read_bytes() == b"rows"
    assert len(fetched) == 2
    assert fetch(path) == path
    assert len(fetched) == 2


def test_a_single_file_is_fetched(store):
    path = fetch(as_path("memory://bucket/rows/T32/a"))
    assert path.read_bytes() == b"rows"
    assert [p.name for p in path.parent.iterdir()] == ["a"]


def test_what_has_changed_in_the_store_or_the_cache_is_fetched_again(store, monkeypatch):
    path = fetch(as_path("memory://bucket/rows"))
    store.pipe_file("/bucket/rows/T32/a", b"ROWS")
    assert (fetch(path) / "T32" / "a").read_bytes() == b"ROWS"
    (path / "T32" / "a").write_bytes(b"dama")
    fetched = count_fetches(store, monkeypatch)
    assert (fetch(path) / "T32" / "a").read_bytes() == b"ROWS"
    assert fetched == ["/bucket/rows/T32/a"]


def test_what_is_gone_from_the_store_goes_from_the_cache(store):
    path = fetch(as_path("memory://bucket/rows"))
    store.rm("/bucket/rows/T32/a")
    fetch(path)
    assert [p.name for p in path.rglob("*")] == ["report.json"]


def test_a_neighbor_whose_name_begins_alike_is_not_fetched(store):
    store.pipe_file("/bucket/rows2/a", b"")
    path = fetch(as_path("memory://bucket/rows"))
    assert sorted(p.name for p in path.parent.iterdir()) == ["rows"]


def test_a_damaged_copy_is_fetched_again_whatever_its_time(store):
    path = fetch(as_path("memory://bucket/rows"))
    stat = (path / "T32" / "a").stat()
    (path / "T32" / "a").write_bytes(b"dama")
    os.utime(path / "T32" / "a", ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    assert fetch_again(path)
    assert (path / "T32" / "a").read_bytes() == b"rows"


def test_what_does_not_exist_is_refused(store):
    with pytest.raises(DataError, match="memory://bucket/nothing does not exist"):
        fetch(as_path("memory://bucket/nothing"))


def test_an_error_of_the_store_names_the_address(store, monkeypatch):
    def refuse(self, *args, **options):
        raise RuntimeError("no permission")

    monkeypatch.setattr(type(store), "find", refuse)
    with pytest.raises(DataError, match="memory://bucket/rows: no permission"):
        fetch(as_path("memory://bucket/rows"))


def test_steps_are_fetched_by_themselves_and_one_without_a_manifest_is_none(store):
    run = as_path("memory://bucket/runs/x", WRITTEN)
    write_run(run, 4)
    publish(run)
    store.pipe_file("/bucket/runs/x/checkpoints/8/d", b"cut short")
    read = fetch(as_path("memory://bucket/runs/x"))
    assert sorted(files(read)) == ["checkpoints/4.manifest.json", "metrics.jsonl"]
    assert [p.name for p in (read / "checkpoints").iterdir()] == ["4.manifest.json"]
    assert (fetch(read / "checkpoints" / "4") / "d").read_text() == "data 4"


def test_the_store_decides_what_a_run_resumes_from(store):
    run = as_path("memory://bucket/runs/x", WRITTEN)
    write_run(run, 4)
    publish(run)
    write_run(run / "other", 8)
    os.rename(run / "other" / "checkpoints" / "8", run / "checkpoints" / "8")
    (run / "checkpoints" / "8.manifest.json").write_text("killed before it was published")
    assert fetch(run) == run  # what is written is newer
    assert (run / "checkpoints" / "8").exists()
    open_output(run)
    assert [p.name for p in sorted((run / "checkpoints").iterdir())] == ["4", "4.manifest.json"]


def test_the_progress_of_a_fetch_counts_bytes(store, monkeypatch):
    store.pipe({"/bucket/rows/large": bytes(3_000_000)})
    seen = []
    monkeypatch.setattr(
        Progress, "__exit__", lambda self, *_: seen.append((self.title, self.share))
    )
    monkeypatch.setattr(Progress, "__enter__", lambda self: self)
    fetch(as_path("memory://bucket/rows"))
    assert seen == [("fetching memory://bucket/rows", 1.0)]
