"""Strings of letters: length against a fixed vector, depth against a stack without residual
connections, and the Transformer without its causal mask or its positions.

python -m benchmarks.lineage.toys [--only length depth transformer] [--seeds 1]
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.lineage.figures import draw_curves
from benchmarks.lineage.trial import (
    RUNS_DIR,
    accuracy,
    judge,
    make_pairs,
    reverse,
    sort,
    train,
    write_pairs,
)
from benchmarks.lineage.verdicts import Verdict, print_verdicts
from bert_jax.config import LoopConfig, OptimizerConfig
from bert_jax.lineage.config import Seq2SeqConfig, TrainTranslatorConfig, TransformerConfig
from bert_jax.lineage.translator import Translator
from bert_jax.training.runlog import read_metrics

LENGTHS = (2, 5, 10, 15, 20, 25, 30)


@dataclass(frozen=True)
class Options:
    """Benchmarks, seeds and figure."""

    only: tuple[str, ...] = ("length", "depth", "transformer")
    """Benchmarks to run."""
    seeds: int = 3
    """Runs of each model; mutants run once."""
    figure: str | None = None
    """File to draw the length curve to, for example docs/figures/length.svg."""


def main(options: Options) -> int:
    """Run the benchmarks; return the exit code."""
    benchmarks = {"length": length_curve, "depth": depth, "transformer": transformer}
    return max([benchmarks[name](options) for name in options.only])


def make_run(
    model: Seq2SeqConfig | TransformerConfig,
    task: Callable[[str], str],
    longest: int,
    steps: int,
    optimizer: OptimizerConfig,
    seed: int,
) -> TrainTranslatorConfig:
    """Return a run on strings of 1 to `longest` letters."""
    name = f"{task.__name__}_{longest}_{seed}"
    folder, lengths = Path(RUNS_DIR) / "data", range(1, longest + 1)
    return TrainTranslatorConfig(
        model=model,
        train=(write_pairs(folder / f"{name}.tsv", task, lengths, 100_000, seed),),
        dev=(write_pairs(folder / f"{name}_dev.tsv", task, lengths, 300, seed + 1000),),
        vocabulary="characters",
        batch_tokens=None,
        batch_size=64,
        min_length=longest + 1,  # one shape
        label_smoothing=0.0,
        metric="exact",
        optimizer=optimizer,
        loop=LoopConfig(
            steps=steps, eval_every=steps // 6, checkpoint_every=steps // 6, log_every=100
        ),
        seed=seed,
    )


def adam(rate: float) -> OptimizerConfig:
    """Return Adam at a constant rate, with clipping."""
    return OptimizerConfig(
        learning_rate=rate, warmup_steps=0, schedule="constant", weight_decay=0.0, eps=1e-8,
        clip_norm=5.0,
    )  # fmt: skip


# --- Length ---------------------------------------------------------------------------------------


def length_curve(options: Options) -> int:
    """Reverse strings by a fixed vector and by attention, with about as many parameters."""
    models = {
        "fixed vector": Seq2SeqConfig(embedding_size=32, hidden_size=80, attention="none"),
        "attention": Seq2SeqConfig(embedding_size=32, hidden_size=64),
    }
    curves: dict[str, list[list[float]]] = {name: [] for name in models}
    near, peaks = [], []
    for seed in range(options.seeds):
        for name, model in models.items():
            config = make_run(model, reverse, 20, 3000, adam(2e-3), seed)
            translator = train(config, f"length-{name.replace(' ', '_')}-{seed}")
            curves[name].append([accuracy(translator, reverse, n) for n in LENGTHS])
            if name == "attention":
                hits, peak = diagonal(translator)
                near.append(hits)
                peaks.append(peak)
    for name, values in curves.items():
        means = "  ".join(f"{n}: {v:.3f}" for n, v in zip(LENGTHS, np.mean(values, 0), strict=True))
        print(f"{name:14} exact by length  {means}")
    if options.figure:
        lines = {name: np.mean(values, axis=0).tolist() for name, values in curves.items()}
        x_name = "letters in the string (trained on 1 to 20)"
        draw_curves(Path(options.figure), lines, LENGTHS, x_name, "share reversed exactly")
    at_20 = LENGTHS.index(20)
    fixed = [c[at_20] for c in curves["fixed vector"]]
    rises = [max(np.diff(c)) for c in curves["fixed vector"]]
    return print_verdicts("Reversing 1 to 20 letters, 3,000 updates, greedy", [
        judge("attention: exact at 20", [c[at_20] for c in curves["attention"]], ">= 0.95"),
        judge("fixed vector: exact at 20", fixed, "<= 0.2"),
        judge("fixed vector: largest rise from a length to the next", rises, "<= 0.02"),
        judge("attention: within one position of the mirrored letter, at 20", near, ">= 0.98"),
        judge("attention: mean of the largest weight, at 20", peaks, ">= 0.5"),
    ])  # fmt: skip


def diagonal(translator: Translator) -> tuple[float, float]:
    """Return the share of letters aligned within one position, and the mean largest weight."""
    pairs = make_pairs(reverse, range(20, 21), 200, seed=1)
    hits, peaks = [], []
    for alignment in translator.align([a for a, _ in pairs], [b for _, b in pairs]):
        weights = alignment.weights[:20]
        hits.append(np.abs(weights.argmax(axis=1) - np.arange(19, -1, -1)) <= 1)
        peaks.append(weights.max(axis=1))
    return float(np.mean(hits)), float(np.mean(peaks))


# --- Depth ----------------------------------------------------------------------------------------


def depth(options: Options) -> int:
    """Train 8 + 8 LSTM layers with and without residual connections."""
    tokens: dict[bool, list[float]] = {True: [], False: []}
    exact: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(options.seeds):
        for residual in (True, False):
            model = Seq2SeqConfig(
                embedding_size=64, hidden_size=64, num_layers=8, residual=residual
            )
            config = make_run(model, reverse, 10, 900, adam(1e-3), seed)
            name = f"depth-{'residual' if residual else 'plain'}-{seed}"
            translator = train(config, name)
            metrics = read_metrics(Path(RUNS_DIR) / name / "metrics.jsonl")
            last = [record for record in metrics if record["split"] == "eval"][-1]
            tokens[residual].append(last["token_accuracy"])
            exact[residual].append(
                float(np.mean([accuracy(translator, reverse, n) for n in range(1, 11)]))
            )
    return print_verdicts("8 + 8 LSTM layers, reversing 1 to 10 letters, 900 updates", [
        judge("residual: letters right, given those before", tokens[True], ">= 0.95"),
        judge("residual: exact, greedy, lengths 1 to 10", exact[True], ">= 0.9"),
        judge("no residual: letters right, given those before", tokens[False], "<= 0.4"),
    ])  # fmt: skip


# --- The Transformer ------------------------------------------------------------------------------


def transformer(options: Options) -> int:
    """Reverse and sort; then reverse without the causal mask, and without positions."""
    model = TransformerConfig(
        hidden_size=64, num_encoder_layers=2, num_decoder_layers=2, num_attention_heads=4,
        intermediate_size=256, hidden_dropout_prob=0.0,
    )  # fmt: skip
    optimizer = OptimizerConfig(
        learning_rate=2e-3, warmup_steps=200, schedule="inverse_sqrt", b2=0.98, eps=1e-9,
        weight_decay=0.0, clip_norm=None,
    )  # fmt: skip
    scores: dict[str, list[float]] = {"reverse": [], "sort": []}
    for seed in range(options.seeds):
        for task in (reverse, sort):
            config = make_run(model, task, 20, 2500, optimizer, seed)
            translator = train(config, f"transformer-{task.__name__}-{seed}")
            scores[task.__name__].append(accuracy(translator, task, 20))
    config = make_run(model, reverse, 20, 1500, optimizer, 0)
    module = "bert_jax.lineage.transformer"
    no_mask = mock.patch(f"{module}.causal_mask", lambda t: jnp.ones((1, 1, t, t), bool))
    no_positions = mock.patch(f"{module}.sinusoids", lambda t, d: jnp.zeros((t, d)))
    verdicts: list[Verdict] = [
        judge("reverse: exact at 20", scores["reverse"], ">= 0.95"),
        judge("sort: exact at 20", scores["sort"], ">= 0.85"),
    ]
    for name, mutant in (("no causal mask", no_mask), ("no positions", no_positions)):
        translator = train(config, f"transformer-{name.replace(' ', '_')}", mutant)
        with mutant:
            exact = [accuracy(translator, reverse, 20)]
        verdicts.append(judge(f"reverse, {name}: exact at 20", exact, "<= 0.0"))
    return print_verdicts("Transformer, 2 + 2 layers of 64, greedy", verdicts)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
