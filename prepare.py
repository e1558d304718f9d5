"""Prepare text for pretraining: `python prepare.py TEXT … --output FOLDER`.

Text → WordPiece vocabulary → sentence pairs → packed rows, with a data report. `--help` lists the
options. Exit codes: 0 done, 2 configuration, 3 data, 141 output closed by its reader.
"""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from bert_jax.config import PrepareConfig
from bert_jax.corpus.beam import build_with_beam
from bert_jax.corpus.build import Job
from bert_jax.corpus.bundles import BundleOptions, Corpus
from bert_jax.corpus.cleaning import Findings
from bert_jax.corpus.datasets import REPORT, finish_dataset, start_dataset
from bert_jax.corpus.report import make_data_report, print_report, save_report
from bert_jax.corpus.rows import RowFormat
from bert_jax.corpus.sample import take_sample, training_texts
from bert_jax.corpus.sources import ReadOptions, find_sources, group_parts
from bert_jax.corpus.tally import Tally
from bert_jax.corpus.workers import build_with_workers, count_cores
from bert_jax.errors import report_user_errors
from bert_jax.tokenizer.tokenizer import Casing, Tokenizer, read_vocab
from bert_jax.tokenizer.vocabulary import train_vocab


def main(config: PrepareConfig, console: Console | None = None) -> dict:
    """Prepare a corpus, write it to `config.output`, and return the data report."""
    output = Path(config.output)
    findings = Findings()
    stopwatch = Stopwatch()

    # --- Sources ---------------------------------------------------------------------------------
    bundle_bytes = int(config.bundle_mb * 2**20)
    read_options = ReadOptions(config.text_column, bundle_bytes, config.tfds_data_dir)
    bundle_options = BundleOptions(bundle_bytes, config.eval_share, config.seed)
    sources = find_sources(config.inputs, read_options, findings, output)
    corpus = Corpus(group_parts(sources), read_options, bundle_options)
    sample = take_sample(corpus.texts(), config.sentences, config.language)

    # --- Output folder: report.json is removed first and written last ----------------------------
    output.mkdir(parents=True, exist_ok=True)
    (output / REPORT).unlink(missing_ok=True)
    stopwatch.lap("scan")

    # --- Tokenizer -------------------------------------------------------------------------------
    casing = Casing(config.lowercase, config.strip_accents)
    if config.vocab is None:
        vocab = train_vocab(partial(training_texts, corpus), config.vocab_size, casing)
    else:
        vocab = read_vocab(Path(config.vocab))
    tokenizer = Tokenizer(vocab, casing)
    tokenizer.save(output / "tokenizer", model_max_length=max(config.lengths))
    stopwatch.lap("vocabulary")

    # --- Rows: one shard for each bundle of documents and each length ----------------------------
    formats = tuple(
        RowFormat(length, config.max_pairs(length), tokenizer.vocab_size)
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
    for stats in all_stats:
        tally.add(stats)
    tally.check_splits(config.eval_share, findings)
    stopwatch.lap("rows")

    # --- Data sets and data report ---------------------------------------------------------------
    for row_format in formats:
        shards = tally.shards[row_format.length]
        finish_dataset(output / row_format.folder_name, row_format, shards)
    report = make_data_report(config, tokenizer, tally, findings, sample, formats)
    stopwatch.lap("data sets")
    report["timing"] = stopwatch.report(report["text"]["bytes"])
    save_report(output, report)
    print_report(report, console or Console())
    return report


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


@report_user_errors
def command_line() -> int:
    """Run `main` with the options of the command line, and return the exit code."""
    main(tyro.cli(PrepareConfig, description=__doc__))
    return 0


if __name__ == "__main__":
    sys.exit(command_line())
