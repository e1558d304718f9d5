"""Fine-tune a pretrained encoder on labelled data: `python finetune.py NAME --encoder DIR`.

Scores, a report and the exported model go to runs/NAME. Re-run the same command to resume. Exit
codes are those of pretrain.py.

Examples:
    python finetune.py texts --encoder runs/tiny --train t.tsv --dev d.tsv
    python finetune.py wikiann --encoder runs/tiny --train t.conll --dev d.conll
    python finetune.py texts --train t.csv --dev d.csv --search --seeds 5
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from bert_jax.config import FinetuneConfig
from bert_jax.config.command_line import choose_run, next_step
from bert_jax.config.finetuning import fit_to_encoder
from bert_jax.config.topics import FINETUNE
from bert_jax.drawing.curves import plot_loss
from bert_jax.errors import EXIT_PREEMPTED, report_user_errors
from bert_jax.filesystem import write_text
from bert_jax.interop.huggingface import PretrainedModel, write_directory
from bert_jax.labelled.batching import finetuning_batches, hash_texts
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.texts import require_single_texts
from bert_jax.models.architectures import (
    WITH_LABELS,
    WITH_POOLER,
    architecture_of,
    trained_parts,
)
from bert_jax.models.functional import merge_pretrained
from bert_jax.pretrained import read_model
from bert_jax.remote.addresses import address
from bert_jax.remote.writing import publish
from bert_jax.reports.card import model_card
from bert_jax.reports.programs import report_programs
from bert_jax.reports.report import Report, make_report, write_report
from bert_jax.reports.seeds import describe_seeds
from bert_jax.tasks.finetuning_programs import TrainingSetup, largest_programs, set_up_training
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.prediction import decode_and_tune
from bert_jax.tasks.search import Trials, describe_trials, make_grid, search
from bert_jax.tasks.splits import Data, hash_inputs, read_splits
from bert_jax.tasks.task import Task, choose_metric
from bert_jax.training.ahead import compile_all
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.compilation_cache import use_compilation_cache
from bert_jax.training.early_stopping import stopped_early
from bert_jax.training.fit import Evaluation, fit
from bert_jax.training.machine import choose_machine, machine_at_hand
from bert_jax.training.numerics import set_numerics
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.processes import require_agreement
from bert_jax.training.run import Run, open_run, report_preemption
from bert_jax.training.rundir import run_folder
from bert_jax.training.runlog import read_metrics
from bert_jax.training.step import (
    TrainState,
)
from configs.finetune import RUNS


def main(config: FinetuneConfig, kinds: Mapping[str, type[Task]] = KINDS) -> int:
    """Fine-tune from one seed or several; return the exit code."""
    set_numerics(config.dtype, config.matmul_precision, config.deterministic)
    if config.distributed and not config.dry_run:
        start_processes()

    # --- Encoder and data ---------------------------------------------------------------------
    encoder = read_model(config.encoder, labels=False)
    config = fit_to_encoder(config, encoder.config, print)
    rejects = Rejects()
    task, data = read_splits(kinds[config.task], config, encoder.tokenizer, rejects, print)
    for line in rejects.summary():
        print(f"warning: {line}")
    if not encoder.config.takes_pairs:
        for split in data.values():
            require_single_texts(split.encoded, [example.place for example in split.examples])
    if architecture_of(encoder.config, task.head) in WITH_POOLER and not encoder.has_pooler:
        print(f"warning: {config.encoder} has no pooler: it starts from random weights")
    metric, sign = choose_metric(task, config.metric)
    if config.dry_run:
        return report_plan(config, encoder, task, data)
    use_compilation_cache(config.runs_dir)
    folder = run_folder(config.runs_dir, config.name)
    folder.mkdir(parents=True, exist_ok=True)
    rejects.write(folder / "rejects.jsonl")

    parallel = DataParallel(config.parallel)

    # --- A search for the best settings on dev, if asked for ----------------------------------
    if config.search:
        hashes = hash_inputs(encoder.params, encoder.tokenizer, data)

        def run_trial(trial: FinetuneConfig, folder: Path, data: Data) -> float | None:
            setup = set_up_training(trial, encoder, task, data, parallel)
            scores = finetune_one_seed(trial, folder, data, setup)
            return None if scores is None else scores[f"dev {metric}"]

        grid = make_grid(config, encoder.config)
        trials = Trials(folder, config, grid, data, hashes, run_trial)
        found = search(config, grid, trials.measure, sign)
        if found is None:
            return EXIT_PREEMPTED
        config = found
        print(f"search, by dev {metric}:\n{describe_trials(trials.finished, config)}")

    # --- One run, or one for each seed --------------------------------------------------------
    setup = set_up_training(config, encoder, task, data, parallel)
    results: dict[int, dict[str, float]] = {}
    for seed in range(config.seed, config.seed + config.seeds):
        seed_folder = folder if config.seeds == 1 else folder / f"seed-{seed}"
        scores = finetune_one_seed(replace(config, seed=seed), seed_folder, data, setup)
        if scores is None:
            return EXIT_PREEMPTED
        results[seed] = scores

    # --- All seeds together -------------------------------------------------------------------
    if config.seeds > 1 and setup.parallel.is_first_process:
        best = max(results, key=lambda seed: sign * results[seed][f"dev {metric}"])
        print(describe_seeds(results))
        write_text(folder / "summary.json", json.dumps(results, indent=2) + "\n")
        model = read_model(folder / f"seed-{best}")
        card = (folder / f"seed-{best}" / "model" / "README.md").read_text(encoding="utf-8")
        write_directory(folder / "model", model, card)
        print(f"best seed by dev {metric}: {best}; its model is in {address(folder)}/model")
    if setup.parallel.is_first_process:
        publish(folder)
        print(next_prediction(config, address(folder)))
    return 0


def next_prediction(config: FinetuneConfig, run: str) -> str:
    """Return the command that predicts the held-out texts, a line for each."""
    output = f"{config.name}_predictions.tsv"
    return next_step("predict.py", run, config.test or config.dev, "-o", output)


def report_plan(config: FinetuneConfig, encoder: PretrainedModel, task: Task, data: Data) -> int:
    """Print what training takes on the devices, or on `config.topology`; return the exit code."""
    machine = choose_machine(config.topology)
    parallel = DataParallel(devices=machine.devices)
    setup = set_up_training(config, encoder, task, data, parallel)
    return report_programs(largest_programs(config, setup, data), machine)


def finetune_one_seed(
    config: FinetuneConfig, folder: Path, data: Data, setup: TrainingSetup
) -> dict[str, float] | None:
    """Train with one seed; return the best checkpoint's scores, None if a signal stopped it."""
    task, encoder = setup.task, setup.encoder
    metric, sign = choose_metric(task, config.metric)
    train, dev = data["train"], data["dev"]
    pretrained = {} if config.from_scratch else trained_parts(encoder.params)

    def new_state() -> TrainState:
        state = setup.init_train_state(*jax.random.split(jax.random.key(config.seed)))
        return state._replace(params=merge_pretrained(state.params, pretrained))

    # Not part of what the run is, but all processes evaluate it together.
    require_agreement({"test data": hash_texts(data["test"].encoded) if "test" in data else None})
    with open_run(
        folder, config, setup.loop, new_state, parallel=setup.parallel, hashes=setup.hashes
    ) as run:
        # --- Train --------------------------------------------------------------------------------
        signed_scores: list[float] = [*run.carry.get("scores", [])]

        def evaluate(params: Any, step: int) -> Evaluation:
            outputs, loss = setup.predict(params, dev)
            tuned, predictions = decode_and_tune(task, dev, outputs)
            scores = tuned.score(dev.examples, predictions)
            signed_scores.append(sign * scores[metric])
            stop = stopped_early(signed_scores, config.patience)
            if stop:
                reason = f"{config.patience} evaluations without a better {metric}"
                run.log.info(f"early stopping at step {step}: {reason}")
            values = {"loss": loss, **scores}
            return Evaluation(values, -signed_scores[-1], stop, carry={"scores": [*signed_scores]})

        def add_throughput(step: int, values: dict[str, float]) -> dict[str, float]:
            rate = values.get("steps_per_second")
            return values | ({"examples_per_second": rate * config.batch_size} if rate else {})

        interrupted_at = None
        if not stopped_early(signed_scores, config.patience):
            ahead = largest_programs(config, setup, data) if run.start_step < run.loop.steps else []
            for compilation in compile_all(ahead, machine_at_hand()):
                run.log.info(str(compilation))
            batches = finetuning_batches(
                train.encoded, config.batch_size, setup.packing, config.seed, run.start_step
            )
            outcome = fit(
                run,
                setup.train_step,
                batches,
                schedule=setup.schedule,
                evaluate=evaluate,
                add_metrics=add_throughput,
            )
            interrupted_at = outcome.step if outcome.interrupted else None

        # --- The best checkpoint: scores, report, model -------------------------------------------
        if interrupted_at is None:
            return report_best(config, run, data, setup)
    report_preemption(interrupted_at)
    return None


def report_best(
    config: FinetuneConfig, run: Run, data: Data, setup: TrainingSetup
) -> dict[str, float]:
    """Score the best checkpoint on dev and test, and write its report and model directory."""
    encoder = setup.encoder
    best_params, extra, _ = load_params(run.folder, "best", run.log.info)
    params = setup.parallel.put_state(best_params)
    dev_outputs, _ = setup.predict(params, data["dev"])
    task, predictions = decode_and_tune(setup.task, data["dev"], dev_outputs)
    predicted = {"dev": predictions}
    if "test" in data:
        test, (outputs, _) = data["test"], setup.predict(params, data["test"])
        predicted["test"] = task.decode(test.examples, test.encoded, outputs)
    scores: dict[str, float] = {}
    reports: dict[str, Report] = {}
    for name, predictions in predicted.items():
        examples, encoded = data[name]
        scores |= {f"{name} {k}": v for k, v in task.score(examples, predictions).items()}
        reports[name] = make_report(task, examples, encoded, predictions)
    if setup.parallel.is_first_process:
        folder, shown, step = run.folder, address(run.folder), extra["step"]
        write_report(folder / "evaluation" / str(step), shown, reports, f"{shown}/model")
        name = architecture_of(encoder.config, task.head)
        model = PretrainedModel(
            encoder.config,
            name,
            best_params,
            encoder.tokenizer,
            labels=task.labels if name in WITH_LABELS else (),
            problem_type=task.problem_type,
            task={
                "kind": task.kind,
                "max_length": config.max_length,
                "columns": setup.columns,
                **task.options,
            },
        )
        write_directory(folder / "model", model, model_card(config, encoder, task, reports))
        plot_loss(read_metrics(folder / "metrics.jsonl"), folder / "plots" / "loss.svg")
        run.log.info("  ".join(f"{name} {value:.4f}" for name, value in scores.items()))
        for name, report in reports.items():
            for line in report["warnings"]:
                run.log.info(f"warning: {name}: {line}")
        run.log.info(f"report in {shown}/evaluation/{step}, model in {shown}/model")
    return scores


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    return main(choose_run(RUNS, "finetune.py", __doc__, FINETUNE))


if __name__ == "__main__":
    sys.exit(command_line())
