"""Train a Neural Turing Machine on a memory task: `python copytask.py NAME [--option value ...]`.

It, or an LSTM without external memory, learns to copy, to copy several times, or to recall; then it
is tested on longer sequences. Re-run the same command to resume. Exit codes: 0 done, 2
configuration, 4 no usable checkpoint, 5 diverged, 6 watchdog, 75 saved after a signal (re-run the
command), 141 output closed by its reader.

Examples:
    python copytask.py copy
    python copytask.py copy_lstm --steps 20000 --name lstm
    python copytask.py repeat_copy --task.max-size 10
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bert_jax.config.command_line import choose_run, next_step
from bert_jax.drawing.curves import Panel, plot_loss
from bert_jax.drawing.heatmap import heat_map
from bert_jax.drawing.svg import stack_pictures
from bert_jax.errors import report_user_errors
from bert_jax.lineage.config import CopyTaskConfig
from bert_jax.lineage.config.topics import COPYTASK
from bert_jax.lineage.copying import (
    copying_batches,
    eval_batch,
    head_motion,
    make_copying_objective,
)
from bert_jax.lineage.ntm import NeuralTuringMachine, SequenceLSTM, run_ntm
from bert_jax.models.functional import build, count_parameters
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.numerics import set_numerics
from bert_jax.training.optimizers import make_optimizer, warmup_warning
from bert_jax.training.parallel import DataParallel
from bert_jax.training.run import Run, open_run, report_preemption
from bert_jax.training.rundir import run_folder
from bert_jax.training.runlog import read_metrics
from bert_jax.training.step import TrainState, make_eval_step, make_state_init, make_train_step
from configs.copytask import RUNS


def main(config: CopyTaskConfig) -> int:
    """Train one model, test it on all sizes, draw its heads; return the exit code."""
    set_numerics("float32")
    # --- Model, objective, optimizer, step ----------------------------------------------------
    task = config.task
    parallel = DataParallel(config.parallel, config.num_devices)
    for size in (config.batch_size, config.criterion_sequences, config.eval_sequences):
        parallel.check_batch_size(size)
    model = NeuralTuringMachine if config.model.kind == "ntm" else SequenceLSTM
    module = partial(model, in_width=task.in_width, out_width=task.out_width)
    init, merge = build(config.model, module)
    init_key, no_dropout = jax.random.split(jax.random.key(config.seed))
    objective = make_copying_objective(merge)
    optimizer, schedule = make_optimizer(config.optimizer, config.loop.steps)
    train_step = parallel.shard(make_train_step(objective, optimizer))
    eval_step = parallel.shard(make_eval_step(objective), donate=False)
    init_train_state = make_state_init(init, optimizer, parallel.replicated)

    def new_state() -> TrainState:
        return init_train_state(init_key, no_dropout)

    def measure(params: Any, batch: Any) -> dict[str, float]:
        sums = sum_metrics(eval_step, params, [batch], parallel)
        return {name: float(total / count) for name, (total, count) in sums.items()}

    # --- Train: start fresh, or resume from the newest good checkpoint --------------------------
    folder = run_folder(config.runs_dir, config.name)
    with open_run(folder, config, config.loop, new_state, parallel=parallel, hashes={}) as run:
        if warning := warmup_warning(config.optimizer, config.loop.steps):
            run.log.info(warning)
        converged_at: int | None = run.carry.get("converged_at")

        def evaluate(params: Any, step: int) -> Evaluation:
            nonlocal converged_at
            repeats, num = task.max_repeats, config.criterion_sequences
            seen, *longer = (
                measure(params, eval_batch(task, size, repeats, num, "dev"))
                for size in (task.max_size, *config.criterion_sizes)
            )
            values = {"loss": seen["cross_entropy"], "wrong_bits": seen["wrong_bits"]}
            values |= {
                f"wrong_bits_{size}": x["wrong_bits"]
                for size, x in zip(config.criterion_sizes, longer, strict=True)
            }
            stop = is_over(config, converged_at, step)
            if converged_at is None and values["wrong_bits"] < config.converged_bits:
                run.log.info(f"converged at step {step}: {values['wrong_bits']:.3f} wrong bits")
                converged_at = step
            criterion = sum(x["wrong_bits"] for x in (seen, *longer))
            return Evaluation(values, criterion, stop, carry={"converged_at": converged_at})

        if not is_over(config, converged_at, run.start_step):
            outcome = fit(
                run,
                train_step,
                copying_batches(task, config.batch_size, config.seed, run.start_step),
                schedule=schedule,
                evaluate=evaluate,
            )
            if outcome.interrupted:
                return report_preemption(outcome.step)

        # --- The best checkpoint: wrong bits by size, and the motion of the heads ---------------
        params, extra, _ = load_params(folder, "best", run.log.info)
        on_devices = parallel.put_state(params)
        report = {
            "task": task.name,
            "parameters": count_parameters(params),
            "converged_at": converged_at,
            "best_step": extra["step"],
            "sizes": [
                {"size": size, "repeats": repeats}
                | measure(on_devices, eval_batch(task, size, repeats, config.eval_sequences))
                for repeats in config.eval_repeats
                for size in config.eval_sizes
            ],
        }
        if config.model.kind == "ntm":
            report |= draw_heads(config, merge, params, folder / "plots" / "heads.svg")
        write_report(run, report)
    if parallel.is_first_process:
        print(next_comparison(config))
    return 0


def next_comparison(config: CopyTaskConfig) -> str:
    """Return the command that trains the other model, with or without a memory, on the task."""
    task = config.task.name
    if config.model.kind == "lstm":
        return next_step("copytask.py", task, purpose="the same with a memory")
    lstms = (name for name, run in RUNS.items() if run().model.kind == "lstm")
    name = next((name for name in lstms if RUNS[name]().task.name == task), None)
    options = ("--model.kind", "lstm", "--name", f"{task}_without_memory")
    arguments = (name,) if name else (task, *options)
    return next_step("copytask.py", *arguments, purpose="the same without a memory")


def write_report(run: Run, report: dict[str, Any]) -> None:
    """Write report.json, draw the loss curve, and log the report."""
    plots, evaluation = run.folder / "plots", run.folder / "evaluation" / str(report["best_step"])
    panel = Panel(baselines={"random bits": float(np.log(2))})
    plot_loss(read_metrics(run.folder / "metrics.jsonl"), plots / "loss.svg", [panel])
    evaluation.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2) + "\n"
    (evaluation / "report.json").write_text(text, encoding="utf-8")
    for line in describe_report(report):
        run.log.info(line)
    run.log.info(f"report in {evaluation}, curves and heads in {plots}")


def is_over(config: CopyTaskConfig, converged_at: int | None, step: int) -> bool:
    """Return whether a run has continued for long enough after it converged."""
    after = config.steps_after
    return converged_at is not None and after is not None and step >= converged_at + after


def draw_heads(
    config: CopyTaskConfig, merge: Callable[[Any], Any], params: Any, output: Path
) -> dict[str, float]:
    """Draw one sequence, the outputs, and the weightings of the heads at each step.

    As in figure 6 of Graves et al. 2014: time runs to the right; memory rows whose weight is never
    above 0.01 are left out.

    Returns:
        For the copy task, the measures of `head_motion` for the first heads; else an empty dict.
    """
    task = config.task
    batch = eval_batch(task, task.max_size, task.max_repeats, 1)
    logits, heads = jax.jit(lambda p, x: run_ntm(merge(p).cell, x))(params, batch["inputs"])
    outputs = np.asarray(jax.nn.sigmoid(logits[0])) * batch["scored"][0, :, None]
    shown = {"inputs": batch["inputs"][0], "targets": batch["targets"][0], "outputs": outputs}
    for kind, weightings in heads._asdict().items():
        for head in range(weightings.shape[2]):
            shown[f"{kind} head {head}"] = np.asarray(weightings[0, :, head])
    cell = max(4, min(14, 640 // len(outputs)))  # the same for all: time runs in columns
    pictures = []
    for title, matrix_TC in shown.items():
        used = np.flatnonzero(np.abs(matrix_TC).max(axis=0) > 0.01) if "head" in title else ...
        rows = np.arange(matrix_TC.shape[1])[used]
        names, steps = ([str(i) for i in numbers] for numbers in (rows, range(len(matrix_TC))))
        pictures.append(heat_map(matrix_TC[:, rows].T, names, steps, title, cell))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(stack_pictures(pictures), encoding="utf-8")
    if task.name != "copy" or task.max_size < 2:
        return {}
    writes, replays = head_motion(shown["write head 0"], shown["read head 0"], task.max_size)
    return {"writes_move_by_one": writes, "reads_replay_writes": replays}


def describe_report(report: dict[str, Any]) -> list[str]:
    """Format the report as lines of text."""
    lines = [f"best checkpoint: step {report['best_step']}; converged: {report['converged_at']}"]
    lines.append(f"{'size':>6} {'repeats':>8} {'wrong bits':>11} {'of all':>8}")
    for row in report["sizes"]:
        lines.append(
            f"{row['size']:6} {row['repeats']:8} {row['wrong_bits']:11.2f} {row['bit_error']:8.2%}"
        )
    for name in ("writes_move_by_one", "reads_replay_writes"):
        if name in report:
            lines.append(f"{name.replace('_', ' ')}: {report[name]:.0%} of steps")
    return lines


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    return main(choose_run(RUNS, "copytask.py", __doc__, COPYTASK))


if __name__ == "__main__":
    sys.exit(command_line())
