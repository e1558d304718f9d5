"""Prepares text for pretraining: `python prepare.py TEXT … --output FOLDER`.

Text → WordPiece vocabulary → sentence pairs → packed rows, and a report on the text. `--help` lists
the options.
"""

import itertools
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
from bert_jax.data.build import Job
from bert_jax.data.bundles import (
    BundleOptions,
    cut_bundles,
    identity_of,
    read_members,
    split_of,
)
from bert_jax.data.cleaning import Findings
from bert_jax.data.datasets import clear, finish_dataset
from bert_jax.data.prepared import REPORT
from bert_jax.data.report import describe, print_report
from bert_jax.data.rows import RowFormat
from bert_jax.data.sample import take_sample
from bert_jax.data.sources import ReadOptions, Source, find_sources, group_parts
from bert_jax.data.spread import build_all, num_cores
from bert_jax.data.tally import Tally
from bert_jax.data.tokenizer import Casing, Tokenizer, read_vocab
from bert_jax.data.vocabulary import train_vocab
from bert_jax.errors import UserError

VOCAB_BYTES = 200 << 20  # text that a vocabulary is trained on; more is sampled down to this


def prepare(config: PrepareConfig, console: Console | None = None) -> dict:
    """Prepares a corpus and returns the report; `config.output` holds all else."""
    console = console or Console()
    output = Path(config.output)
    clock = Stopwatch()

    # --- Sources ---------------------------------------------------------------------------------
    findings = Findings()
    reading = ReadOptions(config.text_column, int(config.bundle_mb * 2**20), config.tfds_data_dir)
    cutting = BundleOptions(int(config.bundle_mb * 2**20), config.eval_share, config.seed)
    parts = group_parts(find_sources(config.inputs, reading, findings))
    sample = take_sample(read_all(parts, reading), config.sentences, config.language)

    # --- Output folder: report.json goes first and comes last -------------------------------------
    output.mkdir(parents=True, exist_ok=True)
    (output / REPORT).unlink(missing_ok=True)
    clock.lap("look")

    # --- Tokenizer --------------------------------------------------------------------------------
    casing = Casing(config.lowercase, config.strip_accents)
    if config.vocab is None:
        texts = partial(training_texts, parts, reading, cutting)
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

    bundles = itertools.chain.from_iterable(
        cut_bundles(read_members(part, reading, findings), number, cutting, findings)
        for number, part in enumerate(parts)
    )
    size = sum(estimated_bytes(source) for part in parts for source in part)
    workers = min(config.workers or num_cores(), max(1, size // cutting.bundle_bytes))
    tally = Tally(tokenizer.vocab_size)
    for built in build_all(bundles, job, workers):
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


def read_all(parts: list[list[Source]], reading: ReadOptions) -> Iterator[str]:
    """All texts, for a first look: what is wrong in them is counted when rows are made."""
    for part in parts:
        for member in read_members(part, reading, Findings()):
            yield member.text.decode()


def training_texts(
    parts: list[list[Source]], reading: ReadOptions, cutting: BundleOptions
) -> Iterator[str]:
    """Texts of the training split, a sample of them where there are more than VOCAB_BYTES."""
    size = sum(estimated_bytes(source) for part in parts for source in part)
    share = VOCAB_BYTES / max(size, 1)
    for part in parts:
        for number, member in enumerate(read_members(part, reading, Findings())):
            chosen = identity_of(f"{member.identity}/{number}".encode()) < share * 2**64
            if chosen and split_of(member.identity, cutting) == "train":
                yield member.text.decode()


def estimated_bytes(source: Source) -> int:
    """Size of a source's text, by rule of thumb for compressed files."""
    return source.num_bytes * (3 if source.name.endswith((".gz", ".xz", ".parquet")) else 1)


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


def main() -> int:
    """Reads the command line and prepares; a user's error is three lines and an exit code."""
    try:
        prepare(tyro.cli(PrepareConfig, description=__doc__))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
