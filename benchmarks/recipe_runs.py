"""Runs of the race: pretrain.py's own, in one folder from which an interrupted race goes on."""

import dataclasses
import functools
import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import jax
from jax import Array

from benchmarks.recipe_protocol import Cost, Result
from benchmarks.recipe_sides import MASK_RATE, MODERN, ORIGINAL, Entry, make_config
from benchmarks.recipe_timing import Measured, load_costs, run_quietly, step_seconds, train_records
from bert_jax.config import EncoderConfig, MaskingConfig, PretrainConfig, read_json
from bert_jax.corpus.loader import pretraining_eval_batches
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import ConfigError
from bert_jax.filesystem import read_json_object, write_text
from bert_jax.models.architectures import architecture, architecture_of
from bert_jax.models.functional import Params, build
from bert_jax.tasks.masking import MaskingRules
from bert_jax.tasks.pretraining import NSP_LABEL, make_pretraining_objective
from bert_jax.tasks.pretraining_programs import choose_pretraining_execution
from bert_jax.training.checkpoint_arrays import read_params
from bert_jax.training.checkpoint_hashes import list_steps
from bert_jax.training.fit import sum_metrics
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import Batch, Metrics, Objective, make_eval_step

MASK_KEY = 2018  # seed of the masks of every evaluation
COST_RATE = 1e-3


@dataclasses.dataclass(frozen=True)
class Arena:
    """Folder, data and budget of the race."""

    folder: Path
    """Folder of its runs and results."""
    preset: str
    """Pretraining run whose model, batch and optimizer both sides start from."""
    data: str
    """Folder of prepared data."""
    length: int
    """T, of all rows."""
    minutes: float
    """The budget."""
    eval_rows: int
    """Held-out rows of each evaluation."""
    tries: int
    """Most times that a run which the host disturbs is run."""
    blocks: str = ""
    """Pretraining run whose model the modern recipe trains; empty: the preset's."""

    def begin(self) -> None:
        """Create the folder, or check that it holds this race.

        Raises:
            ConfigError: it holds a race on other data, of another preset, length or budget.
        """
        identity = {
            "data": PreparedData(self.data).fingerprint, "preset": self.preset,
            "length": self.length, "minutes": self.minutes, "eval_rows": self.eval_rows,
        }  # fmt: skip
        if self.blocks:
            identity["blocks"] = self.blocks
        path = self.folder / "race.json"
        if not path.exists():
            write_text(path, json.dumps(identity) + "\n")
        elif (saved := read_json_object(path)) != identity:
            other = [name for name in identity if saved.get(name) != identity[name]]
            raise ConfigError(
                f"{self.folder} holds a race with another {', '.join(other)}",
                ", ".join(f"{name} = {saved.get(name)}" for name in other),
                "pass the same options to go on, or another --output",
            )

    def costs(self) -> dict[str, Cost]:
        """Return the measured costs of both recipes."""

        def make(side: str, seed: int, steps: int) -> PretrainConfig:
            return self._config(Entry(side, COST_RATE, 1, seed), steps)

        costs = load_costs(self.folder, make, (ORIGINAL, MODERN), self._run)
        for side, cost in costs.items():
            ms = 1000 * cost.step
            print(f"{side}: {cost.fixed:.1f} s to start and end a run, {ms:.1f} ms a step")
        return costs

    def run(self, entry: Entry, steps: int, cost: Cost) -> Result:
        """Return the result of a run, which is run or resumed unless it is in results.jsonl.

        Raises:
            SystemExit: a signal ended the run; the same command goes on.
        """
        path = self.folder / "results.jsonl"
        known = read_results(path)
        if entry.name in known:
            return known[entry.name]
        config = self._config(entry, steps)
        measured = self._run(config)
        losses = evaluate_run(self, self.folder / "runs" / entry.name)
        result = summarize(entry, config, measured, cost, losses)
        lines = [json.dumps(dataclasses.asdict(x)) for x in [*known.values(), result]]
        write_text(path, "\n".join(lines) + "\n")
        return result

    def _config(self, entry: Entry, steps: int) -> PretrainConfig:
        config = make_config(self.preset, self.data, self.length, entry, steps, self.blocks)
        return replace(config, name=entry.name, runs_dir=str(self.folder / "runs"))

    def _run(self, config: PretrainConfig) -> Measured:
        return run_quietly(config, self.tries)


def read_results(path: Path) -> dict[str, Result]:
    """Read the finished runs by their names."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {line["name"]: Result(**line) for line in lines}


def evaluate_run(arena: Arena, run: Path) -> dict[int, tuple[float, float]]:
    """Return the held-out MLM loss of each checkpoint, of all predictions and of [MASK] alone."""
    model = read_json(PretrainConfig, run / "config.json").model
    folder, losses = run / "checkpoints", make_losses(arena, model)
    return {step: losses(read_params(folder / str(step))) for step in list_steps(folder)}


@functools.cache
def make_losses(
    arena: Arena, model: EncoderConfig | None = None
) -> Callable[[Params], tuple[float, float]]:
    """Build the evaluation of all runs: the same rows, and the same masks of 15 %, 80/10/10.

    Args:
        arena: the race.
        model: the model of a run; None: the original's.
    """
    config = make_config(
        arena.preset, arena.data, arena.length, Entry(ORIGINAL, COST_RATE, 1, 0), 1
    )
    data = PreparedData(arena.data)
    config = replace(config, model=model or config.model)
    config = config.with_vocab_size(data.tokenizer.vocab_size)
    init, merge = build(config.model, architecture(architecture_of(config.model, "ForMaskedLM")))
    parts = jax.eval_shape(init, jax.random.key(0))
    rules = MaskingRules.of(MaskingConfig(MASK_RATE), data.tokenizer, config.model.vocab_size)
    parallel, rows = DataParallel(config.parallel), data.rows(arena.length, "eval")
    execution = choose_pretraining_execution(config, parallel)
    objective = make_pretraining_objective(
        merge, jax.random.key(MASK_KEY), rules, data.tokenizer.is_continuation, execution
    )
    step = parallel.shard(make_eval_step(with_mask_loss(objective)), donate=False)

    def losses(params: Params) -> tuple[float, float]:
        batches = pretraining_eval_batches(rows, config.phases[0].batch_size, arena.eval_rows)
        unlabelled = ({n: x for n, x in b.items() if n != NSP_LABEL} for b in batches)
        sums = sum_metrics(step, select(params, parts), unlabelled, parallel)
        of_all, of_masks = (sums[name] for name in ("mlm_loss", "mask_loss"))
        return float(of_all[0] / of_all[1]), float(of_masks[0] / of_masks[1])

    return losses


def select(params: Params, parts: Params) -> Params:
    """Return those of the parameters that a smaller model has: the encoder without its pooler."""
    return {
        name: select(params[name], part) if isinstance(part, dict) else params[name]
        for name, part in parts.items()
    }


def with_mask_loss(objective: Objective) -> Objective:
    """Return the objective with the MLM loss where the input is [MASK] among its metrics."""

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        total, metrics = objective.loss(params, batch, counts, key)
        masks = batch | {"weights": batch["weights"] * (batch["kind"] == 0)}
        _, of_masks = objective.loss(params, masks, counts, key)
        return total, metrics | {"mask_loss": of_masks["mlm_loss"]}

    return objective._replace(loss=loss)


def summarize(
    entry: Entry,
    config: PretrainConfig,
    measured: Measured,
    cost: Cost,
    losses: Mapping[int, tuple[float, float]],
) -> Result:
    """Return what the race keeps of a run."""
    folder, steps = Path(config.runs_dir) / config.name, config.loop.steps
    of_steps = step_seconds(folder)
    seconds = cost.fixed + of_steps if measured.resumed else measured.seconds
    per_step, phase = of_steps / steps, config.phases[0]
    fills = [r["tokens_per_row"] for r in train_records(folder) if "tokens_per_row" in r]
    per_row = statistics.mean(fills) if fills else phase.length
    loss, mask_loss = losses.get(steps, (None, None)) if not measured.diverged else (None, None)
    return Result(
        **entry._asdict(),
        name=entry.name,
        steps=steps,
        tokens=steps * phase.batch_size * per_row,
        loss=loss,
        mask_loss=mask_loss,
        seconds=seconds,
        step_seconds=of_steps,
        processor=None if measured.resumed else measured.processor,
        stolen=measured.stolen,
        resumed=measured.resumed,
        curve=[
            ((seconds - (steps - step) * per_step) / 60, values[0])
            for step, values in losses.items()
        ],
    )
