"""Stage of determinism: two runs of the same steps, each in its own process, end in the same bits.

python -m benchmarks.accelerator.same_bits CONFIG.json STEPS    # one of them
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accelerator.table import Row
from bert_jax.config import PretrainConfig, read_json, to_json
from bert_jax.filesystem import write_text


def compare_runs(stage: str, config: PretrainConfig, steps: int, folder: Path) -> Iterator[Row]:
    """Run twice with `deterministic`; yield the speed, and whether the final states are equal."""
    config_file = folder / "same-bits.json"
    write_text(config_file, to_json(dataclasses.replace(config, deterministic=True)))
    command = [sys.executable, "-m", "benchmarks.accelerator.same_bits", str(config_file)]
    # Both runs compile: a program from a cache would hide that compilation is not deterministic.
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    found: list[dict[str, Any]] = []
    for number in (1, 2):
        done = subprocess.run(
            [*command, str(steps)], env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
        note = f"{steps} steps with --deterministic, in a process of its own"
        yield Row(stage, f"run {number}: tokens", found[-1]["tokens_per_second"], "/s", note)
    hashes = [run["hash"] for run in found]
    note = " and ".join(digest[:12] for digest in hashes) + ": SHA-256 of parameters and optimizer"
    same = hashes[0] == hashes[1]
    yield Row(stage, "same bits", "yes" if same else "no", "", note, same)


def run_once(config: PretrainConfig, steps: int) -> dict[str, Any]:
    """Train; return the hash of parameters and optimizer state, and the speed."""
    from benchmarks.accelerator.ours import Pretraining, measure_work
    from bert_jax.training.checkpoint_arrays import hash_arrays

    run = Pretraining(config)
    work = measure_work(run.masked_batches())
    run.run(1)
    start = time.perf_counter()
    run.run(steps - 1)
    seconds = (time.perf_counter() - start) / (steps - 1)
    digest = hash_arrays((run.state.params, run.state.opt_state))
    return {"hash": digest, "tokens_per_second": work.tokens / seconds}


if __name__ == "__main__":
    print(json.dumps(run_once(read_json(PretrainConfig, Path(sys.argv[1])), int(sys.argv[2]))))
