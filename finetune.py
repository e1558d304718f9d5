"""Fine-tunes a pretrained encoder on labelled data: `python finetune.py NAME --encoder DIR`.

Scores, a report and the model for use go to runs/NAME. The same command again goes on where it
stopped. Exit codes as pretrain.py's.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from bert_jax.config import FinetuneConfig, LoopConfig, flatten
from bert_jax.config.command_line import choose_run
from bert_jax.config.finetuning import loop_config, optimizer_config
from bert_jax.data.batching import Packing, hash_texts, steps_per_epoch, train_batches
from bert_jax.data.rejects import Rejects
from bert_jax.errors import EXIT_PREEMPTED, errors_for_people
from bert_jax.interop.huggingface import Exported, write_directory
from bert_jax.models.architectures import WITH_LABELS, architecture
from bert_jax.models.functional import build, count_parameters, take_over
from bert_jax.nn.attention import choose_attention, device_platform
from bert_jax.nn.compute import Compute
from bert_jax.pretrained import read_model
from bert_jax.reports.card import model_card
from bert_jax.reports.report import make_report, write_report
from bert_jax.reports.seeds import describe_seeds
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.labelled import Labelled, read_labelled
from bert_jax.tasks.predicting import Predicted, make_predictor
from bert_jax.tasks.task import Task, choose_metric, make_objective
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.early_stopping import past_scores, stopped_early
from bert_jax.training.fit import Evaluation, fit
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.plots import loss_plot
from bert_jax.training.rundir import run_lock
from bert_jax.training.runlog import RunLog, with_progress
from bert_jax.training.step import (
    Batch,
    Metrics,
    Params,
    TrainState,
    init_state,
    make_train_step,
)
from bert_jax.training.store import fingerprint, load_params
from configs.finetune import RUNS

SHALLOW = 4  # layers that are unrolled: the step is faster, and compiles as fast

# What may change between the parts of one run: it does not change what is computed.
FREE_TO_CHANGE = {
    "name", "runs_dir", "encoder", "train", "dev", "test", "log_every", "parallel", "distributed",
    "dry_run", "tfds_data_dir", "eval_batch_size", "seeds",
}  # fmt: skip


def main(config: FinetuneConfig, kinds: Mapping[str, type[Task]] = KINDS) -> int:
    """Runs one fine-tuning, from one seed or several; returns the exit code."""
    if config.distributed:
        start_processes()

    # --- Encoder and data ---------------------------------------------------------------------
    encoder = read_model(config.encoder)
    config = with_length(config, encoder.config.max_position_embeddings)
    rejects = Rejects()
    task, data = read_labelled(kinds[config.task], config, encoder.tokenizer, rejects, print)
    for line in rejects.summary():
        print(f"warning: {line}")
    metric, sign = choose_metric(task, config.metric)
    if config.dry_run:
        return 0
    run = Path(config.runs_dir) / config.name
    run.mkdir(parents=True, exist_ok=True)
    rejects.write(run / "rejects.jsonl")

    # --- One run, or one for each seed --------------------------------------------------------
    programs = make_programs(config, encoder, task, len(data["train"].encoded))
    results: dict[int, dict[str, float]] = {}
    for seed in range(config.seed, config.seed + config.seeds):
        folder = run if config.seeds == 1 else run / f"seed-{seed}"
        scores = finetune(replace(config, seed=seed), folder, encoder, task, data, programs)
        if scores is None:
            print("saved; run the same command again to go on")
            return EXIT_PREEMPTED
        results[seed] = scores

    # --- All seeds together -------------------------------------------------------------------
    if config.seeds > 1 and jax.process_index() == 0:
        best = max(results, key=lambda seed: sign * results[seed][f"dev {metric}"])
        print(describe_seeds(results))
        (run / "summary.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        export = read_model(run / f"seed-{best}")
        card = (run / f"seed-{best}" / "model" / "README.md").read_text(encoding="utf-8")
        write_directory(run / "model", export, card)
        print(f"the best by dev {metric}, seed {best}, is in {run}/model")
    return 0


class Programs(NamedTuple):
    """What one seed's run shares with the others', compiled once."""

    parallel: DataParallel
    packing: Packing
    loop: LoopConfig
    schedule: optax.Schedule
    new_state: Callable[[jax.Array, jax.Array], TrainState]
    """(key of the weights, key of dropout) → the state before the first step."""
    train_step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    predict: Callable[[Params, Labelled], Predicted]


def make_programs(
    config: FinetuneConfig, encoder: Exported, task: Task, num_texts: int
) -> Programs:
    """Builds model, objective, optimizer and step, and what predicts with them."""
    parallel = DataParallel(config.parallel)
    process = (jax.process_index(), jax.process_count())
    pad_id = encoder.tokenizer.pad_id
    packing = Packing(config.max_length, pad_id, parallel.num_devices, process)
    num_labels = len(task.labels) if task.architecture in WITH_LABELS else 0
    init, bind = build(encoder.config, architecture(task.architecture, num_labels))
    how = compute(config, encoder)
    loop = loop_config(config, steps_per_epoch(num_texts, config.batch_size))
    optimizer, schedule = make_optimizer(optimizer_config(config, loop.steps), loop.steps)
    step = make_train_step(make_objective(task, bind, how), optimizer)
    return Programs(
        parallel,
        packing,
        loop,
        schedule,
        new_state=jax.jit(lambda head, dropout: init_state(init(head), optimizer, dropout)),
        train_step=parallel.spread(step),
        predict=make_predictor(task, bind, how, parallel, packing, config.eval_batch_size),
    )


def finetune(
    config: FinetuneConfig,
    run: Path,
    encoder: Exported,
    task: Task,
    data: dict[str, Labelled],
    programs: Programs,
) -> dict[str, float] | None:
    """Trains from one seed; returns the best checkpoint's scores, None if a signal stopped it."""
    parallel, packing, loop, schedule, new_state, train_step, predict = programs
    train, dev = data["train"].encoded, data["dev"].encoded
    with run_lock(run), RunLog(run, config, loop.steps) as log:
        # --- State: the encoder with a new head, or the newest good checkpoint ----------------
        identity = {k: v for k, v in flatten(config).items() if k not in FREE_TO_CHANGE}
        identity |= {"encoder": fingerprint(encoder.params), "tokenizer": encoder.tokenizer.sha256}
        identity["data"] = hash_texts([*train, *dev])
        checkpoints = Checkpoints(run / "checkpoints", identity, keep_last=1, say=log.say)
        state = new_state(*jax.random.split(jax.random.key(config.seed)))
        if not config.from_scratch:
            pretrained = {"bert": encoder.params.get("bert", encoder.params)}
            state = state._replace(params=take_over(state.params, pretrained))
        state = parallel.get_state(parallel.put_state(state))
        restored = checkpoints.restore(state)
        state, start, _ = restored or (state, 0, {})
        log.resume(start)
        log.say(
            f"{run}: {count_parameters(state.params):,} parameters"
            f" on {parallel.num_devices} device(s), {loop.steps:,} steps of {config.batch_size},"
            f" from step {start:,}"
        )

        # --- Train ----------------------------------------------------------------------------
        metric, sign = choose_metric(task, config.metric)
        history = [sign * score for score in past_scores(run / "metrics.jsonl", metric)]

        def evaluate(params: Any, step: int) -> Evaluation:
            predictions, loss = predict(params, data["dev"])
            scores = task.score(data["dev"].examples, predictions)
            history.append(sign * scores[metric])
            stop = stopped_early(history, config.patience)
            if stop:
                log.say(f"step {step}: {config.patience} evaluations without a better {metric}")
            return Evaluation({"loss": loss, **scores}, criterion=-history[-1], stop=stop)

        def describe(step: int, values: dict[str, float]) -> dict[str, float]:
            if rate := values.get("steps_per_second"):
                values = values | {"examples_per_second": rate * config.batch_size}
            return with_progress(values, step, loop.steps, schedule)

        outcome = None
        with checkpoints:
            if not stopped_early(history, config.patience):
                outcome = fit(
                    parallel.put_state(state),
                    train_step,
                    train_batches(train, config.batch_size, packing, config.seed, start),
                    loop,
                    parallel=parallel,
                    evaluate=evaluate,
                    checkpoints=checkpoints,
                    log=log,
                    describe=describe,
                )
        if outcome is not None and outcome.stopped:
            return None

        # --- The best checkpoint: scores, report, model ---------------------------------------
        best, extra, _ = load_params(run, "best", log.say)
        best_params = parallel.put_state(best)
        scores: dict[str, float] = {}
        reports = {}
        for name in [name for name in ("dev", "test") if name in data]:
            predictions, _ = predict(best_params, data[name])
            found = task.score(data[name].examples, predictions)
            scores |= {f"{name} {k}": v for k, v in found.items()}
            reports[name] = make_report(task, data[name].examples, data[name].encoded, predictions)
        if jax.process_index() == 0:
            step = extra["step"]
            write_report(run / "evaluation" / str(step), str(run), reports)
            about = {"kind": task.kind, "max_length": config.max_length}
            problem = "regression" if task.kind == "regression" else None
            labels = task.labels if task.architecture in WITH_LABELS else ()
            model = Exported(
                encoder.config, task.architecture, best, encoder.tokenizer, labels, problem, about
            )
            write_directory(run / "model", model, model_card(config, encoder, task, reports))
            loss_plot(run / "metrics.jsonl", run / "plots" / "loss.svg", {})
            log.say("  ".join(f"{name} {value:.4f}" for name, value in scores.items()))
            log.say(f"report in {run}/evaluation/{step}, model in {run}/model")
    return scores


def with_length(config: FinetuneConfig, positions: int) -> FinetuneConfig:
    """Takes the model's positions where it has fewer than the configuration wants tokens."""
    if config.max_length > positions:
        print(f"max_length = {config.max_length} is cut to the model's {positions} positions")
        return replace(config, max_length=positions)
    return config


def compute(config: FinetuneConfig, encoder: Exported) -> Compute:
    """Chooses types and kernels for this machine; a loop over few layers only costs time."""
    attention = choose_attention(
        config.attention,
        platform=device_platform(),
        dtype=config.dtype,
        dropout_rate=encoder.config.attention_probs_dropout_prob,
    )
    is_shallow = encoder.config.num_hidden_layers <= SHALLOW
    return Compute(config.dtype, attention, unroll=is_shallow)


@errors_for_people
def command_line() -> int:
    """Reads the command line and runs `main`; returns the exit code."""
    return main(choose_run(RUNS, "finetune.py", __doc__))


if __name__ == "__main__":
    sys.exit(command_line())
