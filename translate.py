"""Trains and uses models that translate: `python translate.py NAME [--option value ...]`.

Any model of the road to BERT (LSTM with a fixed vector, with attention, GNMT, the Transformer), on
any pairs of texts. The same command again goes on where the run stopped; with --interactive,
--input FILE or --align "SENTENCE" it uses what was trained. Exit codes as pretrain.py's.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from bert_jax.config import TransformerConfig, TranslateConfig, flatten
from bert_jax.config.command_line import choose_run
from bert_jax.data.bitext import Pair, read_bitext
from bert_jax.data.bitext_batches import (
    Batching,
    EncodedPair,
    count_unknown,
    encode_pairs,
    eval_batches,
    steps_per_epoch,
    train_batches,
)
from bert_jax.data.rejects import Rejects
from bert_jax.data.subwords import Subwords, train_characters, train_subwords
from bert_jax.errors import EXIT_PREEMPTED, DataError, errors_for_people
from bert_jax.models.functional import count_parameters
from bert_jax.nn.attention import choose_attention, device_platform
from bert_jax.nn.compute import Compute
from bert_jax.reports.translations import write_evaluation
from bert_jax.tasks.translation import (
    SEARCH_ROWS,
    build_translator,
    corpus_bleu,
    exact_share,
    make_objective,
    make_searcher,
)
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.plots import loss_plot
from bert_jax.training.rundir import run_lock
from bert_jax.training.runlog import RunLog, with_progress
from bert_jax.training.step import init_state, make_eval_step, make_train_step
from bert_jax.training.store import load_params
from bert_jax.translator import (
    VOCABULARY,
    Translator,
    draw_alignment,
    load_translator,
    translate_file,
    warn_of_unknown,
)
from configs.translate import RUNS

# What may change between the parts of one run: it does not change what is computed.
FREE_TO_CHANGE = {
    "train", "dev", "test", "columns", "name", "runs_dir", "loop.log_every", "loop.eval_every",
    "loop.checkpoint_every", "loop.keep_last", "loop.max_bad_steps", "loop.watchdog_seconds",
    "search.num_beams", "search.length_penalty", "search.coverage_penalty", "search.extra_tokens",
    "tensorboard", "distributed", "parallel", "attention", "tfds_data_dir", "interactive", "input",
    "output", "align",
}  # fmt: skip


def main(config: TranslateConfig) -> int:
    """Trains one model, or uses it; returns the exit code."""
    if config.interactive or config.input is not None or config.align is not None:
        return use(config)
    if config.distributed:
        start_processes()
    if config.metric == "bleu":
        corpus_bleu(["a"], ["a"], config.bleu_tokenize)  # is it installed? Better asked now

    # --- Pairs and vocabulary -----------------------------------------------------------------
    rejects = Rejects()
    splits = [name for name in ("train", "dev", "test") if getattr(config, name)]
    texts = {name: read_split(config, name, rejects) for name in splits}
    vocabulary = make_vocabulary(config, texts["train"])
    config = replace(config, model=replace(config.model, vocab_size=vocabulary.size))
    pairs: dict[str, list[Pair]] = {}
    rows: dict[str, list[EncodedPair]] = {}
    for name in splits:
        most = config.model.max_positions
        pairs[name], rows[name] = encode_pairs(
            texts[name], vocabulary, most, config.source_length, rejects
        )

    # --- Model, objective, optimizer, step -----------------------------------------------------
    parallel = DataParallel(config.parallel)
    if config.batch_size is not None:
        parallel.check_batch_size(config.batch_size)
    init, bind = build_translator(config.model)
    init_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    objective = make_objective(bind, config.label_smoothing, compute(config))
    optimizer, schedule = make_optimizer(config.optimizer, config.loop.steps)
    train_step = parallel.spread(make_train_step(objective, optimizer))
    eval_step = parallel.spread(make_eval_step(objective), donate=False)
    most = config.model.max_positions
    greedy = make_searcher(bind, replace(config.search, num_beams=1), most, parallel)

    run = Path(config.runs_dir) / config.name
    with run_lock(run), RunLog(run, config, config.loop.steps, config.tensorboard) as log:
        # --- State: new, or the newest good checkpoint -----------------------------------------
        identity = {k: v for k, v in flatten(config).items() if k not in FREE_TO_CHANGE}
        identity |= {"vocabulary": vocabulary.sha256}
        identity["data"] = fingerprint([*rows["train"], *rows["dev"]])
        if config.batch_tokens is not None:  # so many rows as the devices can share
            identity["devices"] = str(parallel.num_devices)
        keep = config.loop.keep_last
        checkpoints = Checkpoints(run / "checkpoints", identity, keep, say=log.say)
        new_state = jax.jit(
            lambda key: init_state(init(key), optimizer, dropout_key),
            out_shardings=parallel.replicated,
        )
        restored = checkpoints.restore(jax.eval_shape(new_state, init_key))
        state, start, _ = restored or (new_state(init_key), 0, {})
        log.resume(start)
        if jax.process_index() == 0:
            vocabulary.save(run / VOCABULARY)
            rejects.write(run / "rejects.jsonl")
        for line in describe_pairs(pairs, rows, vocabulary, rejects):
            log.say(line)
        size, place = count_parameters(state.params), (jax.process_index(), jax.process_count())
        batching = Batching(
            config.batch_tokens, config.batch_size, parallel.num_devices, config.min_length
        )
        log.say(
            f"{run}: {size:,} parameters on {parallel.num_devices} device(s), from step {start:,};"
            f" {steps_per_epoch(rows['train'], batching):,} steps an epoch"
        )

        # --- Train -----------------------------------------------------------------------------
        def evaluate(params: Any, step: int) -> Evaluation:
            num_rows = -(-SEARCH_ROWS // parallel.num_devices) * parallel.num_devices
            held_out = (batch for _, batch in eval_batches(rows["dev"], num_rows, place))
            sums = sum_metrics(eval_step, params, held_out, parallel)
            values = {name: float(total / count) for name, (total, count) in sums.items()}
            del values["tokens"]  # of a batch, which says nothing here
            chosen = rows["dev"][: config.eval_pairs]
            found = greedy(params, [row.source for row in chosen])
            said = [vocabulary.decode(ids) for ids in found]
            values |= scores(config, said, pairs["dev"][: config.eval_pairs])
            return Evaluation(values, criterion=-values[config.metric])

        def describe(step: int, values: dict[str, float]) -> dict[str, float]:
            values = with_progress(values, step, config.loop.steps, schedule)
            tokens = values.pop("tokens", 0.0)
            if "steps_per_second" in values:
                values["tokens_per_second"] = tokens * values["steps_per_second"]
            return values

        with checkpoints:
            outcome = fit(
                parallel.put_state(state),
                train_step,
                train_batches(rows["train"], batching, config.seed, start, place),
                config.loop,
                parallel=parallel,
                evaluate=evaluate,
                checkpoints=checkpoints,
                log=log,
                describe=describe,
            )
        if outcome.stopped:
            print(f"saved step {outcome.step:,}; run the same command again to go on")
            return EXIT_PREEMPTED

        # --- The best checkpoint on the test set ----------------------------------------------
        if jax.process_index() == 0:
            loss_plot(run / "metrics.jsonl", run / "plots" / "loss.svg", {})
        name = "test" if "test" in pairs else "dev"
        best, _, _ = load_params(run, "best", log.say)
        translator = Translator(config, vocabulary, best, parallel)
        said = translator.translate([pair.source for pair in pairs[name]], config.search)
        found = scores(config, said, pairs[name])
        report = {name: found, "search": vars(config.search)}
        if config.metric == "bleu":
            bleu = corpus_bleu(said, references(config, pairs[name]), config.bleu_tokenize)
            report |= {"details": bleu.details, "signature": bleu.signature}
            log.say(f"{bleu.details}  {bleu.signature}")
        log.say(f"{name}: " + "  ".join(f"{k} {v:.4g}" for k, v in found.items()))
        if jax.process_index() == 0:
            write_evaluation(run, report, pairs[name], said)
    return 0


# --- Parts of a run -------------------------------------------------------------------------------


def read_split(config: TranslateConfig, split: str, rejects: Rejects) -> list[Pair]:
    """The pairs of a split."""
    return read_bitext(getattr(config, split), rejects, config.columns, config.tfds_data_dir)


def make_vocabulary(config: TranslateConfig, pairs: Sequence[Pair]) -> Subwords:
    """A vocabulary of both sides of the training pairs."""
    texts = [text for pair in pairs for text in (pair.source, pair.target)]
    if config.vocabulary == "characters":
        return train_characters(texts, config.lowercase)
    return train_subwords(texts, config.vocab_size, config.lowercase)


def compute(config: TranslateConfig) -> Compute:
    """Chooses types and kernels for this machine."""
    if not isinstance(config.model, TransformerConfig):
        return Compute()
    attention = choose_attention(
        config.attention,
        platform=device_platform(),
        dtype=config.dtype,
        dropout_rate=config.model.attention_probs_dropout_prob,
    )
    return Compute(config.dtype, attention)


def describe_pairs(
    pairs: dict[str, list[Pair]],
    rows: dict[str, list[EncodedPair]],
    vocabulary: Subwords,
    rejects: Rejects,
) -> list[str]:
    """What was read, and what was left out."""
    counts = ", ".join(f"{len(found):,} {name}" for name, found in pairs.items())
    lines = [f"pairs: {counts}; vocabulary of {vocabulary.size:,}"]
    for name, encoded in rows.items():
        if unknown := count_unknown(encoded):
            lines.append(f"warning: {unknown:,} pairs of {name} have symbols that are not in it")
    return lines + [f"warning: {line}" for line in rejects.summary()]


def scores(config: TranslateConfig, said: Sequence[str], pairs: Sequence[Pair]) -> dict[str, float]:
    """BLEU, where it is wanted, and the share of exact translations."""
    targets = references(config, pairs)
    found = {"exact": exact_share(said, targets)}
    if config.metric == "bleu":
        found["bleu"] = corpus_bleu(said, targets, config.bleu_tokenize).score
    return found


def references(config: TranslateConfig, pairs: Sequence[Pair]) -> list[str]:
    """What translations are compared with; lower-cased where the model writes lower case."""
    return [pair.target.lower() if config.lowercase else pair.target for pair in pairs]


def fingerprint(rows: Sequence[EncodedPair]) -> str:
    """A hash of the training pairs."""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


# --- Using what was trained -----------------------------------------------------------------------


def use(config: TranslateConfig) -> int:
    """Translates what is typed, or a file; or draws an alignment."""
    run = Path(config.runs_dir) / config.name
    translator = load_translator(run)
    if config.align is not None:
        draw_alignment(translator, config.align, config.search, run / "plots" / "alignment.svg")
    if config.input is not None:
        translate_file(translator, config.input, config.output, config.search)
    if config.interactive:
        print("one sentence a line; an empty line ends")
        for line in map(str.strip, sys.stdin):
            if not line:
                break
            warn_of_unknown(translator.vocabulary, [line], ["your text"])
            try:
                print(translator.translate([line], config.search, ["your text"])[0], flush=True)
            except DataError as error:
                print(error, file=sys.stderr)
    return 0


@errors_for_people
def command_line() -> int:
    """Reads the command line and runs `main`; returns the exit code."""
    return main(choose_run(RUNS, "translate.py", __doc__))


if __name__ == "__main__":
    sys.exit(command_line())
