"""Tries what a memory is good for: `python copytask.py NAME [--option value ...]`.

A Neural Turing Machine, or an LSTM without a memory, learns to copy, to copy several times, or to
recall; then it is tried on longer sequences. The same command again goes on where the run stopped.
Exit codes: 0 done, 2 configuration, 4 no usable checkpoint, 5 diverged, 6 watchdog, 75 saved after
a signal (run the command again).
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bert_jax.config import CopyTaskConfig, flatten
from bert_jax.config.command_line import choose_run
from bert_jax.errors import EXIT_PREEMPTED, errors_for_people
from bert_jax.models.functional import build, count_parameters
from bert_jax.models.ntm import NeuralTuringMachine, SequenceLSTM, run_ntm
from bert_jax.reports.heatmap import heat_map, stack_pictures
from bert_jax.tasks.copying import eval_batch, head_motion, make_objective, train_batches
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel
from bert_jax.training.plots import loss_plot
from bert_jax.training.rundir import run_lock
from bert_jax.training.runlog import RunLog, read_metrics, with_progress
from bert_jax.training.step import init_state, make_eval_step, make_train_step
from bert_jax.training.store import load_params
from configs.copytask import RUNS

# What may change between the parts of one run: it does not change what is computed.
FREE_TO_CHANGE = {
    "name", "runs_dir", "loop.log_every", "loop.eval_every", "loop.checkpoint_every",
    "loop.keep_last", "loop.max_bad_steps", "loop.watchdog_seconds", "eval_sizes", "eval_repeats",
    "eval_sequences", "steps_after", "num_devices", "parallel", "tensorboard",
}  # fmt: skip


def main(config: CopyTaskConfig) -> int:
    """Trains one model, tries it on all sizes, draws what it does; returns the exit code."""
    # --- Model, objective, optimizer, step ----------------------------------------------------
    task = config.task
    parallel = DataParallel(config.parallel, config.num_devices)
    for size in (config.batch_size, config.criterion_sequences, config.eval_sequences):
        parallel.check_batch_size(size)
    model = NeuralTuringMachine if config.model.kind == "ntm" else SequenceLSTM
    init, bind = build(
        config.model, partial(model, in_width=task.in_width, out_width=task.out_width)
    )
    init_key, no_dropout = jax.random.split(jax.random.key(config.seed))
    objective = make_objective(bind)
    optimizer, schedule = make_optimizer(config.optimizer, config.loop.steps)
    train_step = parallel.spread(make_train_step(objective, optimizer))
    eval_step = parallel.spread(make_eval_step(objective), donate=False)

    run = Path(config.runs_dir) / config.name
    with run_lock(run), RunLog(run, config, config.loop.steps, config.tensorboard) as log:
        # --- State: new, or the newest good checkpoint -----------------------------------------
        identity = {k: v for k, v in flatten(config).items() if k not in FREE_TO_CHANGE}
        checkpoints = Checkpoints(run / "checkpoints", identity, config.loop.keep_last, say=log.say)
        new_state = jax.jit(
            lambda key: init_state(init(key), optimizer, no_dropout),
            out_shardings=parallel.replicated,
        )
        restored = checkpoints.restore(jax.eval_shape(new_state, init_key))
        state, start, _ = restored or (new_state(init_key), 0, {})
        log.resume(start)
        log.say(f"{run}: {count_parameters(state.params):,} parameters, from step {start:,}")

        # --- Train -----------------------------------------------------------------------------
        def measure(params: Any, batch: Any) -> dict[str, float]:
            sums = sum_metrics(eval_step, params, [batch], parallel)
            return {name: float(total / count) for name, (total, count) in sums.items()}

        def evaluate(params: Any, step: int) -> Evaluation:
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
            before = converged_at(run / "metrics.jsonl", config.converged_bits)
            if before is None and values["wrong_bits"] < config.converged_bits:
                log.say(f"converged at step {step}: {values['wrong_bits']:.3f} wrong bits")
            criterion = sum(x["wrong_bits"] for x in (seen, *longer))
            return Evaluation(values, criterion, stop=is_over(config, before, step))

        outcome = None
        with checkpoints:
            converged = converged_at(run / "metrics.jsonl", config.converged_bits)
            if not is_over(config, converged, start):
                outcome = fit(
                    parallel.put_state(state),
                    train_step,
                    train_batches(task, config.batch_size, config.seed, start),
                    config.loop,
                    parallel=parallel,
                    evaluate=evaluate,
                    checkpoints=checkpoints,
                    log=log,
                    describe=lambda step, values: with_progress(
                        values, step, config.loop.steps, schedule
                    ),
                )
        if outcome is not None and outcome.stopped:
            print(f"saved step {outcome.step:,}; run the same command again to go on")
            return EXIT_PREEMPTED

        # --- The best checkpoint: wrong bits by size, and where the heads went ------------------
        params, extra, _ = load_params(run, "best", log.say)
        on_devices = parallel.put_state(params)
        cases = [(size, n) for n in config.eval_repeats for size in config.eval_sizes]
        report = {
            "task": task.name,
            "parameters": count_parameters(params),
            "converged_at": converged_at(run / "metrics.jsonl", config.converged_bits),
            "best_step": extra["step"],
            "sizes": [
                {"size": size, "repeats": n}
                | measure(on_devices, eval_batch(task, size, n, config.eval_sequences))
                for size, n in cases
            ],
        }
        plots = run / "plots"
        loss_plot(run / "metrics.jsonl", plots / "loss.svg", {"knows nothing": float(np.log(2))})
        if config.model.kind == "ntm":
            report |= draw_heads(config, bind, params, plots / "heads.svg")
        folder = run / "evaluation" / str(extra["step"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        for line in describe_report(report):
            log.say(line)
        log.say(f"report in {folder}, curves and heads in {plots}")
    return 0


def converged_at(metrics: Path, wrong_bits: float) -> int | None:
    """The first evaluation with fewer wrong bits at the largest size in training."""
    records = read_metrics(metrics) if metrics.exists() else []
    evaluations = (x for x in records if x["split"] == "eval")
    return next((x["step"] for x in evaluations if x["wrong_bits"] < wrong_bits), None)


def is_over(config: CopyTaskConfig, converged: int | None, step: int) -> bool:
    """Whether a run has gone on for long enough after it has converged."""
    after = config.steps_after
    return converged is not None and after is not None and step >= converged + after


def draw_heads(
    config: CopyTaskConfig, bind: Callable[[Any], Any], params: Any, output: Path
) -> dict[str, float]:
    """Draws one sequence, what the machine makes of it, and where its heads stand meanwhile.

    As in figure 6 of Graves et al. 2014: time runs to the right; rows of the memory that a head
    never weighs with more than 0.01 are left out.

    Returns:
        For the copy task, by `head_motion`, what the first heads do.
    """
    task = config.task
    batch = eval_batch(task, task.max_size, task.max_repeats, 1)
    logits, heads = jax.jit(lambda p, x: run_ntm(bind(p).cell, x))(params, batch["inputs"])
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
    """The report as lines of text."""
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


@errors_for_people
def command_line() -> int:
    """Reads the command line and runs `main`; returns the exit code."""
    return main(choose_run(RUNS, "copytask.py", __doc__))


if __name__ == "__main__":
    sys.exit(command_line())
