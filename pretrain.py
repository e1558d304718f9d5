"""Pretrain BERT on rows that prepare.py wrote: `python pretrain.py NAME [--option value ...]`.

Re-run the same command to resume. Exit codes: 0 done, 2 configuration, 3 data, 4 no usable
checkpoint, 5 diverged, 6 watchdog, 75 saved after a signal (re-run the command), 130 Ctrl-C
before training or for the second time, 141 output closed by its reader.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from bert_jax.config import (
    BertConfig,
    PhaseSpan,
    PretrainConfig,
    length_changes,
    phase_at,
    phase_spans,
)
from bert_jax.config.command_line import choose_run, is_given
from bert_jax.corpus.loader import PretrainingRows, pretraining_batches, pretraining_eval_batches
from bert_jax.corpus.prepared import PreparedData
from bert_jax.drawing.curves import plot_loss
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.filesystem import copy_files
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build, merge_pretrained, missing_parts
from bert_jax.nn.execution import Execution, choose_execution, device_platform
from bert_jax.pretrained import read_model
from bert_jax.reports.plan import describe_plan, plan_warnings
from bert_jax.tasks.masking import MaskingRules
from bert_jax.tasks.pretraining import (
    Baselines,
    data_identity,
    make_pretraining_objective,
    mean_metrics,
    pretraining_architecture,
)
from bert_jax.tasks.starting import adapt_vocabulary
from bert_jax.training.checkpoint_arrays import hash_arrays
from bert_jax.training.extension import (
    advise_after_divergence,
    extend_command,
    extend_state,
    open_extension,
)
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.flops import add_throughput
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.processes import agree
from bert_jax.training.run import Run, open_run, report_preemption
from bert_jax.training.runlog import read_metrics
from bert_jax.training.step import TrainState, make_eval_step, make_state_init, make_train_step
from configs.pretrain import RUNS

# Fields in which a model may differ from the one whose weights it starts from.
ENCODER_MAY_DIFFER = {
    "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout",
    "initializer_range", "vocab_size",
}  # fmt: skip


def main(config: PretrainConfig) -> int:
    """Run one pretraining; return the exit code."""
    if config.distributed and not config.dry_run:
        start_processes()  # before anything asks for a device
    execution = choose_pretraining_execution(config)
    encoder = read_encoder(config) if config.encoder else None
    encoder_rows = (encoder.config.vocab_size or 0) if encoder else 0
    if config.dry_run:
        print("\n".join(describe_plan(config, execution, encoder_rows)))
        return 0

    # --- Data --------------------------------------------------------------------------------
    data = PreparedData(config.data)
    config, train_rows, eval_rows = open_rows(config, data, encoder_rows)
    tokenizer, spans = data.tokenizer, phase_spans(config)

    # --- Model, objective, optimizer, step -----------------------------------------------------
    parallel = DataParallel(config.parallel)
    for span in spans:
        parallel.check_batch_size(span.phase.batch_size, config.accumulation_steps)
    init, merge = build(config.model, architecture(pretraining_architecture(data.nsp)))
    trained, news = adapt_vocabulary(encoder, tokenizer, config) if encoder else ({}, [])
    init_key, mask_key, dropout_key = jax.random.split(jax.random.key(config.seed), 3)
    rules = MaskingRules.of(config.masking, tokenizer, config.model.vocab_size)
    objective = make_pretraining_objective(
        merge, mask_key, rules, tokenizer.is_continuation, execution
    )
    optimizer, schedule = make_optimizer(config.optimizer, config.loop.steps)
    train_step = parallel.shard(make_train_step(objective, optimizer, config.accumulation_steps))
    eval_step = parallel.shard(make_eval_step(objective), donate=False)
    init_train_state = make_state_init(init, optimizer, parallel.replicated)

    def new_state() -> TrainState:
        state = init_train_state(init_key, dropout_key)
        state = state._replace(params=merge_pretrained(state.params, trained))
        return extend_state(state, extension)

    # --- Train: start fresh, or resume from the newest good checkpoint --------------------------
    folder = Path(config.runs_dir) / config.name
    majority = {t: data.nsp_majority(t) for t in train_rows if data.nsp}
    baselines = Baselines(data.unigram_loss, majority)
    hashes = {**data_identity(data), "encoder": hash_arrays(trained) if encoder else None}
    extension = open_extension(config, folder, hashes)
    hashes |= extension.identity
    advice = (
        f"pass the saved values, or give a new run another --name; with --extend-from {folder} it "
        "continues from this state"
    )
    with open_run(
        folder, config, config.loop, new_state, parallel=parallel, hashes=hashes, advice=advice
    ) as run:
        agree(lambda: copy_files(data.tokenizer_folder, folder / "tokenizer"))
        agree(lambda: extension.save(folder))
        notes = baselines.label_warnings()
        notes += plan_warnings(config, count_rows(train_rows), held_out=bool(eval_rows))
        if encoder and (new := missing_parts(run.state.params, trained)):
            notes.append(f"not in {config.encoder}, so new: {', '.join(new)}")
        for line in [*extension.describe(), *news, str(baselines), *notes]:
            run.log.info(line)
        process, before = parallel.process, extension.rows_before
        batches = phase_batches(spans, train_rows, config.seed, run.start_step, process, before)
        with advise_after_divergence(folder):
            outcome = fit(
                run,
                train_step,
                batches,
                schedule=schedule,
                evaluate=make_evaluate(config, run, eval_step, eval_rows, baselines),
                add_metrics=add_throughput(config, parallel.num_devices),
            )

    # --- Report ----------------------------------------------------------------------------------
    if outcome.interrupted:
        return report_preemption(outcome.step)
    if parallel.is_first_process:
        records = read_metrics(folder / "metrics.jsonl")
        plot_loss(records, folder / "plots" / "loss.svg", baselines.panels)
        print(f"done: {outcome.step:,} steps; curves in {folder}/plots/loss.svg")
        print(f"to train for longer, start a new run: {extend_command(folder)}")
    return 0


def open_rows(
    config: PretrainConfig, data: PreparedData, encoder_rows: int = 0
) -> tuple[PretrainConfig, dict[int, PretrainingRows], dict[int, PretrainingRows]]:
    """Check prepared data; return the configuration with what follows from it, and the rows.

    Args:
        config: the run.
        data: its prepared data.
        encoder_rows: word embeddings of the model to start from.

    Returns:
        The configuration with the size of the vocabulary and the number of steps; training and
        held-out rows by length. There are no held-out rows if a length of the run has none.
    """
    data.check()
    config = config.with_vocab_size(data.tokenizer.vocab_size, encoder_rows)
    lengths = list(dict.fromkeys(phase.length for phase in config.phases))
    data.require_lengths(lengths)
    train_rows = {length: data.rows(length, "train") for length in lengths}
    eval_rows = {}
    if all("eval" in data.splits(length) for length in lengths):
        eval_rows = {length: data.rows(length, "eval") for length in lengths}
    return config.with_steps(count_rows(train_rows)), train_rows, eval_rows


def count_rows(rows: Mapping[int, PretrainingRows]) -> dict[int, int]:
    """Return the number of rows of each length."""
    return {length: len(rows_of_length) for length, rows_of_length in rows.items()}


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
        held_out = pretraining_eval_batches(
            eval_rows[phase.length], phase.batch_size, config.eval_rows, run.parallel.process
        )
        sums = sum_metrics(eval_step, params, held_out, run.parallel)
        values = mean_metrics(sums)
        if baselines.nsp_majority:
            values["nsp_majority"] = baselines.nsp_majority[phase.length]
        warming_up = step < config.optimizer.warmup_steps
        if warning := baselines.plateau_warning(values, step / config.loop.steps, warming_up):
            run.log.info(warning)
        # Losses at different lengths are not comparable: a later length always counts as better.
        return Evaluation(values, criterion=(-length_changes(spans, step), values["loss"]))

    return evaluate if eval_rows else None


def choose_pretraining_execution(config: PretrainConfig) -> Execution:
    """Choose dtype, attention kernel and remat for this machine."""
    return choose_execution(
        config.attention,
        platform=device_platform(),
        dtype=config.dtype,
        dropout_rate=config.model.attention_probs_dropout_prob,
        remat=config.remat,
        unroll=config.unroll,
    )


def read_encoder(config: PretrainConfig) -> PretrainedModel:
    """Read `config.encoder`: a pretraining model, or its encoder alone.

    Raises:
        ConfigError: its shape differs from the configuration's.
    """
    saved = read_model(str(config.encoder), labels=False)
    names = [field.name for field in fields(BertConfig) if field.name not in ENCODER_MAY_DIFFER]
    given, expected = ({x: getattr(c, x) for x in names} for c in (config.model, saved.config))
    if other := [name for name in names if given[name] != expected[name]]:
        options = [f"--model.{name.replace('_', '-')} {expected[name]}" for name in other]
        raise ConfigError(
            f"{', '.join(f'model.{name} = {given[name]}' for name in other)}, but "
            f"{config.encoder} has {', '.join(str(expected[name]) for name in other)}",
            "a model of the same shape",
            f"pass {' '.join(options)}",
        )
    return saved


def phase_batches(
    spans: list[PhaseSpan],
    rows: dict[int, PretrainingRows],
    seed: int,
    start: int,
    process: tuple[int, int],
    rows_before: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[dict[str, np.ndarray]]:
    """Yield this process's share of every batch from step `start` (from 0) on, phase after phase.

    A phase continues in the rows of its length where the previous phase of that length stopped,
    the first one after the `rows_before` that a run which this one extends has read.
    """
    taken = {length: rows_before.get(str(length), 0) for length in rows}
    for span in spans:
        phase = span.phase
        if start < span.stop:
            yield from pretraining_batches(
                rows[phase.length],
                phase.batch_size,
                seed=seed,
                start_step=max(start - span.start, 0),
                num_steps=span.stop - max(start, span.start),
                process=process,
                skip=taken[phase.length],
            )
        taken[phase.length] += (span.stop - span.start) * phase.batch_size


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    config = choose_run(RUNS, "pretrain.py", __doc__)
    if config.epochs is not None and is_given("--steps"):
        raise ConfigError(
            "both --steps and --epochs are given",
            "one length of the run",
            "leave out --steps or --epochs",
        )
    return main(config)


if __name__ == "__main__":
    sys.exit(command_line())
