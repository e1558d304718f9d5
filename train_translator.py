"""Train a translation model: `python train_translator.py NAME [--option value ...]`.

Models: LSTM with a fixed context vector or with attention, GNMT, Transformer, on any pairs of
texts; translate.py uses the trained model. Re-run the same command to resume. Exit codes are
those of pretrain.py.

Examples:
    python train_translator.py dates
    python train_translator.py multi30k --train t.en t.de --dev d.en d.de
    python train_translator.py chatbot --train talk.tsv --dev dev.tsv --name talk
"""

import functools
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax

from bert_jax.config.command_line import choose_run, next_step
from bert_jax.drawing.curves import plot_loss
from bert_jax.errors import report_user_errors
from bert_jax.labelled.rejects import Rejects
from bert_jax.lineage.batch_decoding import Searcher, rows_together
from bert_jax.lineage.bitext import Pair, read_bitext
from bert_jax.lineage.bitext_batches import (
    Batching,
    EncodedPair,
    count_unknown,
    encode_pairs,
    steps_per_epoch,
    translation_batches,
    translation_eval_batches,
)
from bert_jax.lineage.config import SearchConfig, TrainTranslatorConfig
from bert_jax.lineage.config.topics import TRAIN_TRANSLATOR
from bert_jax.lineage.evaluation import corpus_bleu, exact_share, write_evaluation
from bert_jax.lineage.subwords import Subwords, train_characters, train_subwords
from bert_jax.lineage.translation_programs import build_programs, largest_programs
from bert_jax.lineage.translator import VOCABULARY, Translator
from bert_jax.remote.addresses import address
from bert_jax.reports.programs import report_programs
from bert_jax.training.ahead import compile_all
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.compilation_cache import use_compilation_cache
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.machine import choose_machine
from bert_jax.training.numerics import set_numerics
from bert_jax.training.optimizers import warmup_warning
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.processes import require_agreement
from bert_jax.training.run import Run, open_run, report_preemption
from bert_jax.training.rundir import run_folder
from bert_jax.training.runlog import read_metrics
from configs.train_translator import RUNS


def main(config: TrainTranslatorConfig) -> int:
    """Train one model; return the exit code."""
    set_numerics(config.dtype)
    if config.distributed and not config.dry_run:
        start_processes()
    if config.metric == "bleu":
        corpus_bleu(["a"], ["a"], config.bleu_tokenize)  # fail now if sacrebleu is not installed

    # --- Pairs and vocabulary -----------------------------------------------------------------
    data = read_data(config)
    pairs, encoded, vocabulary = data.pairs, data.encoded, data.vocabulary
    config = replace(config, model=replace(config.model, vocab_size=vocabulary.size))

    # --- Model, objective, optimizer, step -----------------------------------------------------
    machine = choose_machine(config.topology)
    parallel = DataParallel(
        "shard_map" if config.dry_run else config.parallel, None, machine.devices
    )
    programs = build_programs(config, parallel)
    if config.dry_run:
        return report_programs(largest_programs(config, programs, encoded), machine)
    use_compilation_cache(config.runs_dir)

    def evaluate(params: Any, step: int) -> Evaluation:
        num_rows = rows_together(parallel.num_devices)
        held_out = translation_eval_batches(encoded["dev"], num_rows, parallel.process)
        sums = sum_metrics(programs.eval_step, params, (batch for _, batch in held_out), parallel)
        values = {name: float(total / count) for name, (total, count) in sums.items()}
        del values["tokens"]  # tokens per batch, which is meaningless here
        subset = slice(config.eval_pairs)
        search_greedily = programs.searchers[programs.greedy]
        predicted = search_greedily(params, [pair.source for pair in encoded["dev"][subset]])
        translations = [vocabulary.decode(ids) for ids in predicted]
        values |= scores(config, translations, pairs["dev"][subset])
        return Evaluation(values, criterion=-values[config.metric])

    # --- Train: start fresh, or resume from the newest good checkpoint --------------------------
    folder = run_folder(config.runs_dir, config.name)
    hashes = {
        "vocabulary": vocabulary.sha256,
        "data": hash_pairs([*encoded["train"], *encoded["dev"]]),
    }
    # Not part of what the run is, but all processes translate it together.
    require_agreement({"test data": hash_pairs(encoded["test"]) if "test" in encoded else None})
    if config.batch_tokens is not None:  # the number of rows depends on the devices that share them
        hashes["devices"] = str(parallel.num_devices)
    keys = jax.random.split(jax.random.key(config.seed))
    new_state = functools.partial(programs.init_state, *keys)
    with open_run(folder, config, config.loop, new_state, parallel=parallel, hashes=hashes) as run:
        begin(config, run, data, programs.batching)
        unfinished = run.start_step < config.loop.steps
        ahead = largest_programs(config, programs, encoded) if unfinished else []
        for compilation in compile_all(ahead, machine):
            run.log.info(str(compilation))
        batches = translation_batches(
            encoded["train"], programs.batching, config.seed, run.start_step, parallel.process
        )
        outcome = fit(
            run,
            programs.train_step,
            batches,
            schedule=programs.schedule,
            evaluate=evaluate,
            add_metrics=add_throughput,
        )
        if outcome.interrupted:
            return report_preemption(outcome.step)
        report_best(config, run, data, programs.searchers)
    if parallel.is_first_process:
        print(next_step("translate.py", address(folder)))
    return 0


# --- Parts of a run -------------------------------------------------------------------------------


class Data(NamedTuple):
    """Pairs of texts, by split ("train", "dev", "test")."""

    pairs: dict[str, list[Pair]]
    encoded: dict[str, list[EncodedPair]]
    vocabulary: Subwords
    rejects: Rejects


def add_throughput(step: int, values: dict[str, float]) -> dict[str, float]:
    """Replace the tokens of a step by tokens per second."""
    tokens = values.pop("tokens", 0.0)
    rate = values.get("steps_per_second")
    return values | ({"tokens_per_second": tokens * rate} if rate else {})


def read_data(config: TrainTranslatorConfig) -> Data:
    """Read and encode all splits; build the vocabulary from both sides of the training pairs."""
    rejects = Rejects()
    texts = {
        split: read_bitext(names, rejects, config.columns, config.tfds_data_dir)
        for split in ("train", "dev", "test")
        if (names := getattr(config, split))
    }
    both_sides = [text for pair in texts["train"] for text in (pair.source, pair.target)]
    if config.vocabulary == "characters":
        vocabulary = train_characters(both_sides, config.lowercase)
    else:
        vocabulary = train_subwords(both_sides, config.vocab_size, config.lowercase)
    data = Data({}, {}, vocabulary, rejects)
    for split, split_pairs in texts.items():
        data.pairs[split], data.encoded[split] = encode_pairs(
            split_pairs, vocabulary, config.model.max_positions, config.source_length, rejects
        )
    return data


def begin(config: TrainTranslatorConfig, run: Run, data: Data, batching: Batching) -> None:
    """Save the vocabulary and the rejected rows, and log what the run trains on."""
    if run.parallel.is_first_process:
        data.vocabulary.save(run.folder / VOCABULARY)
        data.rejects.write(run.folder / "rejects.jsonl")
    for line in describe_data(data):
        run.log.info(line)
    if warning := warmup_warning(config.optimizer, config.loop.steps):
        run.log.info(warning)
    run.log.info(f"{steps_per_epoch(data.encoded['train'], batching):,} steps per epoch")


def describe_data(data: Data) -> list[str]:
    """Summarize the pairs, the vocabulary, unknown symbols and rejected rows, line by line."""
    counts = ", ".join(f"{len(pairs):,} {split}" for split, pairs in data.pairs.items())
    lines = [f"pairs: {counts}; vocabulary of {data.vocabulary.size:,}"]
    for split, encoded in data.encoded.items():
        if unknown := count_unknown(encoded):
            lines.append(f"warning: {unknown:,} {split} pairs have symbols outside the vocabulary")
    return lines + [f"warning: {line}" for line in data.rejects.summary()]


def report_best(
    config: TrainTranslatorConfig,
    run: Run,
    data: Data,
    searchers: Mapping[SearchConfig, Searcher],
) -> None:
    """Translate the test set (or dev, if there is no test set) with the best checkpoint.

    Write its scores and translations."""
    folder, parallel = run.folder, run.parallel
    split = "test" if "test" in data.pairs else "dev"
    pairs = data.pairs[split]
    best, _, _ = load_params(folder, "best", run.log.info)
    translator = Translator(config, data.vocabulary, best, parallel, searchers)
    translations = translator.translate([pair.source for pair in pairs], config.search)
    values = scores(config, translations, pairs)
    report = {split: values, "search": vars(config.search)}
    if config.metric == "bleu":
        bleu = corpus_bleu(translations, references(config, pairs), config.bleu_tokenize)
        report |= {"details": bleu.details, "signature": bleu.signature}
        run.log.info(f"{bleu.details}  {bleu.signature}")
    run.log.info(f"{split}: " + "  ".join(f"{name} {x:.4g}" for name, x in values.items()))
    if parallel.is_first_process:
        write_evaluation(folder, report, pairs, translations)
        plot_loss(read_metrics(folder / "metrics.jsonl"), folder / "plots" / "loss.svg")


def scores(
    config: TrainTranslatorConfig, translations: Sequence[str], pairs: Sequence[Pair]
) -> dict[str, float]:
    """Return the share of exact translations, and BLEU where it is the metric."""
    targets = references(config, pairs)
    values = {"exact": exact_share(translations, targets)}
    if config.metric == "bleu":
        values["bleu"] = corpus_bleu(translations, targets, config.bleu_tokenize).score
    return values


def references(config: TrainTranslatorConfig, pairs: Sequence[Pair]) -> list[str]:
    """Return the reference translations, lower-cased where the model writes lower case."""
    return [pair.target.lower() if config.lowercase else pair.target for pair in pairs]


def hash_pairs(encoded: Sequence[EncodedPair]) -> str:
    """Return a hash of encoded pairs."""
    return hashlib.sha256(json.dumps(encoded).encode()).hexdigest()


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    return main(choose_run(RUNS, "train_translator.py", __doc__, TRAIN_TRANSLATOR))


if __name__ == "__main__":
    sys.exit(command_line())
