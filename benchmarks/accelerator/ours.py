"""Our side of the race: the step of `pretrain.py` on one device, fed as `fit` feeds it."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bert_jax.config import PretrainConfig, read_json
from bert_jax.corpus.phases import open_rows
from bert_jax.corpus.prepared import PreparedData
from bert_jax.nn.execution import device_platform
from bert_jax.tasks.accumulation import decide_accumulation
from bert_jax.tasks.pretraining_batches import training_batches
from bert_jax.tasks.pretraining_programs import (
    build_programs,
    choose_pretraining_execution,
    phase_programs,
)
from bert_jax.training.ahead import compile_ahead, does_not_fit
from bert_jax.training.feeding import MAX_IN_FLIGHT, feed, look_ahead
from bert_jax.training.machine import machine_at_hand
from bert_jax.training.numerics import set_numerics
from bert_jax.training.parallel import DataParallel

KEPT_BATCHES = 8


class StepWork(NamedTuple):
    """Work of a step, from its first batches."""

    tokens: float
    """Tokens that are not padding."""
    full: float
    """Their share of all tokens."""
    attended: float
    """Tokens that a token attends to, on average."""
    predicted: float
    """Share of the tokens that are predicted."""


class Pretraining:
    """A pretraining run without its loop: one device, its compiled step and its batches.

    Args:
        config: the run, with one phase.
    """

    def __init__(self, config: PretrainConfig):
        set_numerics(config.dtype, config.matmul_precision, config.deterministic)
        data = PreparedData(config.data)
        self.config, rows, _ = open_rows(config, data)
        nsp = data.nsp and self.config.nsp is None
        self.parallel = DataParallel(num_devices=1)
        self.execution = choose_pretraining_execution(self.config, self.parallel)
        max_sequences = {t: x.row_format.max_sequences for t, x in rows.items()}
        programs = build_programs(self.config, data.tokenizer, nsp, self.parallel, max_sequences)
        folder = Path(self.config.runs_dir) / self.config.name
        self.config, _ = decide_accumulation(self.config, programs, folder)
        training = programs.make_training(self.config)
        ((training_step, _),) = phase_programs(self.config, programs, training)
        self.compilation = compile_ahead(training_step, machine_at_hand())
        if not self.compilation.fits:
            raise does_not_fit(self.compilation, training_step.remedy)
        self.state = training.init_state(programs.init_key, programs.dropout_key)
        self.prepare = jax.jit(programs.objective.prepare)
        batches = training_batches(self.config, rows, 0, (0, 1))
        self.first_batches = list(itertools.islice(batches, KEPT_BATCHES))
        self.batches = feed(itertools.chain(self.first_batches, batches), self.parallel)

    def masked_batches(self) -> list[dict[str, np.ndarray]]:
        """Return the first batches as the loss takes them, masks included."""
        return [jax.device_get(self.prepare(batch)) for batch in self.first_batches]

    def run(self, num_steps: int) -> float:
        """Take steps, and wait for the last one; return its loss."""
        results = map(self._step, itertools.islice(self.batches, num_steps))
        metrics: Any = {}
        for metrics in look_ahead(results, MAX_IN_FLIGHT):
            jax.block_until_ready(metrics)
        return float(self.parallel.get(metrics)["loss"][0])

    def _step(self, batch: Any) -> Any:
        assert self.compilation.executable is not None
        self.state, metrics = self.compilation.executable(self.state, batch)
        return metrics


def measure_work(batches: list[dict[str, np.ndarray]]) -> StepWork:
    """Measure the work of a step on masked batches."""
    lengths = np.stack([batch["lengths"].sum(axis=-1) for batch in batches]).astype(float)
    tokens = lengths.sum()
    return StepWork(
        tokens=tokens / len(batches),
        full=tokens / sum(batch["tokens"].size for batch in batches),
        attended=(lengths**2).sum() / tokens,
        predicted=sum(batch["weights"].sum() for batch in batches) / tokens,
    )


def peak_bytes() -> int | None:
    """Return the most bytes that this process has had in use on the first device.

    None: the device does not report it, as CPUs.
    """
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def make_ours(
    config: PretrainConfig, rows_file: Path | None
) -> tuple[dict[str, Any], Callable[[int], float]]:
    """Build our side of the race.

    Args:
        config: the run.
        rows_file: file to write for PyTorch's side: parameters, and the first batches, masked.
    """
    run = Pretraining(config)
    masked = run.masked_batches()
    if rows_file:
        write_rows(rows_file, run.state.params, masked)
    about = {
        "platform": device_platform(),
        "device": jax.devices()[0].device_kind,
        "about": f"jax {jax.__version__}, {run.execution.attention} attention, "
        f"{run.config.num_microbatches} accumulation steps",
        "work": measure_work(masked)._asdict(),
        "compile_seconds": run.compilation.seconds,
        "bytes_said": run.compilation.memory,
    }

    def run_steps(num_steps: int) -> float:
        loss = run.run(num_steps)
        about.setdefault("first_loss", loss)
        about["peak_bytes"] = peak_bytes()
        return loss

    return about, run_steps


def write_rows(path: Path, params: Any, batches: list[dict[str, np.ndarray]]) -> None:
    """Write parameters by path, such as "params/mlm/bias", and batches, such as "0/tokens"."""
    leaves = jax.tree_util.tree_leaves_with_path({"params": jax.device_get(params)})
    arrays = {jax.tree_util.keystr(p, simple=True, separator="/"): x for p, x in leaves}
    for number, batch in enumerate(batches):
        arrays |= {f"{number}/{name}": values for name, values in batch.items()}
    np.savez(path, allow_pickle=False, **arrays)


if __name__ == "__main__":
    from race import run_worker

    config_file = Path(sys.argv[1])
    settings: PretrainConfig = read_json(PretrainConfig, config_file)
    run_worker(lambda config: make_ours(config, config_file.with_suffix(".npz")), settings)
