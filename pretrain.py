"""Pretrain BERT on rows that prepare.py wrote: `python pretrain.py NAME [--option value ...]`.

Re-run the same command to resume. Exit codes: 0 done, 2 configuration, 3 data, 4 no usable
checkpoint, 5 diverged, 6 watchdog, 75 saved after a signal (re-run the command), 130 Ctrl-C
before training or for the second time, 141 output closed by its reader.

Examples:
    python pretrain.py tiny --data data/corpus
    python pretrain.py mini --data data/corpus --budget 3h --name korean
    python pretrain.py base --data data/corpus --dry-run --topology h100:8
"""

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bert_jax.config import (
    PretrainConfig,
    decay_run,
    length_changes,
    phase_at,
    phase_spans,
)
from bert_jax.config.command_line import choose_run, is_given, next_finetuning
from bert_jax.config.topics import PRETRAIN
from bert_jax.corpus.loader import PretrainingRows
from bert_jax.corpus.phases import count_rows, open_rows
from bert_jax.corpus.prepared import PreparedData
from bert_jax.drawing.curves import plot_loss
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.filesystem import copy_files
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.models.functional import merge_pretrained, missing_parts
from bert_jax.pretrained import read_model
from bert_jax.remote.addresses import address
from bert_jax.remote.writing import publish
from bert_jax.reports.plan import make_plan, plan_warnings
from bert_jax.tasks.accumulation import decide_accumulation
from bert_jax.tasks.planning import Work, describe_time, plan_run
from bert_jax.tasks.pretraining import Baselines, data_identity, mean_metrics
from bert_jax.tasks.pretraining_batches import evaluation_batches, training_batches
from bert_jax.tasks.pretraining_programs import (
    build_programs,
    remaining_programs,
)
from bert_jax.tasks.starting import adapt_vocabulary, require_same_shape, start_embeddings
from bert_jax.training.ahead import compile_all
from bert_jax.training.checkpoint_arrays import hash_arrays
from bert_jax.training.compilation_cache import use_compilation_cache
from bert_jax.training.extension import (
    advise_after_divergence,
    extend_command,
    extend_state,
    open_extension,
)
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.flops import add_throughput
from bert_jax.training.identity import other_run_advice
from bert_jax.training.machine import choose_machine, machine_at_hand
from bert_jax.training.numerics import set_numerics
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.processes import agree
from bert_jax.training.profiling import require_steps
from bert_jax.training.run import Run, open_run, report_preemption
from bert_jax.training.rundir import run_folder
from bert_jax.training.runlog import read_metrics
from bert_jax.training.step import TrainState
from configs.pretrain import RUNS

LOSS_PLOT = Path("plots", "loss.svg")


def main(config: PretrainConfig) -> int:
    """Run one pretraining; return the exit code."""
    began = time.monotonic()
    set_numerics(config.dtype, config.matmul_precision, config.deterministic)
    if config.distributed and (config.budget or not config.dry_run):
        start_processes()  # before anything asks for a device
    encoder = read_encoder(config) if config.encoder else None
    encoder_rows = (encoder.config.vocab_size or 0) if encoder else 0
    if config.dry_run and not config.budget:
        return report_plan(config, encoder_rows)
    if not config.dry_run:
        use_compilation_cache(config.runs_dir)

    # --- Data --------------------------------------------------------------------------------
    data = PreparedData(config.data)
    config, train_rows, eval_rows = open_rows(config, data, encoder_rows)
    config = decay_run(config)
    tokenizer, nsp = data.tokenizer, data.nsp and config.nsp is None
    folder = run_folder(config.runs_dir, config.name)

    # --- Model, objective, optimizer, step -----------------------------------------------------
    parallel = DataParallel(config.parallel)
    trained, news = adapt_vocabulary(encoder, tokenizer, config) if encoder else ({}, [])
    max_sequences = {t: rows.row_format.max_sequences for t, rows in train_rows.items()}
    programs = build_programs(config, tokenizer, nsp, parallel, max_sequences)
    config, chosen = decide_accumulation(config, programs, folder)
    work = Work(programs.make_training, programs.eval_step, train_rows, eval_rows)
    config, plan = plan_run(config, folder, work, parallel, began)
    if config.dry_run:
        print("\n".join(plan))
        return report_plan(replace(config, budget=None), encoder_rows)
    require_steps(config.loop)
    training = programs.make_training(config)

    def new_state() -> TrainState:
        state = training.init_state(programs.init_key, programs.dropout_key)
        state = state._replace(params=merge_pretrained(state.params, trained))
        state = start_embeddings(state, config, train_rows, tokenizer, news.append)
        return extend_state(state, extension)

    # --- Train: start fresh, or resume from the newest good checkpoint --------------------------
    baselines = Baselines.of(data, train_rows if nsp else ())
    hashes = {
        **data_identity(data, nsp, config.model),
        "encoder": hash_arrays(trained) if encoder else None,
    }
    extension = open_extension(config, folder, hashes)
    with open_run(
        folder, config, config.loop, new_state, parallel=parallel,
        hashes=hashes | extension.identity, advice=other_run_advice(folder),
    ) as run:  # fmt: skip
        agree(lambda: copy_files(data.tokenizer_folder, folder / "tokenizer"))
        agree(lambda: extension.save(folder))
        notes = plan_warnings(config, count_rows(train_rows), held_out=bool(eval_rows))
        notes += baselines.label_warnings() + describe_new_parts(config, run.state, trained)
        for line in [*chosen, *plan, *extension.describe(), *news, str(baselines), *notes]:
            run.log.info(line)
        ahead = remaining_programs(config, programs, training, run.start_step, bool(eval_rows))
        for compilation in compile_all(ahead, machine_at_hand()):
            run.log.info(str(compilation))
        batches = training_batches(
            config, train_rows, run.start_step, parallel.process, extension.rows_before
        )
        with advise_after_divergence(folder):
            outcome = fit(
                run,
                training.train_step,
                batches,
                schedule=training.schedule,
                evaluate=make_evaluate(config, run, programs.eval_step, eval_rows, baselines),
                add_metrics=add_throughput(config, parallel.num_devices),
            )

    # --- Report ----------------------------------------------------------------------------------
    if outcome.interrupted:
        return report_preemption(outcome.step)
    if parallel.is_first_process:
        plot_loss(read_metrics(folder / "metrics.jsonl"), folder / LOSS_PLOT, baselines.panels)
        report_end(folder, f"{outcome.step:,} steps{describe_time(config, run.start_step, began)}")
    return 0


def report_end(folder: Path, done: str) -> None:
    """Store a finished run, and print what was done and what is next."""
    publish(folder)
    print(f"done: {done}; curves in {address(folder / LOSS_PLOT)}")
    print(f"to train for longer, start a new run: {extend_command(folder)}")
    print(next_finetuning(address(folder)))


def report_plan(config: PretrainConfig, encoder_rows: int) -> int:
    """Print what a run takes; return the exit code, 2 if it does not fit into memory."""
    machine = choose_machine(config.topology)
    plan = make_plan(config, machine, encoder_rows)
    print("\n".join(plan.lines))
    return 0 if plan.fits else ConfigError.exit_code


def describe_new_parts(
    config: PretrainConfig, state: TrainState, trained: dict[str, Any]
) -> list[str]:
    """Return a line that names the parts which the model to start from lacks; none without one."""
    new = missing_parts(state.params, trained) if config.encoder else []
    return [f"not in {config.encoder}, so new: {', '.join(new)}"] if new else []


def make_evaluate(
    config: PretrainConfig,
    run: Run,
    eval_step: Callable[[Any, Any], Any],
    eval_rows: Mapping[int, PretrainingRows],
    baselines: Baselines,
) -> Callable[[Any, int], Evaluation] | None:
    """Build the evaluation on held-out rows of the phase's length; None if there are none."""
    spans = phase_spans(config)

    def evaluate(params: Any, step: int) -> Evaluation:
        phase = phase_at(spans, step)
        held_out = evaluation_batches(config, eval_rows, phase, run.parallel.process)
        num_rows = min(len(eval_rows[phase.length]), config.eval_rows)
        num_batches = math.ceil(num_rows / phase.batch_size)
        sums = sum_metrics(eval_step, params, held_out, run.parallel, num_batches)
        values = mean_metrics(sums)
        if baselines.nsp_majority:
            values["nsp_majority"] = baselines.nsp_majority[phase.length]
        warming_up = step < config.optimizer.warmup_steps
        if warning := baselines.plateau_warning(values, step / config.loop.steps, warming_up):
            run.log.info(warning)
        # Losses at different lengths are not comparable: a later length always counts as better.
        return Evaluation(values, criterion=(-length_changes(spans, step), values["loss"]))

    return evaluate if eval_rows else None


def read_encoder(config: PretrainConfig) -> PretrainedModel:
    """Read `config.encoder`: a pretraining model, or its encoder alone.

    Raises:
        ConfigError: its shape differs from the configuration's.
    """
    saved = read_model(str(config.encoder), labels=False)
    require_same_shape(config, saved.config)
    return saved


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    config = choose_run(RUNS, "pretrain.py", __doc__, PRETRAIN)
    for option, value in (("--epochs", config.epochs), ("--budget", config.budget)):
        if value is not None and is_given("--steps"):
            raise ConfigError(
                f"both --steps and {option} are given",
                "one length of the run",
                f"leave out --steps or {option}",
            )
    return main(config)


if __name__ == "__main__":
    sys.exit(command_line())
