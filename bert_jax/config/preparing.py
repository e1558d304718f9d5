"""Options of `prepare.py`: raw text to pretraining rows."""

import dataclasses
from typing import Annotated, Literal

import tyro

from bert_jax.config.check import is_text_encoding, require

MAX_WORD_LENGTH = 1000  # the tokenizer of `transformers` needs quadratic time for a word


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
    """Files (.txt, .jsonl, .csv, .tsv, .parquet; also .gz, .xz), folders, globs, or tfds:NAME."""
    output: str
    """Folder to write: vocabulary, data report, and one data set for each length."""
    lengths: tuple[int, ...] = (128,)
    """Row lengths T in tokens; each gets its own data set."""
    vocab: str | None = None
    """Vocabulary to use: a vocab.txt, a tokenizer.json, or the folder of a model or tokenizer of
    any kind, whose casing is taken too. None: train one."""
    tokenizer: Literal["wordpiece", "bpe", "unigram"] = "wordpiece"
    """Tokenizer to train: WordPiece as BERT's, byte-level BPE as RoBERTa's and ModernBERT's, or
    Unigram as XLM-R's; not used with --vocab."""
    add_tokens: str | None = None
    """File of words, one a line, that become tokens of their own, with ids after all others;
    `pretrain.py --encoder` gives them embeddings."""
    max_word_length: int | None = None
    """Characters of the longest word of WordPiece; longer ones are [UNK]. None: as in --vocab, else
    100."""
    vocab_size: int = 30522
    """Size of the vocabulary to train; not used with --vocab."""
    lowercase: bool = False
    """Lower-case text and strip accents (uncased); splits Hangul into jamo, so not for Korean."""
    strip_accents: bool | None = None
    """Strip accents. None: same as `lowercase`. Pass False with --lowercase for uncased Korean."""
    text_column: str = "text"
    """Text column of JSONL, CSV, TSV, Parquet and TFDS; "meta.text": text in meta's objects."""
    encoding: str | None = None
    """Encoding of the files, such as cp949 or utf-16. None: UTF-8."""
    documents: Literal["blank-lines", "lines"] = "blank-lines"
    """End of a document in text files: a blank line, or the end of every line."""
    tfds_data_dir: str | None = None
    """Folder of TFDS data sets. None: TFDS's default (the variable TFDS_DATA_DIR)."""
    sentences: Literal["auto", "lines", "split"] = "auto"
    """"lines": one sentence per line; "split": prose, split into sentences; "auto": chosen from
    the text."""
    language: str = "en"
    """Language of the sentence splitter."""
    nsp: bool = True
    """Pairs of sentences for next-sentence prediction. False gives rows of sentences in a row, for
    masked language modelling alone; their documents may be as short as one sentence."""
    short_seq_prob: float = 0.1
    """Probability that a pass over a document uses a random shorter target length."""
    dupe_factor: int = 1
    """Passes over each document, each with its own pairs."""
    pack: bool = True
    """Pack several pairs into one row; False gives one pair per row, as in the paper."""
    max_sequences: int | None = None
    """Maximum number J of pairs (without NSP, of sequences) in a row. None: T / 32, at least 2."""
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
        limit = self.max_sequences
        require(limit is None or limit >= 1, "max_sequences", limit, "at least 1, or None")
        require(self.bundle_mb > 0, "bundle_mb", self.bundle_mb, "a positive number")
        limit = self.max_word_length
        require(
            limit is None or 1 <= limit <= MAX_WORD_LENGTH,
            "max_word_length",
            limit,
            f"1 to {MAX_WORD_LENGTH}",
        )
        is_words = self.tokenizer == "wordpiece" or self.vocab is not None
        require(
            limit is None or is_words,
            "max_word_length",
            limit,
            f"no such limit with --tokenizer {self.tokenizer}",
        )
        require(self.vocab_size >= 100, "vocab_size", self.vocab_size, "at least 100")
        known = self.encoding is None or is_text_encoding(self.encoding)
        expected = "the name of an encoding, such as cp949, utf-16 or cp1252"
        require(known, "encoding", self.encoding, expected)

    def max_pairs(self, length: int) -> int:
        """Return the maximum number J of pairs in a row of `length` tokens."""
        if not self.pack:
            return 1
        return self.max_sequences or default_max_pairs(length)


def default_max_pairs(length: int) -> int:
    """Return the usual maximum number J of pairs in a row of `length` tokens."""
    return max(2, length // 32)
