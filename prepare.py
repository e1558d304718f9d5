"""Prepares text for pretraining: `python prepare.py TEXT … --output FOLDER`.

Text → WordPiece vocabulary → sentence pairs → packed rows, and a report on the text. `--help` lists
the options.
"""

import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from bert_jax.config import PrepareConfig
from bert_jax.data.beam import build_with_beam
from bert_jax.data.build import Job
from bert_jax.data.bundles import BundleOptions, Corpus, identity_of, split_of
from bert_jax.data.cleaning import Findings
from bert_jax.data.datasets import REPORT, clear, finish_dataset
from bert_jax.data.report import describe, print_report
from bert_jax.data.rows import RowFormat
from bert_jax.data.sample import take_sample
from bert_jax.data.sources import ReadOptions, find_sources, group_parts
from bert_jax.data.spread import build_locally, num_cores
from bert_jax.data.tally import Tally
from bert_jax.data.tokenizer import Casing, Tokenizer, read_vocab
from bert_jax.data.vocabulary import train_vocab
from bert_jax.errors import errors_for_people

VOCAB_BYTES = 200 << 20  # text that a vocabulary is trained on; more is sampled down to this


def main(config: PrepareConfig, console: Console | None = None) -> dict:
    """Prepares a corpus and returns the report; `config.output` holds all else."""
    console = console or Console()
    output = Path(config.output)
    clock = Stopwatch()

    # --- Sources ---------------------------------------------------------------------------------
    findings = Findings()
    bundle_bytes = int(config.bundle_mb * 2**20)
    reading = ReadOptions(config.text_column, bundle_bytes, config.tfds_data_dir)
    cutting = BundleOptions(bundle_bytes, config.eval_share, config.seed)
    sources = find_sources(config.inputs, reading, findings, output)
    corpus = Corpus(group_parts(sources), reading, cutting)
    beginning = (member.text.decode() for member in corpus.members(Findings()))
    sample = take_sample(beginning, config.sentences, config.language)

    # --- Output folder: report.json goes first and comes last -------------------------------------
    output.mkdir(parents=True, exist_ok=True)
    (output / REPORT).unlink(missing_ok=True)
    clock.lap("look")

    # --- Tokenizer --------------------------------------------------------------------------------
    casing = Casing(config.lowercase, config.strip_accents)
    if config.vocab is None:
        texts = partial(training_texts, corpus)
        vocab = train_vocab(texts, config.vocab_size, casing)
    else:
        vocab = read_vocab(Path(config.vocab))
    tokenizer = Tokenizer(vocab, casing)
    tokenizer.save(output / "tokenizer", model_max_length=max(config.lengths))
    clock.lap("vocabulary")

    # --- Rows -------------------------------------------------------------------------------------
    formats = tuple(
        RowFormat(length, max_sequences(config, length), tokenizer.vocab_size)
        for length in sorted(set(config.lengths))
    )
    for row_format in formats:
        folder = output / f"T{row_format.length}"
        folder.mkdir(exist_ok=True)
        clear(folder)
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

    tally = Tally(tokenizer.vocab_size)
    if config.beam.runner is None:
        workers = config.workers or num_cores()
        all_built = build_locally(corpus, job, findings, workers)
    else:
        all_built = build_with_beam(corpus, job, findings, config.beam)
    for built in all_built:
        tally.add(built)
    tally.refuse_what_cannot_work(config.eval_share, findings)
    clock.lap("rows")

    # --- Data sets and report --------------------------------------------------------------------
    for row_format in formats:
        folder = output / f"T{row_format.length}"
        finish_dataset(folder, row_format, tally.shards[row_format.length])
    report = describe(config, tokenizer, tally, findings, sample, formats)
    clock.lap("data sets")
    report["timing"] = clock.report(report["text"]["bytes"])
    write_report(output, report)
    print_report(report, console)
    return report


def training_texts(corpus: Corpus) -> Iterator[str]:
    """Texts of the training split, a sample of them where there are more than VOCAB_BYTES."""
    share = VOCAB_BYTES / max(corpus.num_bytes, 1)
    for number, member in enumerate(corpus.members(Findings())):
        chosen = identity_of(f"{member.identity}/{number}".encode()) < share * 2**64
        if chosen and split_of(member.identity, corpus.cutting) == "train":
            yield member.text.decode()


def max_sequences(config: PrepareConfig, length: int) -> int:
    """Most pairs in a row J."""
    if not config.pack:
        return 1
    return config.max_sequences or max(2, length // 32)


def write_report(output: Path, report: dict[str, Any]) -> None:
    """Writes report.json, all or nothing: that it is there says that the folder is finished."""
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    unfinished = output / f"{REPORT}.partial"
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(output / REPORT)


class Stopwatch:
    """Seconds of each stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Ends a stage."""
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now

    def report(self, num_bytes: int) -> dict[str, Any]:
        """Seconds by stage, and the speed of row making."""
        return {
            "seconds": self.seconds,
            "rows_mb_per_s": num_bytes / 1e6 / max(self.seconds["rows"], 1e-9),
        }


@errors_for_people
def command_line() -> int:
    """Reads the command line and runs `main`; returns the exit code."""
    main(tyro.cli(PrepareConfig, description=__doc__))
    return 0


if __name__ == "__main__":
    sys.exit(command_line())
