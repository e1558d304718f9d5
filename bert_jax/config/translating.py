"""One run of `translate.py`: training a translation model, and using it."""

import dataclasses
from typing import Annotated, Literal

import tyro

from bert_jax.config.check import require
from bert_jax.config.models import TranslationModelConfig
from bert_jax.config.training import LoopConfig, OptimizerConfig


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """How translations are looked for."""

    num_beams: int = 1
    """Hypotheses kept at every step; 1 is greedy search."""
    length_penalty: float = 0.6
    """α of ((5 + |Y|) / 6)^α, by which log P is divided (Wu et al. 2016, equation 14)."""
    coverage_penalty: float = 0.0
    """β, the weight of source tokens that were hardly read (the same equation)."""
    extra_tokens: int = 50
    """A translation has at most this many tokens more than its source."""

    def __post_init__(self):
        require(self.num_beams >= 1, "num_beams", self.num_beams, "at least 1")
        for name in ("length_penalty", "coverage_penalty"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "zero or more")
        require(self.extra_tokens >= 1, "extra_tokens", self.extra_tokens, "at least 1")


@dataclasses.dataclass(frozen=True)
class TranslateConfig:
    """One translation run."""

    model: Annotated[TranslationModelConfig, tyro.conf.AvoidSubcommands]
    """Who translates."""
    train: tuple[str, ...]
    """Two files, source and target, line by line; or one with both: .tsv, .csv, .jsonl, .parquet,
    tfds:NAME:SPLIT, or a .txt file of question_answer lines."""
    dev: tuple[str, ...]
    """Held-out pairs that choose the best checkpoint."""
    optimizer: OptimizerConfig
    """Optimizer and schedule."""
    loop: Annotated[LoopConfig, tyro.conf.arg(name="")]
    """Steps, and what happens how often."""
    test: tuple[str, ...] = ()
    """Pairs that are only looked at in the end."""
    columns: tuple[str, ...] = ()
    """Columns of source and target in tables; empty takes the first two."""
    vocabulary: Literal["subwords", "characters"] = "subwords"
    """What a token is; the vocabulary is made from the training pairs, both sides together."""
    vocab_size: int = 10_000
    """Subwords in the vocabulary."""
    lowercase: bool = False
    """Lower-case everything."""
    batch_tokens: int | None = 4096
    """Tokens in one update, padding included, on the longer side and over all devices."""
    batch_size: int | None = None
    """Pairs in one update, in place of batch_tokens."""
    min_length: int = 8
    """Pairs with fewer tokens than this share batches. Each length takes compiling, and batches of
    one length see pairs of one kind: raise it for few or short pairs."""
    source_length: int = 1
    """Sources of fewer tokens are filled up with end symbols, which the model reads: lines of one
    width, as some toy data has. An LSTM's first states are small, and dot products pass them over;
    with reversed sources these are the last words."""
    label_smoothing: float = 0.1
    """Share of the probability that is spread over all words (Szegedy et al. 2016)."""
    metric: Literal["bleu", "exact"] = "bleu"
    """Score that decides which checkpoint is best: BLEU, or the share of exact translations."""
    bleu_tokenize: Literal["13a", "intl", "char", "zh", "none"] = "13a"
    """How sacrebleu cuts words; "none" for text that is tokenized already."""
    eval_pairs: int = 500
    """Held-out pairs that are translated, greedily, in each evaluation."""
    search: SearchConfig = SearchConfig()
    """How the test set, and whatever is asked for later, is translated."""
    name: str = ""
    """Name of the run; empty takes the configuration's name."""
    runs_dir: str = "runs"
    """Folder of all runs; this one goes to runs_dir/name."""
    seed: int = 0
    """Seed of weights, order and dropout."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the Transformer's matrix products; LSTMs compute in float32."""
    attention: Literal["auto", "xla", "cudnn"] = "auto"
    """The Transformer's attention kernel; "auto" takes cuDNN on GPUs where it applies."""
    parallel: Literal["shard_map", "pmap"] = "shard_map"
    """How the step is spread over devices; both compute the same."""
    tfds_data_dir: str | None = None
    """Folder of TFDS data sets; None takes TFDS's default."""
    tensorboard: bool = False
    """Write TensorBoard files too (needs the [track] extra)."""
    distributed: bool = False
    """Join the other processes of this job, as in pretraining."""
    interactive: bool = False
    """Do not train: translate what is typed, with the best checkpoint of this run."""
    input: str | None = None
    """Do not train: translate the lines of this file ("-": of standard input)."""
    output: str | None = None
    """Where the translations of `input` go; None prints them."""
    align: str | None = None
    """Do not train: translate this sentence, and draw which words were read for which."""

    def __post_init__(self):
        has_tokens, has_size = self.batch_tokens is not None, self.batch_size is not None
        require(
            has_tokens != has_size,
            "batch_size",
            self.batch_size,
            "a number, and batch_tokens None; or None, and batch_tokens a number",
        )
        for name in (
            "batch_tokens",
            "batch_size",
            "min_length",
            "source_length",
            "vocab_size",
            "eval_pairs",
        ):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "at least 1")
        most = self.model.max_positions
        limit = f"at most {most}, the model's positions"
        require(self.source_length <= most, "source_length", self.source_length, limit)
        smoothing = self.label_smoothing
        require(0 <= smoothing < 1, "label_smoothing", smoothing, "from 0 up to, not including, 1")
        require(len(self.columns) in (0, 2), "columns", self.columns, "two names, or none")
        for name in ("train", "dev", "test"):
            names = getattr(self, name)
            require(len(names) <= 2, name, names, "two files, or one with both sides")
