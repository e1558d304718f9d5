import itertools
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from bert_jax.config import PrepareConfig
from bert_jax.corpus import loader
from bert_jax.corpus.loader import load_batch, pretraining_batches, pretraining_eval_batches
from bert_jax.corpus.permutation import permute
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import ConfigError, DataError
from prepare import main as prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory, text) -> Path:
    root = tmp_path_factory.mktemp("loader")
    (root / "text.txt").write_text(text(150))
    config = PrepareConfig(
        inputs=(str(root / "text.txt"),),
        output=str(root / "prepared"),
        lengths=(32, 64),
        vocab_size=200,
        eval_share=0.2,
        bundle_mb=0.01,
    )
    prepare(config)
    return root / "prepared"


@pytest.fixture(scope="module")
def rows(folder):
    return PreparedData(folder).rows(32, "train")


def test_a_batch_has_the_keys_and_shapes_of_the_contract(rows):
    batch = next(iter(pretraining_batches(rows, 8, seed=0)))
    assert {name: values.shape for name, values in batch.items()} == {
        "tokens": (8, 32),
        "lengths": (8, 2, 2),
        "is_random_next": (8, 2),
        "row": (8,),
        "epoch": (8,),
    }
    assert {values.dtype for values in batch.values()} == {np.dtype(np.int32)}


# TFDS 4.9 reads its metadata through a protobuf call that protobuf 7 deprecates
@pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")
def test_rows_are_what_tfds_reads(folder, rows):
    source = tfds.builder_from_directory(str(folder / "T32")).as_data_source(split="train")
    assert len(source) == len(rows)
    ours = rows[np.arange(len(rows))]
    for index, theirs in enumerate(source.__getitems__(list(range(len(rows))))):
        for name, values in theirs.items():
            np.testing.assert_array_equal(values, ours[name][index])


def test_mapped_rows_are_the_same(folder, rows):
    mapped = PreparedData(folder).rows(32, "train")
    numbers = permute(np.arange(len(rows)), len(rows), 0, 0)
    half = mapped._mapped.is_mapped.size // 2
    for shard, sha256 in enumerate(mapped._hashes[:half]):  # the others by their reader
        count = int(mapped._starts[shard + 1] - mapped._starts[shard])
        mapped._mapped.map(shard, mapped._files[shard], count, sha256)
    expected = rows[numbers]
    for name, values in mapped[numbers].items():
        np.testing.assert_array_equal(values, expected[name])
    mapped.map_shards()
    assert mapped._mapped.is_mapped.all()
    for name, values in mapped[numbers].items():
        np.testing.assert_array_equal(values, expected[name])


def test_reading_batches_maps_the_shards(folder):
    rows = PreparedData(folder).rows(32, "train")
    next(iter(pretraining_batches(rows, 8, seed=0)))
    rows._mapping.join(60)
    assert rows._mapped.is_mapped.all()


def test_more_shards_than_may_be_open_at_a_time_read_the_same(folder, rows, monkeypatch):
    monkeypatch.setattr(loader, "MAX_OPEN_SHARDS", 1)
    numbers = permute(np.arange(len(rows)), len(rows), 0, 0)
    few = PreparedData(folder).rows(32, "train")
    for name, values in few[numbers].items():
        np.testing.assert_array_equal(values, rows[numbers][name])
    assert few._reader.cache_info().misses > few._reader.cache_info().maxsize == 1


def test_as_many_shards_may_be_open_as_the_system_allows(folder):
    """Rows are shuffled over all shards: reopening one costs as much as a hundred reads."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = loader.MAX_OPEN_SHARDS
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard // 4)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        rows = PreparedData(folder).rows(32, "train")
        assert rows._reader.cache_info().maxsize == allowed
        assert 4 * allowed <= resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_epoch_shows_every_row_once_and_the_next_in_another_order(rows):
    size = len(rows)
    steps = -(-2 * size // 8)
    batches = list(pretraining_batches(rows, 8, seed=3, num_steps=steps))
    numbers = np.concatenate([batch["row"] for batch in batches])[: 2 * size]
    epochs = np.concatenate([batch["epoch"] for batch in batches])[: 2 * size]
    np.testing.assert_array_equal(epochs, np.repeat([0, 1], size))
    assert sorted(numbers[:size]) == sorted(numbers[size:]) == list(range(size))
    assert (numbers[:size] != numbers[size:]).any()
    for batch in batches:
        whole = rows[batch["row"]]
        np.testing.assert_array_equal(batch["tokens"], whole["tokens"])


def test_starting_at_any_step_goes_on_as_if_never_stopped(rows):
    whole = list(pretraining_batches(rows, 8, seed=1, num_steps=30))
    for start in (0, 1, 13, 29):
        rest = list(pretraining_batches(rows, 8, seed=1, start_step=start, num_steps=30 - start))
        assert len(rest) == 30 - start
        for ours, theirs in zip(rest, whole[start:], strict=True):
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name])


def test_rows_that_a_phase_before_has_taken_are_skipped(rows):
    """Phases of other batch sizes continue in the same order, and in the right epoch."""
    size = len(rows)
    first = list(pretraining_batches(rows, 8, seed=1, num_steps=10))
    later = list(pretraining_batches(rows, 16, seed=1, num_steps=-(-size // 8), skip=80))
    resumed = next(iter(pretraining_batches(rows, 16, seed=1, start_step=3, num_steps=1, skip=80)))
    whole = list(pretraining_batches(rows, 8, seed=1, num_steps=10 + 2 * len(later)))
    for name in ("row", "epoch", "tokens"):
        ours = np.concatenate([batch[name] for batch in first + later])
        np.testing.assert_array_equal(ours, np.concatenate([batch[name] for batch in whole]))
        np.testing.assert_array_equal(resumed[name], later[3][name])
    assert whole[-1]["epoch"][-1] == 2


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_same_global_batch(rows, count):
    for step in (0, 5, 40):
        whole = load_batch(rows, 8, 1, step)
        parts = [load_batch(rows, 8, 1, step, (index, count)) for index in range(count)]
        for name, values in whole.items():
            np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), values)


def test_a_batch_that_cannot_be_shared_is_refused(rows):
    with pytest.raises(ConfigError, match="batch_size 8 over 3 processes"):
        pretraining_batches(rows, 8, seed=0, process=(0, 3))


@pytest.mark.parametrize(("max_rows", "count"), [(None, 1), (21, 1), (21, 2), (5, 4), (10**6, 2)])
def test_evaluation_sees_rows_of_the_whole_split_and_fills_up_with_zeros(rows, max_rows, count):
    total = min(len(rows), max_rows or len(rows))
    shares = [list(pretraining_eval_batches(rows, 8, max_rows, (i, count))) for i in range(count)]
    numbers = [
        number
        for step_batches in zip(*shares, strict=True)
        for batch in step_batches
        for number in batch["row"].tolist()
    ]
    assert len(numbers) == -(-total // 8) * 8
    selected, filler = numbers[:total], numbers[total:]
    assert set(filler) <= {-1}
    gaps = np.diff([*selected, len(rows)])
    assert selected[0] == 0
    assert gaps.min() >= len(rows) // total
    assert gaps.max() <= -(-len(rows) // total)
    for batch in itertools.chain.from_iterable(shares):
        filler = batch["row"] < 0
        assert not batch["lengths"][filler].any()
        assert batch["lengths"][~filler].any(axis=(1, 2)).all()
        assert batch["tokens"].dtype == batch["epoch"].dtype == np.int32


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("damage", ["vanished", "truncated", "bit flipped"])
def test_a_damaged_shard_is_named_with_its_record(folder, tmp_path, damage, mapped):
    copy = tmp_path / "prepared"
    shutil.copytree(folder, copy)
    data = PreparedData(copy)
    rows = data.rows(32, "train")
    shard = sorted((copy / "T32").glob("*train*"))[1]
    content = bytearray(shard.read_bytes())
    if damage == "vanished":
        shard.unlink()
    elif damage == "truncated":
        shard.write_bytes(content[: len(content) // 2])
    else:
        template = rows.row_format.template
        content[content.find(template[:4]) + len(template) // 2] ^= 16
        shard.write_bytes(content)
    if mapped:
        rows.map_shards()
    with pytest.raises(DataError, match=rf"{shard.name}, record \d+: cannot be read"):
        rows[np.arange(len(rows))]
    with pytest.raises(DataError, match=shard.name):
        data.check()
