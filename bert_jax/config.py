"""Every configuration as a frozen dataclass: validated when built, saved to and read from JSON."""

import dataclasses
import difflib
import json
import types
import typing
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bert_jax.errors import ConfigError


def _require(ok: bool, field: str, value: object, expected: str) -> None:
    if not ok:
        raise ConfigError(
            f"{field} = {value!r} cannot work", expected, f"pass another value for {field}"
        )


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The shape of a BERT encoder; fields are spelled as in Hugging Face's `config.json`."""

    hidden_size: int = 768
    """Model width D."""
    num_hidden_layers: int = 12
    """Encoder layers L."""
    num_attention_heads: int = 12
    """Attention heads H; each is D / H wide."""
    intermediate_size: int = 3072
    """Feed-forward width F."""
    max_position_embeddings: int = 512
    """Learned positions; the longest sequence."""
    type_vocab_size: int = 2
    """Segment embeddings."""
    vocab_size: int | None = None
    """Vocabulary V; None takes the tokenizer's size when the run starts."""
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    """Activation: "gelu" is the exact erf form, "gelu_tanh" its approximation."""
    hidden_dropout_prob: float = 0.1
    """Dropout after embeddings, attention and feed-forward."""
    attention_probs_dropout_prob: float = 0.1
    """Dropout on attention probabilities; 0 allows fused attention."""
    initializer_range: float = 0.02
    """Standard deviation of the truncated normal that kernels start from."""
    layer_norm_eps: float = 1e-12
    """Added to the variance in layer normalisation."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in (int, int | None) and value is not None:
                _require(1 <= value <= 2**24, field.name, value, "an integer from 1 to 16777216")
        acts = typing.get_args(typing.get_type_hints(BertConfig)["hidden_act"])
        _require(self.hidden_act in acts, "hidden_act", self.hidden_act, f"one of {acts}")
        for field_name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, field_name)
            _require(0 <= value < 1, field_name, value, "a number from 0 up to, not including, 1")
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            "num_attention_heads",
            self.num_attention_heads,
            f"a divisor of hidden_size {self.hidden_size}",
        )


@dataclasses.dataclass(frozen=True)
class MaskingConfig:
    """Masked language modelling's draw (Devlin et al. 2019, section 3.1, task 1)."""

    rate: float = 0.15
    """Share of each sequence's tokens that is predicted."""
    mask_share: float = 0.8
    """Of those, the share replaced by [MASK]."""
    random_share: float = 0.1
    """Of those, the share replaced by a random token; the rest is kept."""
    whole_word: bool = False
    """Choose whole words instead of single pieces."""
    max_per_sequence: int | None = None
    """At most this many predictions in one sequence; None sets no limit beyond the rate."""

    def __post_init__(self):
        _require(0 < self.rate <= 0.5, "masking.rate", self.rate, "a number in (0, 0.5]")
        total = self.mask_share + self.random_share
        _require(
            min(self.mask_share, self.random_share) >= 0 and total <= 1 + 1e-9,
            "masking.mask_share + masking.random_share",
            total,
            "two non-negative shares with a sum of at most 1",
        )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer and learning-rate schedule."""

    name: Literal["original", "adamw", "lamb"] = "adamw"
    """"original": BERT's Adam without bias correction; "adamw" and "lamb" are optax's."""
    learning_rate: float = 1e-4
    """Peak learning rate."""
    warmup_steps: int = 10_000
    """Steps of linear warm-up; then linear decay to zero at the last step."""
    b1: float = 0.9
    """Decay of the first moment."""
    b2: float = 0.999
    """Decay of the second moment."""
    eps: float = 1e-6
    """Added to the root of the second moment."""
    weight_decay: float = 0.01
    """Decoupled weight decay, on all but biases and layer normalisation."""
    clip_norm: float | None = 1.0
    """Largest global gradient norm; None does not clip."""

    def __post_init__(self):
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "a positive number")
        _require(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, "zero or more")
        clip = self.clip_norm
        _require(clip is None or clip > 0, "clip_norm", clip, "a positive number, or None")


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """The training loop, the same for every task."""

    steps: int
    """Updates in the whole run."""
    log_every: int = 10
    """Steps between lines of metrics."""
    eval_every: int = 1000
    """Steps between evaluations on the held-out split; the last step is always evaluated."""
    checkpoint_every: int = 1000
    """Steps between checkpoints; the last step is always saved."""
    keep_last: int = 2
    """Newest checkpoints that are kept, beside the best one."""
    max_bad_steps: int = 5
    """Consecutive steps with NaN or Inf after which the run ends."""
    watchdog_seconds: float = 1800.0
    """A step (or the wait for data) that takes longer ends the process with exit code 6."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            _require(value > 0, field.name, value, "more than 0")


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of a run at one sequence length."""

    length: int = 128
    """Tokens in a row T; the prepared data must hold rows of this length."""
    batch_size: int = 256
    """Rows in one update, over all devices and accumulation steps."""
    share: float = 1.0
    """Share of the run's steps."""

    def __post_init__(self):
        _require(self.length >= 8, "phase.length", self.length, "at least 8 tokens")
        _require(self.batch_size >= 1, "phase.batch_size", self.batch_size, "at least 1")
        _require(0 < self.share <= 1, "phase.share", self.share, "a number in (0, 1]")


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """One pretraining run."""

    data: str
    """Folder that prepare.py wrote."""
    model: BertConfig
    """The encoder."""
    optimizer: OptimizerConfig
    """Optimizer and schedule."""
    loop: Annotated[LoopConfig, tyro.conf.arg(name="")]
    """Steps, and what happens how often."""
    phases: tuple[Phase, ...] = (Phase(),)
    """Lengths and batch sizes, one after the other, under one schedule."""
    masking: MaskingConfig = MaskingConfig()
    """How tokens are masked."""
    name: str = ""
    """Name of the run; empty takes the configuration's name."""
    runs_dir: str = "runs"
    """Folder of all runs; this one goes to runs_dir/name."""
    seed: int = 0
    """Seed of weights, order, masking and dropout."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of matrix products; parameters and statistics are always float32."""
    attention: Literal["auto", "xla", "cudnn"] = "auto"
    """Attention kernel; "auto" takes cuDNN on GPUs where it applies."""
    remat: bool = False
    """Recompute each layer in the backward pass: less memory, about a third more time."""
    unroll: bool = False
    """Unroll the loop over layers: often a little faster on GPU, much slower to compile."""
    accumulation_steps: int = 1
    """Parts into which a device's share of a batch is cut, one after the other."""
    parallel: Literal["shard_map", "pmap"] = "shard_map"
    """How the step is spread over devices; both compute the same."""
    eval_rows: int = 2048
    """Held-out rows in one evaluation."""
    tensorboard: bool = False
    """Write TensorBoard files too (needs the [track] extra)."""
    distributed: bool = False
    """Join the other processes of this job. Slurm, MPI, Kubernetes and TPU pods are found by
    themselves; elsewhere set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""
    allow_unverified: bool = False
    """Go on from a checkpoint even if the manifest that vouches for it is missing."""
    dry_run: bool = False
    """Print parameters, memory, tokens and the configuration, and stop."""

    def __post_init__(self):
        for name in ("accumulation_steps", "eval_rows"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        total = sum(phase.share for phase in self.phases)
        _require(abs(total - 1) < 1e-6, "sum of phases' share", total, "exactly 1")
        longest = max(phase.length for phase in self.phases)
        positions = self.model.max_position_embeddings
        _require(longest <= positions, "phase.length", longest, f"at most {positions} positions")


@dataclasses.dataclass(frozen=True)
class PhaseSpan:
    """The steps of a run that a phase takes: first, …, last - 1."""

    phase: Phase
    first: int
    last: int


def phase_spans(config: PretrainConfig) -> list[PhaseSpan]:
    """Divides a run's steps among its phases by their shares; no step is left out."""
    ends = [
        round(share * config.loop.steps) for share in accumulate(p.share for p in config.phases)
    ]
    ends[-1] = config.loop.steps
    starts = [0, *ends[:-1]]
    return [PhaseSpan(*span) for span in zip(config.phases, starts, ends, strict=True)]


def phase_at(spans: list[PhaseSpan], step: int) -> Phase:
    """The phase of which update number `step` (from 1) is a part."""
    return next(span.phase for span in spans if step <= span.last)


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
        _require(len(self.inputs) > 0, "inputs", self.inputs, "at least one file, folder or name")
        _require(len(self.lengths) > 0, "lengths", self.lengths, "at least one length")
        for length in self.lengths:
            _require(16 <= length <= 4096, "lengths", length, "16 to 4096 tokens")
        _require(0 <= self.eval_share < 1, "eval_share", self.eval_share, "a number in [0, 1)")
        prob = self.short_seq_prob
        _require(0 <= prob <= 1, "short_seq_prob", prob, "a number in [0, 1]")
        _require(self.dupe_factor >= 1, "dupe_factor", self.dupe_factor, "at least 1")
        _require(self.bundle_mb > 0, "bundle_mb", self.bundle_mb, "a positive number")
        _require(self.vocab_size >= 100, "vocab_size", self.vocab_size, "at least 100")


def to_json(config: Any) -> str:
    """Writes a configuration as indented JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2, ensure_ascii=False) + "\n"


def from_dict(cls: type, values: dict[str, Any], where: str = "configuration") -> Any:
    """Builds a configuration from plain values; unknown keys are refused with the nearest name."""
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"remove {key!r}"
            raise ConfigError(f"{where}: unknown field {key!r}", f"fields of {cls.__name__}", hint)
    return cls(**{key: _convert(hints[key], value, where) for key, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_convert(typing.get_args(hint)[0], item, where) for item in value)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return value
    return value


def read_json(cls: type, path: Path) -> Any:
    """Reads a configuration that `to_json` wrote."""
    try:
        return from_dict(cls, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", "a JSON configuration", "restore the file"
        ) from None


def flatten(config: Any) -> dict[str, str]:
    """A configuration as flat names and texts, such as `{"model.hidden_size": "768"}`."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
            for index, inner in enumerate(value):
                walk(f"{prefix}.{index}", inner)
        else:
            flat[prefix] = json.dumps(value, ensure_ascii=False)

    walk("", dataclasses.asdict(config))
    return flat
