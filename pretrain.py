"""Pretrains BERT on rows that prepare.py wrote: `python pretrain.py NAME [--option value ...]`.

The same command again goes on where the run stopped. Exit codes: 0 done, 2 configuration, 3 data,
4 no usable checkpoint, 5 diverged, 6 watchdog, 75 saved after a signal (run the command again).
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from bert_jax.config import (
    BertConfig,
    PhaseSpan,
    PretrainConfig,
    flatten,
    length_changes,
    phase_at,
    phase_spans,
    to_json,
)
from bert_jax.config.command_line import choose_run
from bert_jax.data.loader import PretrainingRows, batches, eval_batches
from bert_jax.data.prepared import PreparedData
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.errors import EXIT_PREEMPTED, ConfigError, DataError, errors_for_people
from bert_jax.models.functional import Params, build, count_parameters, take_over
from bert_jax.nn.attention import choose_attention, device_platform
from bert_jax.nn.compute import Compute
from bert_jax.pretrained import read_model
from bert_jax.tasks import pretraining
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.flops import flops_per_token, memory_estimate, peak_flops
from bert_jax.training.masking import MaskingRules
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.plots import loss_plot
from bert_jax.training.rundir import run_lock
from bert_jax.training.runlog import RunLog, with_progress
from bert_jax.training.step import init_state, make_eval_step, make_train_step
from bert_jax.training.store import fingerprint
from configs.pretrain import RUNS

# What may change between the parts of one run: it does not change what is computed.
FREE_TO_CHANGE = {
    "data", "name", "runs_dir", "loop.log_every", "loop.eval_every", "loop.checkpoint_every",
    "loop.keep_last", "loop.max_bad_steps", "loop.watchdog_seconds", "eval_rows", "tensorboard",
    "allow_unverified", "distributed", "dry_run", "parallel", "remat", "unroll", "attention",
    "encoder",
}  # fmt: skip
# What a model may have otherwise than the one whose weights it starts from.
MAY_DIFFER = {"hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"}


def main(config: PretrainConfig) -> int:
    """Runs one pretraining; returns the exit code."""
    if config.dry_run:
        print_plan(config)
        return 0
    if config.distributed:
        start_processes()

    # --- Data, and what it decides -----------------------------------------------------------
    data = PreparedData(config.data)
    data.check()
    config, vocab_size = with_vocab_size(config, data.tokenizer)
    encoder = read_encoder(config, data.tokenizer) if config.encoder else None
    spans = phase_spans(config)
    train_rows = {s.phase.length: data.rows(s.phase.length, "train") for s in spans}
    eval_rows = {s.phase.length: data.rows(s.phase.length, "eval") for s in spans}

    # --- Model, objective, optimizer, step -----------------------------------------------------
    parallel = DataParallel(config.parallel)
    for span in spans:
        parallel.check_batch_size(span.phase.batch_size, config.accumulation_steps)
    init, bind = build(config.model)
    init_key, mask_key, dropout_key = jax.random.split(jax.random.key(config.seed), 3)
    words = data.tokenizer
    rules = MaskingRules(config.masking, vocab_size, words.cls_id, words.sep_id, words.mask_id)
    objective = pretraining.make_objective(
        bind, mask_key, rules, words.is_continuation, compute(config)
    )
    optimizer, schedule = make_optimizer(config.optimizer, config.loop.steps)
    train_step = parallel.spread(make_train_step(objective, optimizer, config.accumulation_steps))
    eval_step = parallel.spread(make_eval_step(objective), donate=False)

    run = Path(config.runs_dir) / config.name
    with run_lock(run), RunLog(run, config, config.loop.steps, config.tensorboard) as log:
        # --- State: new, or the newest good checkpoint -----------------------------------------
        identity = {k: v for k, v in flatten(config).items() if k not in FREE_TO_CHANGE}
        identity |= {"tokenizer": data.tokenizer.sha256, "data": data.fingerprint}
        if encoder:
            identity["encoder"] = fingerprint(encoder)
        checkpoints = Checkpoints(
            run / "checkpoints",
            identity,
            config.loop.keep_last,
            allow_unverified=config.allow_unverified,
            say=log.say,
        )
        new_state = jax.jit(
            lambda key: init_state(init(key), optimizer, dropout_key),
            out_shardings=parallel.replicated,
        )
        restored = checkpoints.restore(jax.eval_shape(new_state, init_key))
        state, start, _ = restored or (new_state(init_key), 0, {})
        if encoder and not restored:
            state = state._replace(params=take_over(state.params, encoder))
        log.resume(start)
        size, devices = count_parameters(state.params), parallel.num_devices
        log.say(f"{run}: {size:,} parameters on {devices} device(s), from step {start:,}")
        if jax.process_index() == 0:
            shutil.copytree(data.tokenizer_folder, run / "tokenizer", dirs_exist_ok=True)

        # --- Train -----------------------------------------------------------------------------
        majority = {length: data.nsp_majority(length) for length in eval_rows}
        baselines = pretraining.Baselines(data.unigram_loss, majority)
        log.say(str(baselines))

        def evaluate(params: Any, step: int) -> Evaluation:
            phase = phase_at(spans, step)
            held_out = eval_batches(
                eval_rows[phase.length],
                phase.batch_size,
                config.eval_rows,
                process_index=jax.process_index(),
                process_count=jax.process_count(),
            )
            sums = sum_metrics(eval_step, params, held_out, parallel)
            values = pretraining.finish_metrics(sums) | {"nsp_majority": majority[phase.length]}
            if advice := baselines.advice(values, step / config.loop.steps):
                log.say(advice)
            # Losses at two lengths do not compare: any at a later length is better than before.
            return Evaluation(values, criterion=(-length_changes(spans, step), values["loss"]))

        with checkpoints:
            outcome = fit(
                parallel.put_state(state),
                train_step,
                train_batches(spans, train_rows, config.seed, start),
                config.loop,
                parallel=parallel,
                evaluate=evaluate,
                checkpoints=checkpoints,
                log=log,
                describe=describe_speed(config, schedule, parallel.num_devices),
            )

    # --- Report ----------------------------------------------------------------------------------
    if outcome.stopped:
        print(f"saved step {outcome.step:,}; run the same command again to go on")
        return EXIT_PREEMPTED
    if jax.process_index() == 0:
        loss_plot(run / "metrics.jsonl", run / "plots" / "loss.svg", baselines.losses)
        print(f"done: {outcome.step:,} steps; curves in {run}/plots/loss.svg")
    return 0


def with_vocab_size(config: PretrainConfig, tokenizer: Tokenizer) -> tuple[PretrainConfig, int]:
    """Takes the vocabulary's size from the tokenizer where the configuration leaves it open."""
    size = config.model.vocab_size or tokenizer.vocab_size
    if size < tokenizer.vocab_size:
        raise ConfigError(
            f"model.vocab_size = {size} is smaller than the tokenizer's {tokenizer.vocab_size}",
            f"at least {tokenizer.vocab_size} (more is padding), or None",
            "leave model.vocab_size out",
        )
    return replace(config, model=replace(config.model, vocab_size=size)), size


def read_encoder(config: PretrainConfig, tokenizer: Tokenizer) -> Params:
    """The weights of `config.encoder`: a pretraining model's, or those of its encoder alone.

    Raises:
        ConfigError: it has another shape, or another vocabulary than the data.
    """
    saved = read_model(str(config.encoder))
    for field in fields(BertConfig):
        wanted, found = getattr(config.model, field.name), getattr(saved.config, field.name)
        if wanted != found and field.name not in MAY_DIFFER:
            raise ConfigError(
                f"model.{field.name} = {wanted}, but {config.encoder} has {found}",
                "a model of the same shape",
                f"pass --model.{field.name.replace('_', '-')} {found}",
            )
    if saved.tokenizer.sha256 != tokenizer.sha256:
        raise ConfigError(
            f"{config.data} has another vocabulary or casing than {config.encoder}",
            "text prepared with the vocabulary of the model that is to go on",
            "prepare it with --vocab and that model's vocab.txt, and --lowercase if it does so",
        )
    return saved.params if "bert" in saved.params else {"bert": saved.params}


def compute(config: PretrainConfig) -> Compute:
    """Chooses types and kernels for this machine."""
    attention = choose_attention(
        config.attention,
        platform=device_platform(),
        dtype=config.dtype,
        dropout_rate=config.model.attention_probs_dropout_prob,
    )
    return Compute(config.dtype, attention, config.remat, config.unroll)


def train_batches(
    spans: list[PhaseSpan], rows: dict[int, PretrainingRows], seed: int, start: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields this process's share of every batch from step `start` on, phase after phase.

    A phase goes on with the rows of its length where the one before of that length has stopped.
    """
    taken = dict.fromkeys(rows, 0)
    for span in spans:
        phase = span.phase
        if start < span.last:
            yield from batches(
                rows[phase.length],
                phase.batch_size,
                seed=seed,
                start_step=max(start - span.first, 0),
                num_steps=span.last - max(start, span.first),
                process_index=jax.process_index(),
                process_count=jax.process_count(),
                skip=taken[phase.length],
            )
        taken[phase.length] += (span.last - span.first) * phase.batch_size


def describe_speed(
    config: PretrainConfig, schedule: optax.Schedule, num_devices: int
) -> Callable[[int, dict[str, float]], dict[str, float]]:
    """Adds learning rate, tokens per second, MFU and the time left to a step's metrics."""
    peak = peak_flops(jax.devices()[0].device_kind)

    def describe(step: int, values: dict[str, float]) -> dict[str, float]:
        rate = values.get("steps_per_second")
        if rate and "tokens_per_row" in values:
            phase = phase_at(phase_spans(config), step)
            tokens = rate * phase.batch_size * values["tokens_per_row"]
            values = values | {"tokens_per_second": tokens}
            if peak:
                # Packed rows attend to less than T: this counts the row's length, an upper bound.
                flops = flops_per_token(config.model, phase.length, config.masking.rate)
                values["mfu"] = tokens * flops / (peak * num_devices)
        return with_progress(values, step, config.loop.steps, schedule)

    return describe


def print_plan(config: PretrainConfig) -> None:
    """Prints what a run would take: shapes are worked out, no array is allocated."""
    try:
        data = PreparedData(config.data)
        config, _ = with_vocab_size(config, data.tokenizer)
    except DataError as error:
        data, size = None, config.model.vocab_size or 30_522
        print(f"no data yet ({error.args[0].splitlines()[0]}): a vocabulary of {size:,} is assumed")
        config = replace(config, model=replace(config.model, vocab_size=size))
    shapes = jax.eval_shape(build(config.model)[0], jax.random.key(0))
    num_parameters, settings = count_parameters(shapes), compute(config)
    num_devices = jax.device_count()
    print(to_json(config))
    print(f"parameters          {num_parameters:,}")
    print(f"devices             {num_devices} x {jax.devices()[0].device_kind}")
    for span in phase_spans(config):
        phase = span.phase
        rows = max(1, phase.batch_size // num_devices // config.accumulation_steps)
        memory = memory_estimate(
            config.model,
            num_parameters,
            rows * phase.length,
            phase.length,
            dtype=config.dtype,
            remat=config.remat,
            fused_attention=settings.attention == "cudnn",
        )
        print(f"steps {span.first:,} to {span.last:,} at length {phase.length}")
        print(f"  tokens per step   {phase.batch_size * phase.length:,}")
        if data:
            num_rows = len(data.rows(phase.length, "train"))
            steps = span.last - span.first
            epochs = steps * phase.batch_size / num_rows
            print(f"  steps per epoch   {num_rows / phase.batch_size:,.1f} ({num_rows:,} rows)")
            print(f"  epochs            {epochs:,.1f}")
        print(
            f"  memory per device {memory.total / 1e9:.2f} GB (parameters "
            f"{memory.parameters / 1e9:.2f}, optimizer {memory.optimizer / 1e9:.2f}, gradients "
            f"{memory.gradients / 1e9:.2f}, activations {memory.activations / 1e9:.2f})"
        )


@errors_for_people
def command_line() -> int:
    """Reads the command line and runs `main`; returns the exit code."""
    return main(choose_run(RUNS, "pretrain.py", __doc__))


if __name__ == "__main__":
    sys.exit(command_line())
