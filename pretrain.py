"""Pretrain BERT on rows that prepare.py wrote: `python pretrain.py NAME [--option value ...]`.

Re-run the same command to resume. Exit codes: 0 done, 2 configuration, 3 data, 4 no usable
checkpoint, 5 diverged, 6 watchdog, 75 saved after a signal (re-run the command), 141 output closed
by its reader.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
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
from bert_jax.config.command_line import choose_run
from bert_jax.corpus.loader import PretrainingRows, pretraining_batches, pretraining_eval_batches
from bert_jax.corpus.prepared import PreparedData
from bert_jax.drawing.curves import plot_loss
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.models.functional import Params, build, merge_pretrained
from bert_jax.nn.execution import Execution, choose_execution, device_platform
from bert_jax.pretrained import read_model
from bert_jax.reports.plan import describe_plan
from bert_jax.tasks.masking import MaskingRules
from bert_jax.tasks.pretraining import Baselines, make_pretraining_objective, mean_metrics
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.checkpoint_arrays import hash_arrays
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.flops import add_throughput
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.run import open_run, report_preemption
from bert_jax.training.runlog import read_metrics
from bert_jax.training.step import TrainState, make_eval_step, make_state_init, make_train_step
from configs.pretrain import RUNS

# Fields in which a model may differ from the one whose weights it starts from.
ENCODER_MAY_DIFFER = {"hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"}


def main(config: PretrainConfig) -> int:
    """Run one pretraining; return the exit code."""
    if config.distributed and not config.dry_run:
        start_processes()  # before anything asks for a device
    execution = choose_pretraining_execution(config)
    if config.dry_run:
        print("\n".join(describe_plan(config, execution)))
        return 0

    # --- Data --------------------------------------------------------------------------------
    data = PreparedData(config.data)
    data.check()
    tokenizer = data.tokenizer
    config = config.with_vocab_size(tokenizer.vocab_size)
    spans = phase_spans(config)
    train_rows = {s.phase.length: data.rows(s.phase.length, "train") for s in spans}
    eval_rows = {s.phase.length: data.rows(s.phase.length, "eval") for s in spans}

    # --- Model, objective, optimizer, step -----------------------------------------------------
    parallel = DataParallel(config.parallel)
    for span in spans:
        parallel.check_batch_size(span.phase.batch_size, config.accumulation_steps)
    init, merge = build(config.model)
    encoder = read_encoder(config, tokenizer) if config.encoder else None
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
        return state._replace(params=merge_pretrained(state.params, encoder or {}))

    # --- Evaluation --------------------------------------------------------------------------
    majority = {length: data.nsp_majority(length) for length in eval_rows}
    baselines = Baselines(data.unigram_loss, majority)

    def evaluate(params: Any, step: int) -> Evaluation:
        phase = phase_at(spans, step)
        held_out = pretraining_eval_batches(
            eval_rows[phase.length], phase.batch_size, config.eval_rows, parallel.process
        )
        sums = sum_metrics(eval_step, params, held_out, parallel)
        values = mean_metrics(sums) | {"nsp_majority": majority[phase.length]}
        if warning := baselines.plateau_warning(values, step / config.loop.steps):
            run.log.info(warning)
        # Losses at different lengths are not comparable: a later length always counts as better.
        return Evaluation(values, criterion=(-length_changes(spans, step), values["loss"]))

    # --- Train: start fresh, or resume from the newest good checkpoint --------------------------
    folder = Path(config.runs_dir) / config.name
    hashes = {
        "tokenizer": tokenizer.sha256,
        "data": data.fingerprint,
        "encoder": hash_arrays(encoder) if encoder else None,
    }
    with open_run(folder, config, config.loop, new_state, parallel=parallel, hashes=hashes) as run:
        if parallel.is_first_process:
            shutil.copytree(data.tokenizer_folder, folder / "tokenizer", dirs_exist_ok=True)
        run.log.info(str(baselines))
        outcome = fit(
            run,
            train_step,
            phase_batches(spans, train_rows, config.seed, run.start_step, parallel.process),
            schedule=schedule,
            evaluate=evaluate,
            add_metrics=add_throughput(config, parallel.num_devices),
        )

    # --- Report ----------------------------------------------------------------------------------
    if outcome.interrupted:
        return report_preemption(outcome.step)
    if parallel.is_first_process:
        records = read_metrics(folder / "metrics.jsonl")
        plot_loss(records, folder / "plots" / "loss.svg", baselines.losses)
        print(f"done: {outcome.step:,} steps; curves in {folder}/plots/loss.svg")
    return 0


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


def read_encoder(config: PretrainConfig, tokenizer: Tokenizer) -> Params:
    """Read the weights of `config.encoder`: a pretraining model's, or those of its encoder alone.

    Raises:
        ConfigError: the encoder's shape differs from the configuration's, or its vocabulary from
            the data's.
    """
    saved = read_model(str(config.encoder))
    for field in fields(BertConfig):
        given, expected = getattr(config.model, field.name), getattr(saved.config, field.name)
        if given != expected and field.name not in ENCODER_MAY_DIFFER:
            raise ConfigError(
                f"model.{field.name} = {given}, but {config.encoder} has {expected}",
                "a model of the same shape",
                f"pass --model.{field.name.replace('_', '-')} {expected}",
            )
    if saved.tokenizer.sha256 != tokenizer.sha256:
        raise ConfigError(
            f"{config.data} has a different vocabulary or casing from {config.encoder}",
            "text prepared with the vocabulary of the model to start from",
            "re-run prepare.py with --vocab and that model's vocab.txt, and with its casing",
        )
    return saved.params if "bert" in saved.params else {"bert": saved.params}


def phase_batches(
    spans: list[PhaseSpan],
    rows: dict[int, PretrainingRows],
    seed: int,
    start: int,
    process: tuple[int, int],
) -> Iterator[dict[str, np.ndarray]]:
    """Yield this process's share of every batch from step `start` (from 0) on, phase after phase.

    A phase continues in the rows of its length where the previous phase of that length stopped.
    """
    taken = dict.fromkeys(rows, 0)
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
    return main(choose_run(RUNS, "pretrain.py", __doc__))


if __name__ == "__main__":
    sys.exit(command_line())
