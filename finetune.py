"""Fine-tunes a pretrained encoder on labelled data: `python finetune.py NAME --encoder DIR`.

Scores, a report and the model for use go to runs/NAME. The same command again goes on where it
stopped. Exit codes as pretrain.py's.
"""

import hashlib
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from bert_jax.config import FinetuneConfig, LoopConfig, OptimizerConfig, flatten
from bert_jax.data.batching import eval_batches, steps_per_epoch, train_batches
from bert_jax.data.rejects import Rejects
from bert_jax.errors import EXIT_PREEMPTED, ConfigError, errors_for_people
from bert_jax.interop.huggingface import Exported, write_directory
from bert_jax.models.architectures import WITH_LABELS, architecture
from bert_jax.models.functional import build, count_parameters
from bert_jax.nn.attention import choose_attention, device_platform
from bert_jax.nn.compute import Compute
from bert_jax.pretrained import read_model
from bert_jax.reports.card import model_card
from bert_jax.reports.report import make_report, write_report
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.labelled import Labelled, read_labelled
from bert_jax.tasks.task import Task, make_objective, make_predict_step
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.fit import Evaluation, fit
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.plots import loss_plot
from bert_jax.training.rundir import run_lock
from bert_jax.training.runlog import RunLog, read_metrics
from bert_jax.training.step import init_state, make_train_step
from bert_jax.training.store import load_params
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
    if config.dry_run:
        return 0
    run = Path(config.runs_dir) / config.name
    run.mkdir(parents=True, exist_ok=True)
    rejects.write(run / "rejects.jsonl")

    # --- One run, or one for each seed --------------------------------------------------------
    results: dict[int, dict[str, float]] = {}
    for seed in range(config.seed, config.seed + config.seeds):
        folder = run if config.seeds == 1 else run / f"seed-{seed}"
        scores = finetune(replace(config, seed=seed), folder, encoder, task, data)
        if scores is None:
            print("saved; run the same command again to go on")
            return EXIT_PREEMPTED
        results[seed] = scores

    # --- All seeds together -------------------------------------------------------------------
    if config.seeds > 1 and jax.process_index() == 0:
        metric = config.metric or task.metric
        best = max(results, key=lambda seed: results[seed][f"dev {metric}"])
        print_summary(results)
        (run / "summary.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        export = read_model(run / f"seed-{best}")
        card = (run / f"seed-{best}" / "model" / "README.md").read_text(encoding="utf-8")
        write_directory(run / "model", export, card)
        print(f"the best by dev {metric}, seed {best}, is in {run}/model")
    return 0


def finetune(
    config: FinetuneConfig, run: Path, encoder: Exported, task: Task, data: dict[str, Labelled]
) -> dict[str, float] | None:
    """Trains from one seed; returns the best checkpoint's scores, None if a signal stopped it."""
    # --- Model, objective, optimizer, step ----------------------------------------------------
    parallel = DataParallel(config.parallel)
    for size in (config.batch_size, config.eval_batch_size):
        parallel.check_batch_size(size)
    train, dev = data["train"].rows, data["dev"].rows
    labels = task.labels if task.architecture in WITH_LABELS else ()
    init, bind = build(encoder.config, architecture(task.architecture, len(labels)))
    head_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    how = compute(config, encoder)
    epoch_steps = steps_per_epoch(len(train), config.batch_size)
    loop = loop_config(config, epoch_steps)
    optimizer, schedule = make_optimizer(optimizer_config(config, loop.steps), loop.steps)
    objective = make_objective(task, bind, how)
    train_step = parallel.spread(make_train_step(objective, optimizer, dropout_key))
    predict_step = parallel.spread(make_predict_step(bind, how), donate=False)

    with run_lock(run), RunLog(run, config, loop.steps) as log:
        # --- State: the encoder with a new head, or the newest good checkpoint ----------------
        identity = {k: v for k, v in flatten(config).items() if k not in FREE_TO_CHANGE}
        identity |= {"encoder": fingerprint(encoder.params), "tokenizer": encoder.tokenizer.sha256}
        identity["data"] = fingerprint([row._asdict() for row in (*train, *dev)])
        checkpoints = Checkpoints(run / "checkpoints", identity, keep_last=1, say=log.say)
        params = jax.jit(init)(head_key)
        if not config.from_scratch:
            params = with_encoder(params, encoder)
        new_state = parallel.get_state(parallel.put_state(init_state(params, optimizer)))
        restored = checkpoints.restore(new_state)
        state, start, _ = restored or (new_state, 0, {})
        log.resume(start)
        log.say(
            f"{run}: {count_parameters(params):,} parameters on {parallel.num_devices} device(s),"
            f" {loop.steps:,} steps of {config.batch_size}, from step {start:,}"
        )

        # --- Train ----------------------------------------------------------------------------
        predict = predictor(task, parallel, predict_step, config, encoder.tokenizer.pad_id)
        metric = config.metric or task.metric
        history = past_scores(run / "metrics.jsonl", metric)

        def evaluate(params: Any, step: int) -> Evaluation:
            scores = task.score(data["dev"].examples, predict(params, data["dev"]))
            if metric not in scores:
                raise ConfigError(
                    f"metric = {metric!r} is none of this task's", f"one of {', '.join(scores)}",
                    "pass another --metric",
                )  # fmt: skip
            history.append(scores[metric])
            stop = stopped_early(config, history)
            if stop:
                log.say(f"step {step}: {config.patience} evaluations without a better {metric}")
            return Evaluation(scores, criterion=-scores[metric], stop=stop)

        batches = train_batches(
            train,
            config.batch_size,
            config.max_length,
            encoder.tokenizer.pad_id,
            config.seed,
            start,
            (jax.process_index(), jax.process_count()),
        )
        outcome = None
        if not stopped_early(config, history):
            outcome = fit(
                parallel.put_state(state),
                train_step,
                batches,
                loop,
                parallel=parallel,
                evaluate=evaluate,
                checkpoints=checkpoints,
                log=log,
                describe=describe_speed(config, schedule, loop.steps),
            )
        checkpoints.close()
        if outcome is not None and outcome.stopped:
            return None

        # --- The best checkpoint: scores, report, model ---------------------------------------
        best, extra, _ = load_params(run, "best", log.say)
        best_params = parallel.put_state(best)
        scores: dict[str, float] = {}
        reports = {}
        for name in [name for name in ("dev", "test") if name in data]:
            predictions = predict(best_params, data[name])
            found = task.score(data[name].examples, predictions)
            scores |= {f"{name} {k}": v for k, v in found.items()}
            reports[name] = make_report(task, data[name].examples, data[name].rows, predictions)
        if jax.process_index() == 0:
            step = extra["step"]
            write_report(run / "evaluation" / str(step), str(run), reports)
            about = {"kind": task.kind, "max_length": config.max_length}
            problem = "regression" if task.kind == "regression" else None
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


def with_encoder(params: dict[str, Any], encoder: Exported) -> dict[str, Any]:
    """New parameters with the trained encoder in place; a pooler that it lacks stays new."""
    trained = encoder.params.get("bert", encoder.params)
    return params | {"bert": {name: trained.get(name, x) for name, x in params["bert"].items()}}


def optimizer_config(config: FinetuneConfig, steps: int) -> OptimizerConfig:
    """AdamW with bias correction, and a warm-up that is a share of the steps."""
    return OptimizerConfig(
        learning_rate=config.learning_rate,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
    )


def loop_config(config: FinetuneConfig, epoch_steps: int) -> LoopConfig:
    """Epochs as steps; a checkpoint stands beside every evaluation."""
    every = max(1, round(epoch_steps / config.evals_per_epoch))
    return LoopConfig(
        steps=max(1, round(config.epochs * epoch_steps)),
        log_every=config.log_every,
        eval_every=every,
        checkpoint_every=every,
        keep_last=1,
    )


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


def predictor(
    task: Task,
    parallel: DataParallel,
    predict_step: Callable,
    config: FinetuneConfig,
    pad_id: int,
) -> Callable[[Any, Labelled], list[dict[str, Any]]]:
    """Predictions for a set of labelled data, spread over all devices."""

    def predict(params: Any, labelled: Labelled) -> list[dict[str, Any]]:
        outputs: list[np.ndarray] = [np.empty(0)] * len(labelled.rows)
        place = (jax.process_index(), jax.process_count())
        bare = [row._replace(targets={}) for row in labelled.rows]
        batches = eval_batches(bare, config.eval_batch_size, config.max_length, pad_id, place)
        for numbers, batch in batches:
            found = parallel.get(predict_step(params, parallel.put_batch(batch)))
            for number, output in zip(numbers, found, strict=False):
                outputs[number] = output[: len(labelled.rows[number].tokens)]
        return task.decode(labelled.examples, labelled.rows, outputs)

    return predict


def past_scores(metrics: Path, metric: str) -> list[float]:
    """What the evaluations of a run that is resumed have found."""
    records = read_metrics(metrics) if metrics.exists() else []
    return [record[metric] for record in records if record["split"] == "eval"]


def stopped_early(config: FinetuneConfig, history: Sequence[float]) -> bool:
    """Whether the last evaluations, as many as patience has, brought nothing better."""
    patience = config.patience
    return (
        patience is not None
        and bool(history)
        and len(history) - 1 - int(np.argmax(history)) >= patience
    )


def describe_speed(config: FinetuneConfig, schedule: Any, steps: int) -> Callable:
    """Adds learning rate, examples per second and the time left to a step's metrics."""

    def describe(step: int, values: dict[str, float]) -> dict[str, float]:
        values = values | {"learning_rate": float(np.asarray(schedule(step - 1)))}
        if rate := values.get("steps_per_second"):
            values["examples_per_second"] = rate * config.batch_size
            values["eta_seconds"] = (steps - step) / rate
        return values

    return describe


def fingerprint(tree: Any) -> str:
    """A hash of arrays and plain values."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def print_summary(results: dict[int, dict[str, float]]) -> None:
    """Mean and standard deviation of every score over the seeds."""
    print(f"{len(results)} seeds, mean ± standard deviation:")
    for name in next(iter(results.values())):
        values = [scores[name] for scores in results.values()]
        print(f"  {name:24} {statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}")


@errors_for_people
def command_line() -> int:
    """Reads the command line and runs `main`; returns the exit code."""
    docs = {name: (run.__doc__ or "", run()) for name, run in RUNS.items()}
    name = next((argument for argument in sys.argv[1:] if argument in RUNS), "")
    config = tyro.extras.overridable_config_cli(docs, prog="finetune.py", description=__doc__)
    return main(replace(config, name=config.name or name))


if __name__ == "__main__":
    sys.exit(command_line())
