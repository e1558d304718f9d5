"""The scripts with addresses at an emulator of Google Cloud Storage: killed, damaged, exported."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

import bert_jax
import convert
import copytask
import finetune
import predict
import prepare
import pretrain
import train_translator
import translate
from bert_jax.config import PrepareConfig
from bert_jax.corpus.phases import open_rows
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import DataError, UserError
from bert_jax.remote.addresses import WRITTEN, as_path
from bert_jax.remote.writing import publish
from bert_jax.training.checkpoint_arrays import hash_arrays, load_params
from bert_jax.training.runlog import read_metrics
from configs.copytask import RUNS as COPYTASKS
from configs.finetune import RUNS as FINETUNINGS
from configs.train_translator import RUNS as TRANSLATIONS
from tests.nano import make_nano
from tests.toy_corpus import write_corpus
from tests.training import children

TRAIN = """
import sys
from dataclasses import replace
from pathlib import Path
import pretrain
from tests.nano import make_nano
config = replace(make_nano(sys.argv[1], Path("unused")), runs_dir=sys.argv[2])
sys.exit(pretrain.main(config))
"""


def upload(folder: Path, address: str) -> None:
    """Store a local folder, without leaving a copy."""
    copy = as_path(address, WRITTEN)
    shutil.copytree(folder, copy)
    publish(copy)
    shutil.rmtree(copy)


def forget_copies(tmp_path, monkeypatch):
    """Go on as on another machine."""
    machines = len(list(tmp_path.glob("machine*")))
    monkeypatch.setenv("BERT_JAX_CACHE", str(tmp_path / f"machine{machines}"))
    (tmp_path / f"machine{machines}").mkdir()


def losses(run: Path) -> list[float]:
    return [x["loss"] for x in read_metrics(run / "metrics.jsonl") if x["split"] == "train"]


def stored(address: str) -> set[str]:
    store, root = fsspec.core.url_to_fs(address)
    store.invalidate_cache()
    return {name.removeprefix(f"{root}/") for name in store.find(root)}


def flip_byte(address: str) -> None:
    store, name = fsspec.core.url_to_fs(address)
    content = bytearray(store.cat_file(name))
    content[len(content) // 2] ^= 1
    store.pipe_file(name, bytes(content))


@pytest.mark.heavy
def test_a_run_killed_in_the_middle_of_a_save_resumes_on_another_machine_bit_for_bit(
    bucket, prepared, nano_run, tmp_path, monkeypatch
):
    from gcp_storage_emulator.storage import Storage

    upload(prepared, f"{bucket}/rows")
    child = children.start(TRAIN, f"{bucket}/rows", f"{bucket}/runs", devices=8)
    received, create_file = [], Storage.create_file

    def kill_in_the_middle(self, bucket_name, name, *rest):
        if "checkpoints/8/" in name:
            received.append(name)
            if len(received) == 4:
                os.kill(child.pid, signal.SIGKILL)
                child.wait()
        return create_file(self, bucket_name, name, *rest)

    monkeypatch.setattr(Storage, "create_file", kill_in_the_middle)
    assert children.finish(child)[0] == -signal.SIGKILL
    monkeypatch.setattr(Storage, "create_file", create_file)
    run = f"{bucket}/runs/nano"
    assert len([name for name in stored(run) if "checkpoints/8/" in name]) >= 4
    assert {"checkpoints/4.manifest.json", "metrics.jsonl"} <= stored(run)
    assert "checkpoints/8.manifest.json" not in stored(run)

    forget_copies(tmp_path, monkeypatch)
    config = replace(make_nano(f"{bucket}/rows", tmp_path), runs_dir=f"{bucket}/runs")
    assert pretrain.main(config) == 0
    copy = as_path(run, WRITTEN)
    assert "from step 4" in (copy / "train.log").read_text()
    assert losses(copy) == losses(nano_run)
    params, expected = load_params(copy)[0], load_params(nano_run)[0]
    assert hash_arrays(params) == hash_arrays(expected)
    steps = {name for name in stored(run) if name.endswith("manifest.json")}
    assert steps == {"checkpoints/8.manifest.json", "checkpoints/10.manifest.json"}
    assert "plots/loss.svg" in stored(run)

    forget_copies(tmp_path, monkeypatch)
    text = "a [MASK] b"
    assert bert_jax.load(run).fill_mask(text) == bert_jax.load(nano_run).fill_mask(text)


@pytest.mark.heavy
def test_a_damaged_step_in_the_store_is_set_aside_and_the_one_before_is_used(
    bucket, prepared, nano_run, tmp_path, monkeypatch, capfd
):
    run = f"{bucket}/runs/nano"
    upload(nano_run, run)
    damaged = next(n for n in stored(run) if n.startswith("checkpoints/10/ocdbt.process_0/d/"))
    flip_byte(f"{run}/{damaged}")
    bert_jax.load(run)
    assert "checkpoint 10 is bad" in capfd.readouterr().out
    forget_copies(tmp_path, monkeypatch)
    config = replace(make_nano(prepared, tmp_path), runs_dir=f"{bucket}/runs")
    assert pretrain.main(config) == 0
    copy = as_path(run, WRITTEN)
    assert "resuming from step 8: 2 steps are lost" in (copy / "train.log").read_text()
    assert hash_arrays(load_params(copy)[0]) == hash_arrays(load_params(nano_run)[0])
    assert any(name.startswith("checkpoints/10.bad-") for name in stored(run))
    assert "checkpoints/10.manifest.json" in stored(run)


def test_a_damaged_copy_of_a_step_is_fetched_again(bucket, nano_run):
    run = f"{bucket}/runs/nano"
    upload(nano_run, run)
    vectors = bert_jax.load(run).encode(["a text"])[0]
    copy = as_path(run) / "checkpoints" / "10"
    path = max(copy.rglob("*"), key=lambda path: path.stat().st_size)
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_mtime_ns, times.st_mtime_ns))
    np.testing.assert_array_equal(bert_jax.load(run).encode(["a text"])[0], vectors)


def test_a_model_is_exported_to_the_store_and_loaded_from_there(bucket, nano_run, tmp_path):
    upload(nano_run, f"{bucket}/runs/nano")
    for source in (nano_run, f"{bucket}/runs/nano"):  # the second one replaces the first
        convert.main(convert.ConvertConfig(str(source), f"{bucket}/model"))
    model = bert_jax.load(f"{bucket}/model")
    texts = ["a text"]
    np.testing.assert_array_equal(model.encode(texts)[0], bert_jax.load(nano_run).encode(texts)[0])
    with pytest.raises(UserError, match="exists and would be replaced"):
        convert.main(convert.ConvertConfig(str(nano_run), f"{bucket}/runs/nano"))
    flip_byte(f"{bucket}/model/model.safetensors")
    with pytest.raises(UserError, match="has hash"):
        bert_jax.load(f"{bucket}/model")


def test_rows_are_prepared_into_the_store_and_fetched_once(bucket, tmp_path, monkeypatch, capfd):
    text = write_corpus(tmp_path / "text.txt")
    config = PrepareConfig(
        inputs=(str(text),), output=str(tmp_path / "rows"), lengths=(32, 64), vocab_size=150,
        eval_share=0.1, workers=1,
    )  # fmt: skip
    expected = prepare.main(config)
    report = prepare.main(replace(config, output=f"{bucket}/rows"))
    assert report["fingerprint"] == expected["fingerprint"]
    assert not list((tmp_path / "cache" / "written").rglob("*.*"))
    capfd.readouterr()
    data = PreparedData(f"{bucket}/rows")
    data.check()
    rows, numbers = data.rows(32), np.arange(4)
    np.testing.assert_array_equal(
        rows[numbers]["tokens"], PreparedData(tmp_path / "rows").rows(32)[numbers]["tokens"]
    )
    assert f"fetching {bucket}/rows" in capfd.readouterr().err
    PreparedData(f"{bucket}/rows").check()
    assert "fetching" not in capfd.readouterr().err


def test_damaged_rows_are_noticed_in_the_cache_and_in_the_store(bucket, prepared):
    upload(prepared, f"{bucket}/rows")
    data = PreparedData(f"{bucket}/rows")
    path = next((data.folder / "T32").glob("*train.array_record*"))
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_mtime_ns, times.st_mtime_ns))
    with pytest.raises(DataError, match=r"has changed.*(.|\n)*re-run this command"):
        PreparedData(f"{bucket}/rows").check()
    PreparedData(f"{bucket}/rows").check()  # it was fetched again
    flip_byte(f"{bucket}/rows/T32/{path.name}")
    with pytest.raises(DataError, match="has changed"):
        PreparedData(f"{bucket}/rows").check()


def test_rows_of_any_size_are_verified_once_they_are_fetched(bucket, prepared, monkeypatch):
    monkeypatch.setattr("bert_jax.corpus.prepared.MAX_HASHED_BYTES", 1)
    upload(prepared, f"{bucket}/rows")
    report = json.loads((prepared / "report.json").read_text())
    shard = report["datasets"]["32"]["splits"]["train"]["shards"][0]["file"]
    flip_byte(f"{bucket}/rows/T32/{shard}")
    with pytest.raises(DataError, match="has changed"):
        open_rows(make_nano(f"{bucket}/rows", Path()), PreparedData(f"{bucket}/rows"))


def test_texts_and_labelled_data_are_read_from_the_store(bucket, tmp_path):
    text = write_corpus(tmp_path / "text.txt")
    fsspec.filesystem("gs").put(str(text), f"{bucket}/texts/text.txt")
    config = PrepareConfig(
        inputs=(f"{bucket}/texts",), output=str(tmp_path / "rows"), lengths=(32,), vocab_size=150,
        workers=1,
    )  # fmt: skip
    report = prepare.main(config)
    expected = prepare.main(replace(config, inputs=(str(text),)))
    assert report["fingerprint"] == expected["fingerprint"]
    assert report["inputs"] == [f"{bucket}/texts"]


BAD = "xyz://bucket/x"


@pytest.mark.parametrize(
    ("main", "config"),
    [
        (pretrain.main, replace(make_nano(Path("rows"), Path()), data=BAD)),
        (pretrain.main, replace(make_nano(Path("rows"), Path()), data=BAD, dry_run=True)),
        (pretrain.main, replace(make_nano(Path("rows"), Path()), encoder=BAD)),
        (prepare.main, PrepareConfig(inputs=("a",), output=BAD)),
        (prepare.main, PrepareConfig(inputs=(BAD,), output="rows")),
        (finetune.main, replace(FINETUNINGS["sst2"](), encoder=BAD)),
        (convert.main, convert.ConvertConfig(BAD, "model")),
        (convert.main, convert.ConvertConfig("run", BAD)),
        (predict.main, predict.PredictConfig(BAD)),
        (predict.main, predict.PredictConfig("run", answers=BAD)),
        (copytask.main, replace(next(iter(COPYTASKS.values()))(), runs_dir=BAD)),
        (train_translator.main, replace(TRANSLATIONS["dates"](), train=(BAD,))),
        (translate.main, translate.TranslateConfig(BAD)),
    ],
)
def test_an_unknown_scheme_is_refused_by_every_script(main, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"xyz://bucket/x (has an unknown scheme|is an address)"):
        main(config)
    assert not list(tmp_path.iterdir())


def test_an_unknown_scheme_of_the_runs_is_refused(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = replace(make_nano(prepared, tmp_path), runs_dir="xyz://bucket/runs")
    with pytest.raises(UserError, match="unknown scheme"):
        pretrain.main(config)
    assert not list(tmp_path.iterdir())


SAVE_TOGETHER = """
import os
os.environ["BERT_JAX_CACHE"] += f"-process{sys.argv[2]}"  # each on its own machine
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.rundir import run_folder
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
whole = NamedSharding(mesh, P())
def make(value):
    data = np.arange(32, dtype=np.float32).reshape(8, 4) * value
    return {"w": jax.make_array_from_callback((8, 4), whole, lambda i: data[i]),
            "key": jax.jit(lambda: jax.random.key(value), out_shardings=whole)()}
folder = run_folder(sys.argv[3], "x")
abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), make(0))
with Checkpoints(folder / "checkpoints", {"a": "1"}, 5) as checkpoints:
    restored = checkpoints.restore(abstract)
    if restored is None:
        checkpoints.save(10, make(2), {}, block=True)
    else:
        state, step, _ = restored
        w, key = (x.addressable_shards[-1].data for x in (state["w"], state["key"]))
        print(step, float(w.sum()), jax.random.key_data(key).tolist())
"""


@pytest.mark.heavy
def test_processes_without_a_common_disk_save_to_and_read_from_the_store(
    bucket, tmp_path, monkeypatch
):
    outputs = []
    for _ in range(2):
        forget_copies(tmp_path, monkeypatch)
        pair = children.start_pair(SAVE_TOGETHER, f"{bucket}/runs")
        for code, out, err in children.finish_pair(pair):
            assert code == 0, out + err
            outputs.append(out.splitlines()[-1:])
        assert "checkpoints/10.manifest.json" in stored(f"{bucket}/runs/x")
    assert outputs[2:] == [["10 992.0 [0, 2]"]] * 2
