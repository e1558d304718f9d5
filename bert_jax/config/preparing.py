"""How raw text becomes pretraining rows: all that `prepare.py` takes."""

import dataclasses
from typing import Annotated, Literal

import tyro

from bert_jax.config.check import require


@dataclasses.dataclass(frozen=True)
class BeamConfig:
    """Apache Beam, for more text than one machine can prepare."""

    runner: str | None = None
    """DirectRunner, DataflowRunner, FlinkRunner, SparkRunner …; None works without Beam."""
    options: tuple[str, ...] = ()
    """More pipeline options, without their dashes: project=my-project region=us-central1."""


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """How raw text becomes pretraining rows."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Files, folders, globs (.txt, .gz, .xz, .jsonl, .parquet), or tfds:NAME."""
    output: str
    """Folder to write: vocabulary, report, and one data set for each length."""
    lengths: tuple[int, ...] = (128,)
    """Tokens in a row T; each length makes its own data set."""
    vocab: str | None = None
    """A vocab.txt to use; None trains one."""
    vocab_size: int = 30522
    """Size of the vocabulary that is trained."""
    lowercase: bool = False
    """Uncased: lower-case and strip accents (wrong for Korean: it takes Hangul apart)."""
    strip_accents: bool | None = None
    """None strips accents exactly when lower-casing; False is how to have uncased Korean."""
    text_column: str = "text"
    """Column of JSONL and Parquet files and of TFDS data sets that holds the text."""
    tfds_data_dir: str | None = None
    """Folder of TFDS data sets; None takes TFDS's default (the variable TFDS_DATA_DIR)."""
    sentences: Literal["auto", "lines", "split"] = "auto"
    """"lines": one sentence per line; "split": prose; "auto" looks at the text."""
    language: str = "en"
    """Language of the sentence splitter."""
    short_seq_prob: float = 0.1
    """Share of documents whose pairs get a random shorter target length."""
    dupe_factor: int = 1
    """Passes over each document, each with its own pairs."""
    pack: bool = True
    """Several pairs in one row; False gives one pair per row, as in the paper."""
    max_sequences: int | None = None
    """Most pairs in one row J; None takes T / 32, at least 2."""
    eval_share: float = 0.01
    """Share of documents held out for evaluation."""
    bundle_mb: float = 8.0
    """Text that one worker turns into one shard, in MB."""
    workers: int | None = None
    """Worker processes; None uses all cores."""
    seed: int = 0
    """Seed of the pairs and of the held-out split."""
    beam: BeamConfig = BeamConfig()
    """Build rows under Apache Beam, past one machine (needs the [beam] extra)."""

    def __post_init__(self):
        require(len(self.inputs) > 0, "inputs", self.inputs, "at least one file, folder or name")
        require(len(self.lengths) > 0, "lengths", self.lengths, "at least one length")
        for length in self.lengths:
            require(16 <= length <= 4096, "lengths", length, "16 to 4096 tokens")
        require(0 <= self.eval_share < 1, "eval_share", self.eval_share, "a number in [0, 1)")
        prob = self.short_seq_prob
        require(0 <= prob <= 1, "short_seq_prob", prob, "a number in [0, 1]")
        require(self.dupe_factor >= 1, "dupe_factor", self.dupe_factor, "at least 1")
        require(self.bundle_mb > 0, "bundle_mb", self.bundle_mb, "a positive number")
        require(self.vocab_size >= 100, "vocab_size", self.vocab_size, "at least 100")
