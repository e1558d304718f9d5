"""pretrain.py in two processes that share an object store, but no disk: whole runs, a kill."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import bert_jax
import convert
from bert_jax.remote.addresses import as_path
from bert_jax.remote.reading import fetch
from bert_jax.training.checkpoint_arrays import hash_arrays, load_params
from bert_jax.training.runlog import read_metrics
from tests.test_object_stores import forget_copies, stored, upload
from tests.training import children

TRAIN = """
import sys
from dataclasses import replace
from pathlib import Path
import pretrain
from tests.nano import make_nano
rows, runs, name = sys.argv[1:]
config = make_nano(rows, Path("unused"))
sys.exit(pretrain.main(replace(config, runs_dir=runs, name=name, distributed=True)))
"""

SECONDS = 300  # of a run, most of which is compilation


def start(name: str, bucket: str, machines: Path) -> list[subprocess.Popen]:
    """Start a run in two processes of four devices, each on a machine of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    pair = []
    for number in range(2):
        variables = {
            "BERT_JAX_CACHE": str(machines / str(number)),
            "JAX_NUM_CPU_DEVICES": "4",
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(number),
        }
        command = [sys.executable, "-c", TRAIN, f"{bucket}/rows", f"{bucket}/runs", name]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        env = {**os.environ, **variables}
        pair.append(subprocess.Popen(command, env=env, cwd=children.ROOT, **pipes))
    return pair


def run(name: str, bucket: str, machines: Path) -> str:
    """Run both processes to their end; return what the first one printed."""
    ends = children.finish_pair(start(name, bucket, machines), SECONDS)
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert "done" not in ends[1][1]  # process 0 speaks for both
    return ends[0][1]


def records(run: Path) -> list[tuple[str, dict[str, float]]]:
    """Return the split and the metrics of each of a run's records, without those of time."""
    without = ("split", "time", "tokens_per_second", "steps_per_second", "mfu", "eta_seconds")
    return [
        (record["split"], {name: x for name, x in record.items() if name not in without})
        for record in read_metrics(run / "metrics.jsonl")
    ]


def kill_while_saving(pair: list[subprocess.Popen], step: int, monkeypatch) -> None:
    """Kill both processes when the store has got some files of a step, but not its manifest."""
    from gcp_storage_emulator.storage import Storage

    received, create_file = [], Storage.create_file

    def kill_in_the_middle(self, bucket_name, name, *rest):
        if f"checkpoints/{step}/" in name:
            received.append(name)
            if len(received) == 4:
                for process in pair:
                    os.kill(process.pid, signal.SIGKILL)
                    process.wait()
        return create_file(self, bucket_name, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "create_file", kill_in_the_middle)
        assert [code for code, _, _ in children.finish_pair(pair, SECONDS)] == [-signal.SIGKILL] * 2


@pytest.mark.heavy
def test_two_processes_without_a_common_disk_train_as_one(
    bucket, prepared, nano_run, tmp_path, monkeypatch
):
    upload(prepared, f"{bucket}/rows")
    assert "from step 0" in run("whole", bucket, tmp_path / "a")
    again = run("whole", bucket, tmp_path / "a")
    assert "from step 10" in again
    assert "done: 10 steps" in again
    assert "step 1/10" not in again

    # --- The run is that of one process on a local disk -------------------------------------------
    whole, one = fetch(as_path(f"{bucket}/runs/whole")), records(nano_run)
    assert {p.name for p in whole.glob("checkpoints/*.json")} == {
        p.name for p in nano_run.glob("checkpoints/*.json")
    }
    for (split, ours), (other, theirs) in zip(records(whole), one, strict=True):
        assert split == other
        assert ours == pytest.approx(theirs, rel=1e-5)
    convert.main(convert.ConvertConfig(f"{bucket}/runs/whole", f"{bucket}/model"))
    exported, expected = bert_jax.load(f"{bucket}/model"), bert_jax.load(nano_run)
    for a, b in zip(*map(jax.tree.leaves, (exported.params, expected.params)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)

    # --- Killed in the middle of a save, it goes on, on other machines, bit for bit ---------------
    kill_while_saving(start("killed", bucket, tmp_path / "b"), 8, monkeypatch)
    assert "killed/checkpoints/4.manifest.json" in stored(f"{bucket}/runs")
    assert "killed/checkpoints/8.manifest.json" not in stored(f"{bucket}/runs")
    assert "from step 4" in run("killed", bucket, tmp_path / "c")
    forget_copies(tmp_path, monkeypatch)
    whole, killed = (fetch(as_path(f"{bucket}/runs/{name}")) for name in ("whole", "killed"))
    assert records(killed) == records(whole)
    assert hash_arrays(load_params(killed)[0]) == hash_arrays(load_params(whole)[0])
