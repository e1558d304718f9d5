"""What is published to an object store, in which order, and by whom."""

import pytest

from bert_jax.errors import ConfigError, DataError
from bert_jax.remote import writing
from bert_jax.remote.addresses import WRITTEN, address, as_path
from bert_jax.remote.reading import fetch_step
from bert_jax.remote.writing import claim, publish
from tests.remote.small_store import write_run


def names(store, root):
    return sorted(name.removeprefix(f"{root}/") for name in store.find(root))


def test_a_run_is_published_with_its_manifests_last_and_without_what_is_unfinished(
    store, monkeypatch
):
    run = as_path("memory://bucket/runs/x", WRITTEN)
    write_run(run, 4, 8)
    (run / "checkpoints" / "12.saving" / "d").mkdir(parents=True)
    for name in ("checkpoints/12.saving/d/e", "a.partial", "LOCK", "checkpoints/12.manifest.tmp"):
        (run / name).write_text("")
    order = []
    put, pipe = store.put, store.pipe
    monkeypatch.setattr(
        type(store), "put", lambda self, a, b, **x: (order.extend(b), put(a, b, **x))
    )
    monkeypatch.setattr(type(store), "pipe", lambda self, batch: (order.extend(batch), pipe(batch)))
    publish(run)
    assert names(store, "/bucket/runs/x") == [
        "checkpoints/4.manifest.json", "checkpoints/4/d", "checkpoints/8.manifest.json",
        "checkpoints/8/d", "metrics.jsonl",
    ]  # fmt: skip
    assert all(name.endswith("manifest.json") for name in order[3:])
    assert len(order) == 5
    publish(run)
    assert len(order) == 5  # nothing has changed
    with (run / "metrics.jsonl").open("a") as file:
        file.write("{}\n")
    publish(run)
    assert order[5:] == ["/bucket/runs/x/metrics.jsonl"]


def test_steps_that_are_removed_are_removed_from_the_store(store):
    run = as_path("memory://bucket/runs/x", WRITTEN)
    write_run(run, 4, 8)
    (run / "LOCK").write_text("this machine")
    claim(run)
    publish(run)
    (run / "checkpoints" / "4.manifest.json").unlink()
    publish(run)
    assert names(store, "/bucket/runs/x") == [
        "LOCK", "checkpoints/8.manifest.json", "checkpoints/8/d", "metrics.jsonl",
    ]  # fmt: skip


def test_without_a_claim_no_step_of_another_machine_is_removed(store):
    run = as_path("memory://bucket/runs/x", WRITTEN)
    write_run(run, 4, 8)
    publish(run)
    (run / "checkpoints" / "4.manifest.json").unlink()
    (run / "LOCK").write_text("")  # as it is once the run has ended
    publish(run)
    assert "checkpoints/4.manifest.json" in names(store, "/bucket/runs/x")


def test_a_link_to_nothing_is_left_out(store):
    run = as_path("memory://bucket/runs/x", WRITTEN)
    write_run(run, 4)
    (run / "debug.log").symlink_to(run / "gone")
    publish(run)
    assert "metrics.jsonl" in names(store, "/bucket/runs/x")


def test_of_two_machines_only_the_one_that_claimed_last_publishes(store, tmp_path, monkeypatch):
    def begin(machine):
        monkeypatch.setenv("BERT_JAX_CACHE", str(tmp_path / machine))
        run = as_path("memory://bucket/runs/x", WRITTEN)
        run.mkdir(parents=True, exist_ok=True)
        (run / "LOCK").write_text(machine)
        return run

    first = begin("first")
    claim(first)
    publish(first)
    second = begin("second")
    claim(second)
    publish(second)
    begin("first")
    with pytest.raises(ConfigError, match="memory://bucket/runs/x is used by second"):
        publish(first)
    store.rm("/bucket/runs/x", recursive=True)
    with pytest.raises(ConfigError, match="was removed"):
        publish(first)


def test_a_mark_is_removed_before_the_files_that_it_speaks_of_change(store, monkeypatch):
    rows = as_path("memory://bucket/rows", WRITTEN)
    rows.mkdir(parents=True)
    (rows / "report.json").write_text('{"new": 1}')
    (rows / "b").write_text("")

    def fail(self, batch):
        raise RuntimeError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "pipe", fail)
        with pytest.raises(DataError, match="no space"):
            publish(rows)
    assert not store.exists("/bucket/rows/report.json")
    publish(rows)
    assert store.cat_file("/bucket/rows/report.json") == b'{"new": 1}'


def test_large_files_are_not_read_into_memory(store, monkeypatch):
    monkeypatch.setattr(writing, "BATCH_BYTES", 8)
    rows = as_path("memory://bucket/new", WRITTEN)
    rows.mkdir(parents=True)
    for name, size in {"a": 5, "b": 5, "c": 9, "d": 1}.items():
        (rows / name).write_bytes(b"x" * size)
    batches, pipe = [], store.pipe
    monkeypatch.setattr(
        type(store), "pipe", lambda self, batch: (batches.append(len(batch)), pipe(batch))
    )
    publish(rows)
    assert batches == [2, 1]
    assert names(store, "/bucket/new") == ["a", "b", "c", "d"]
    assert address(rows) == "memory://bucket/new"


@pytest.mark.parametrize(
    "content", [b"", b"\r", b"a\r", b"a\n", b"a\r\n", b"a\r\r", bytes(range(256))]
)
def test_the_emulator_stores_every_byte(bucket, content):
    run = as_path(f"{bucket}/runs/x", WRITTEN)
    write_run(run, 4)
    (run / "checkpoints" / "4" / "d").write_bytes(content)
    publish(run)
    (run / "checkpoints" / "4" / "d").unlink()
    step = fetch_step(as_path(f"{bucket}/runs/x/checkpoints/4"))
    assert (step / "d").read_bytes() == content
