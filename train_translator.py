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
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax

from bert_jax.config.command_line import choose_run, next_step
from bert_jax.drawing.curves import plot_loss
from bert_jax.errors import report_user_errors
from bert_jax.labelled.rejects import Rejects
from bert_jax.lineage.batch_decoding import SEARCH_ROWS, make_searcher
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
from bert_jax.lineage.config import TrainTranslatorConfig, TransformerConfig
from bert_jax.lineage.config.topics import TRAIN_TRANSLATOR
from bert_jax.lineage.evaluation import corpus_bleu, exact_share, write_evaluation
from bert_jax.lineage.subwords import Subwords, train_characters, train_subwords
from bert_jax.lineage.translation import build_translator, make_translation_objective
from bert_jax.lineage.translator import VOCABULARY, Translator
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution, choose_execution, device_platform
from bert_jax.remote.addresses import address
from bert_jax.reports.programs import report_training
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.compilation_cache import use_compilation_cache
from bert_jax.training.fit import Evaluation, fit, sum_metrics
from bert_jax.training.machine import choose_machine
from bert_jax.training.numerics import set_numerics
from bert_jax.training.optimizers import make_optimizer, warmup_warning
from bert_jax.training.parallel import DataParallel, start_processes
from bert_jax.training.processes import require_agreement
from bert_jax.training.run import Run, open_run, report_preemption
from bert_jax.training.rundir import run_folder
from bert_jax.training.runlog import read_metrics
from bert_jax.training.step import make_eval_step, make_state_init, make_train_step
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
    if config.batch_size is not None:
        parallel.check_batch_size(config.batch_size)
    batching = Batching(
        config.batch_tokens, config.batch_size, parallel.num_devices, config.min_length
    )
    init, merge = build_translator(config.model)
    init_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    objective = make_translation_objective(
        merge, config.label_smoothing, choose_translator_execution(config, parallel)
    )
    optimizer, schedule = make_optimizer(config.optimizer, config.loop.steps)
    train_step = parallel.shard(make_train_step(objective, optimizer))
    eval_step = parallel.shard(make_eval_step(objective), donate=False)
    init_train_state = make_state_init(init, optimizer, parallel.replicated)
    if config.dry_run:
        batches = translation_batches(encoded["train"], batching, config.seed)
        one_epoch = itertools.islice(batches, steps_per_epoch(encoded["train"], batching))
        return report_training(train_step, init_train_state, one_epoch, parallel, machine)
    use_compilation_cache(config.runs_dir)
    search_greedily = make_searcher(
        merge, replace(config.search, num_beams=1), config.model.max_positions, parallel
    )

    def evaluate(params: Any, step: int) -> Evaluation:
        num_rows = -(-SEARCH_ROWS // parallel.num_devices) * parallel.num_devices
        held_out = translation_eval_batches(encoded["dev"], num_rows, parallel.process)
        sums = sum_metrics(eval_step, params, (batch for _, batch in held_out), parallel)
        values = {name: float(total / count) for name, (total, count) in sums.items()}
        del values["tokens"]  # tokens per batch, which is meaningless here
        subset = slice(config.eval_pairs)
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
    new_state = functools.partial(init_train_state, init_key, dropout_key)
    with open_run(folder, config, config.loop, new_state, parallel=parallel, hashes=hashes) as run:
        begin(config, run, data, batching)
        outcome = fit(
            run,
            train_step,
            translation_batches(
                encoded["train"], batching, config.seed, run.start_step, parallel.process
            ),
            schedule=schedule,
            evaluate=evaluate,
            add_metrics=add_throughput,
        )
        if outcome.interrupted:
            return report_preemption(outcome.step)
        report_best(config, run, data)
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


def choose_translator_execution(config: TrainTranslatorConfig, parallel: DataParallel) -> Execution:
    """Choose dtypes and kernels; LSTMs always compute in float32."""
    if not isinstance(config.model, TransformerConfig):
        return DEFAULT_EXECUTION
    return choose_execution(
        config.attention,
        platform=device_platform(parallel.mesh.devices.flat[0]),
        dtype=config.dtype,
        dropout_rate=config.model.attention_probs_dropout_prob,
    )


def report_best(config: TrainTranslatorConfig, run: Run, data: Data) -> None:
    """Translate the test set (or dev, if there is no test set) with the best checkpoint.

    Write its scores and translations."""
    folder, parallel = run.folder, run.parallel
    split = "test" if "test" in data.pairs else "dev"
    pairs = data.pairs[split]
    best, _, _ = load_params(folder, "best", run.log.info)
    translator = Translator(config, data.vocabulary, best, parallel)
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
