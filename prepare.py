"""Prepare text for pretraining: `python prepare.py TEXT … --output FOLDER`.

Text → WordPiece, BPE or Unigram vocabulary → sentence pairs → packed rows, with a data report. Exit
codes: 0 done, 2 configuration, 3 data, 130 Ctrl-C, 141 output closed by its reader.

Examples:
    python prepare.py wiki/*.txt --output data/corpus --lengths 32 128
    python prepare.py posts.jsonl --no-nsp --tokenizer bpe --output data/posts
    python prepare.py new/ --vocab runs/tiny --output data/new
"""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from bert_jax.config import PrepareConfig
from bert_jax.config.command_line import next_step, read_options
from bert_jax.config.topics import PREPARE
from bert_jax.corpus.beam import build_with_beam
from bert_jax.corpus.build import Job
from bert_jax.corpus.bundles import BundleOptions, Corpus
from bert_jax.corpus.datasets import (
    REPORT,
    finish_dataset,
    remove_if_unfinished,
    start_dataset,
)
from bert_jax.corpus.report import make_data_report, print_report, save_report
from bert_jax.corpus.rows import RowFormat
from bert_jax.corpus.sample import Sample, check_documents, take_sample, training_texts
from bert_jax.corpus.tally import Tally
from bert_jax.corpus.workers import build_with_workers, count_cores
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.filesystem import lock_folder
from bert_jax.progress import Progress
from bert_jax.reading.cleaning import Findings
from bert_jax.reading.sources import ReadOptions, find_sources, group_parts
from bert_jax.remote.addresses import is_address
from bert_jax.remote.reading import fetch_name
from bert_jax.remote.writing import local_output
from bert_jax.tokenizer.new_words import add_words
from bert_jax.tokenizer.opening import open_tokenizer
from bert_jax.tokenizer.rules import MAX_WORD_CHARS, Casing
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.tokenizer.training import train_bpe, train_unigram
from bert_jax.tokenizer.vocabulary import train_vocab
from configs.pretrain import tiny


def main(config: PrepareConfig, console: Console | None = None) -> dict:
    """Prepare a corpus, write it to `config.output`, and return the data report."""
    if config.beam.runner is not None and is_address(config.output):
        raise ConfigError(
            f"--output {config.output} with --beam.runner {config.beam.runner}",
            "a folder that all workers share: each of them writes its shards there",
            "pass such a folder, and copy it to the store afterwards",
        )
    with local_output(config.output) as output:
        return prepare(replace(config, output=str(output)), console or Console())


def prepare(config: PrepareConfig, console: Console) -> dict:
    """Prepare a corpus, write it to the local folder `config.output`, and return the report."""
    output = Path(config.output)
    findings = Findings()
    stopwatch = Stopwatch()

    # --- Sources ---------------------------------------------------------------------------------
    bundle_bytes = int(config.bundle_mb * 2**20)
    read_options = ReadOptions(
        text_column=config.text_column,
        piece_chars=bundle_bytes,
        tfds_data_dir=config.tfds_data_dir,
        encoding=config.encoding,
        documents=config.documents,
    )
    bundle_options = BundleOptions(bundle_bytes, config.eval_share, config.seed, 1 + config.nsp)
    inputs = [fetch_name(name) for name in config.inputs]
    sources = find_sources(inputs, read_options, findings, output)
    corpus = Corpus(group_parts(sources), read_options, bundle_options)
    texts = corpus.texts(sample_findings := Findings())
    sample = take_sample(texts, config.sentences, config.language, sample_findings)
    stopwatch.lap("scan")

    # --- Output folder ---------------------------------------------------------------------------
    with (
        lock_folder(output, "another prepare.py"),
        remove_if_unfinished(output, config.lengths),
    ):
        report = write_data(config, corpus, sample, findings, stopwatch)
    print_report(report, console)
    return report


def write_data(
    config: PrepareConfig,
    corpus: Corpus,
    sample: Sample,
    findings: Findings,
    stopwatch: "Stopwatch",
) -> dict:
    """Write the tokenizer, the rows and the data report to `config.output`; return the report."""
    output = Path(config.output)

    # --- Tokenizer -------------------------------------------------------------------------------
    tokenizer = make_tokenizer(config, corpus)
    casing = tokenizer.casing  # a folder's tokenizer brings its own
    config = replace(config, lowercase=casing.lowercase, strip_accents=casing.strip_accents)
    (output / REPORT).unlink(missing_ok=True)  # it is written last: until then nothing is finished
    tokenizer.save(output / "tokenizer", model_max_length=max(config.lengths))
    stopwatch.lap("vocabulary")

    # --- Rows: one shard for each bundle of documents and each length ----------------------------
    formats = tuple(
        RowFormat(
            length,
            config.max_pairs(length),
            tokenizer.vocab_size,
            config.nsp,
            len(tokenizer.between),
        )
        for length in sorted(set(config.lengths))
    )
    for row_format in formats:
        start_dataset(output / row_format.folder_name)
    job = Job(
        output=str(output),
        tokenizer_sha256=tokenizer.sha256,
        formats=formats,
        seed=config.seed,
        short_seq_prob=config.short_seq_prob,
        dupe_factor=config.dupe_factor,
        sentences=sample.mode,
        language=config.language,
    )
    if config.beam.runner is None:
        num_workers = config.workers or count_cores()
        all_stats = build_with_workers(corpus, job, findings, num_workers)
    else:
        all_stats = build_with_beam(corpus, job, findings, config.beam)
    tally = Tally(tokenizer.vocab_size)
    total = corpus.num_bytes / 1e6
    with contextlib.closing(all_stats), Progress("rows", total, "MB") as progress:
        for stats in all_stats:  # closed, so that no worker writes on after an error
            tally.add(stats)
            progress.advance(stats.num_bytes / 1e6)
    tally.check_splits(corpus.bundle_options, findings)
    stopwatch.lap("rows")

    # --- Data sets and data report ---------------------------------------------------------------
    for row_format in formats:
        shards = tally.shards[row_format.length]
        finish_dataset(output / row_format.folder_name, row_format, shards)
    report = make_data_report(config, tokenizer, tally, findings, sample, formats)
    stopwatch.lap("data sets")
    report["timing"] = stopwatch.report(report["text"]["bytes"])
    save_report(output, report)
    return report


def make_tokenizer(config: PrepareConfig, corpus: Corpus) -> Tokenizer:
    """Train a tokenizer on the corpus, or take the given one; then add the new words.

    Raises:
        ConfigError: the given vocabulary or the words cannot be used.
        DataError: the corpus has no text to train on, or too few documents.
    """
    casing = Casing(config.lowercase, config.strip_accents)
    max_chars = config.max_word_length or MAX_WORD_CHARS
    if config.vocab is None:
        texts = partial(training_texts, corpus, "reading for the vocabulary")
        if config.tokenizer == "wordpiece":
            vocab = train_vocab(texts, config.vocab_size, casing, max_chars)
            tokenizer = Tokenizer(vocab, casing, max_word_chars=max_chars)
        else:
            train = {"bpe": train_bpe, "unigram": train_unigram}[config.tokenizer]
            tokenizer = train(texts, config.vocab_size, casing)
    else:
        tokenizer = open_tokenizer(
            config.vocab, config.lowercase, config.strip_accents, config.max_word_length
        )
        check_documents(corpus)
    if config.add_tokens is None:
        return tokenizer
    extended = add_words(tokenizer, fetch_name(config.add_tokens))
    print(
        f"{config.add_tokens}: {extended.vocab_size - tokenizer.vocab_size:,} new words, ids from "
        f"{tokenizer.vocab_size:,}; the others are tokens already"
    )
    return extended


def next_pretraining(config: PrepareConfig) -> str:
    """Return the command that pretrains a small model on what was prepared."""
    shortest, longest = str(min(config.lengths)), str(max(config.lengths))
    arguments = ["pretrain.py", "tiny", "--data", config.output]
    for phase, length in zip(tiny().phases, (shortest, longest), strict=True):
        if str(phase.length) != length:
            arguments += [f"--phases.{tiny().phases.index(phase)}.length", length]
    if max(config.lengths) > tiny().model.max_position_embeddings:
        arguments += ["--model.max-position-embeddings", longest]
    return next_step(*arguments)


class Stopwatch:
    """Measure the seconds of each stage, one after the other."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage, and begin the next."""
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now

    def report(self, num_bytes: int) -> dict[str, Any]:
        """Return the seconds by stage, and the speed of making rows from `num_bytes` of text."""
        return {
            "seconds": self.seconds,
            "rows_mb_per_s": num_bytes / 1e6 / max(self.seconds["rows"], 1e-9),
        }


@contextlib.contextmanager
def exit_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `SystemExit`, so that the output folder is left clean."""

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # the second one ends the process at once
        print(f"stopped by {signal.Signals(number).name}", file=sys.stderr)
        sys.exit(128 + number)

    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) == signal.SIG_DFL  # `nohup` has SIGHUP ignored
    ]
    earlier = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@report_user_errors
def command_line() -> int:
    """Run `main` with the options of the command line, and return the exit code."""
    with exit_on_signals():
        config = read_options(PrepareConfig, "prepare.py", __doc__, PREPARE)
        main(config)
    print(next_pretraining(config))
    return 0


if __name__ == "__main__":
    sys.exit(command_line())
