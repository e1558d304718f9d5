"""Options of `prepare.py`: raw text to pretraining rows."""

import dataclasses
from typing import Annotated, Literal

import tyro

from bert_jax.config.check import require


@dataclasses.dataclass(frozen=True)
class BeamConfig:
    """Options of Apache Beam, for more text than one machine can prepare."""

    runner: str | None = None
    """DirectRunner, DataflowRunner, FlinkRunner, SparkRunner …. None: no Beam."""
    options: tuple[str, ...] = ()
    """Further pipeline options, without dashes: project=my-project region=us-central1."""


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Options for preparing text."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Files, folders, globs (.txt, .gz, .xz, .jsonl, .parquet), or tfds:NAME."""
    output: str
    """Folder to write: vocabulary, data report, and one data set for each length."""
    lengths: tuple[int, ...] = (128,)
    """Row lengths T in tokens; each gets its own data set."""
    vocab: str | None = None
    """Vocabulary (vocab.txt) to use. None: train one."""
    vocab_size: int = 30522
    """Size of the vocabulary to train; not used with --vocab."""
    lowercase: bool = False
    """Lower-case text and strip accents (uncased); splits Hangul into jamo, so not for Korean."""
    strip_accents: bool | None = None
    """Strip accents. None: same as `lowercase`. Pass False with --lowercase for uncased Korean."""
    text_column: str = "text"
    """Text column of JSONL and Parquet files and of TFDS data sets."""
    tfds_data_dir: str | None = None
    """Folder of TFDS data sets. None: TFDS's default (the variable TFDS_DATA_DIR)."""
    sentences: Literal["auto", "lines", "split"] = "auto"
    """"lines": one sentence per line; "split": prose, split into sentences; "auto": chosen from
    the text."""
    language: str = "en"
    """Language of the sentence splitter."""
    short_seq_prob: float = 0.1
    """Probability that a pass over a document uses a random shorter target length."""
    dupe_factor: int = 1
    """Passes over each document, each with its own pairs."""
    pack: bool = True
    """Pack several pairs into one row; False gives one pair per row, as in the paper."""
    max_sequences: int | None = None
    """Maximum number J of pairs in a row. None: T / 32, at least 2."""
    eval_share: float = 0.01
    """Share of documents held out for evaluation."""
    bundle_mb: float = 8.0
    """Size in MiB of a bundle, the text that one worker turns into one shard."""
    workers: int | None = None
    """Number of worker processes. None: one per core."""
    seed: int = 0
    """Seed of the pairs and of the held-out split."""
    beam: BeamConfig = BeamConfig()
    """Build rows with Apache Beam, on more than one machine (needs the [beam] extra)."""

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

    def max_pairs(self, length: int) -> int:
        """Return the maximum number J of pairs in a row of `length` tokens."""
        if not self.pack:
            return 1
        return self.max_sequences or max(2, length // 32)
