"""Configuration of `finetune.py`."""

import dataclasses
from collections.abc import Callable
from typing import Literal

from bert_jax.config.check import (
    require,
    require_at_least,
    require_dry_run,
    require_name,
    require_rate,
)
from bert_jax.config.families import EncoderConfig
from bert_jax.config.resume import MayDiffer
from bert_jax.config.training import LoopConfig, OptimizerConfig

TaskKind = Literal["classification", "regression", "multilabel", "tagging", "question_answering"]

NARROW = 512  # encoders of a smaller width need higher learning rates
_OF_ONE_TASK = {
    "label_separator": "multilabel", "class_weights": "classification",
    "stride": "question_answering",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ColumnsConfig:
    """Columns of a table, by name, or by number from 1. None: one with a known name, printed."""

    text: str | None = None
    """Text, or first text of a pair."""
    text_b: str | None = None
    """Second text of a pair."""
    label: str | None = None
    """Class, or score."""


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """Values that `--search` tries, besides the run's own: one option after the other."""

    learning_rate: tuple[float, ...] = ()
    """Peak learning rates. Empty: 2e-5, 3e-5 and 5e-5, or, for encoders narrower than 512, 3e-4,
    6e-4 and 1e-3."""
    dropout: tuple[float, ...] = (0.0, 0.1)
    """Dropout rates."""
    word_dropout: tuple[float, ...] = (0.0, 0.1)
    """Shares of masked tokens."""
    epochs: tuple[float, ...] = (2.0, 4.0)
    """Passes over the training data."""
    train_limit: int | None = 20_000
    """Training examples of a trial, spaced evenly over all. None: all."""

    def __post_init__(self):
        require_at_least(self, 1, "train_limit", prefix="grid.")


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """One fine-tuning run."""

    task: TaskKind
    """Kind of task; each is a file in bert_jax/tasks."""
    encoder: MayDiffer[str]
    """Pretrained encoder: a run of pretrain.py, or a Hugging Face directory."""
    train: MayDiffer[str]
    """Labelled data: .tsv, .csv, .json, .jsonl, .parquet, SQuAD .json, CoNLL, or
    tfds:NAME[:SPLIT]."""
    dev: MayDiffer[str]
    """Held-out data that selects the best checkpoint."""
    test: MayDiffer[str | None] = None
    """Test data, used only at the end."""
    columns: MayDiffer[ColumnsConfig] = ColumnsConfig()
    """Columns of the tables."""
    max_rejected: MayDiffer[float] = 0.1
    """Share of the rows of each file that may be unusable; if more are, the run is refused."""
    labels: tuple[str, ...] = ()
    """Classes in the order of their indices; empty: those of the training data, sorted. For
    multilabel, they may be names of columns, each with 0 or 1."""
    label_separator: MayDiffer[str | None] = None
    """For multilabel: what separates the labels of a text, such as ";". None: they are lists."""
    class_weights: tuple[str, ...] = ()
    """For classification: weights of the classes in the loss, LABEL=WEIGHT for each; or "balanced",
    so that all classes weigh the same."""
    max_length: int = 128
    """Maximum length in tokens; longer texts are truncated (question answering splits passages
    into windows)."""
    stride: int | None = None
    """For question answering: tokens from the start of one window to the next, SQuAD's doc_stride.
    None: 128, or half of a window if that is less."""
    epochs: float = 3.0
    """Passes over the training data."""
    batch_size: int = 32
    """Texts per step, over all devices."""
    eval_batch_size: MayDiffer[int] = 128
    """Size of an evaluation batch in units of 64 tokens (128: 8192 tokens), over all devices;
    short texts share a row."""
    learning_rate: float | None = None
    """Peak learning rate (AdamW with bias correction). None: 5e-5, or 6e-4 for encoders narrower
    than 512."""
    warmup_share: float = 0.1
    """Share of the steps used for linear warm-up; then the rate decays linearly to zero."""
    weight_decay: float = 0.01
    """Decoupled weight decay, for all parameters but biases and layer norms."""
    clip_norm: float | None = 1.0
    """Maximum global gradient norm. None: no clipping."""
    dropout: float | None = None
    """Dropout after embeddings, attention and feed-forward, and before the classifier. None: the
    encoder's."""
    attention_dropout: float | None = None
    """Dropout on attention probabilities; 0 allows fused attention on GPUs. None: the encoder's."""
    word_dropout: float = 0.0
    """Share of the tokens of training texts that are replaced by [MASK]."""
    search: MayDiffer[bool] = False
    """Try a few settings on dev, never on test; then train with the best ones."""
    grid: MayDiffer[SearchConfig] = SearchConfig()
    """Values that a search tries."""
    evals_per_epoch: MayDiffer[float] = 1.0
    """Evaluations on the held-out data per epoch; the last step is always evaluated."""
    patience: int | None = None
    """Evaluations without a better score before training stops early. None: never."""
    metric: str | None = None
    """Score that selects the best checkpoint, such as "accuracy" or "f1". None: the task's."""
    seeds: MayDiffer[int] = 1
    """Number of seeds, one run each; reports mean and standard deviation, exports the best run."""
    seed: int = 0
    """First seed, for the new head, the order of the data and dropout."""
    from_scratch: bool = False
    """Start from random weights, to measure what pretraining is worth."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of matrix products; parameters, softmax, layer norm and losses are always float32."""
    matmul_precision: MayDiffer[Literal["auto", "float32", "default"]] = "auto"
    """Precision of float32 matrix products on GPUs and TPUs; "default": TensorFloat-32 on GPUs,
    bfloat16 on TPUs; "auto": float32 with --dtype float32, else the default."""
    deterministic: MayDiffer[bool] = False
    """On GPUs: the same bits from every run on the same devices, at some cost of speed. CPUs and
    TPUs need no such option."""
    attention: MayDiffer[Literal["auto", "xla", "cudnn"]] = "auto"
    """Attention kernel; "auto": cuDNN on GPUs where supported, else XLA."""
    parallel: MayDiffer[Literal["shard_map", "pmap"]] = "shard_map"
    """JAX transform that runs the step on several devices; the results are the same."""
    name: MayDiffer[str] = ""
    """Name of the run; empty: the configuration's name."""
    runs_dir: MayDiffer[str] = "runs"
    """Folder of all runs; this one is stored in runs_dir/name."""
    log_every: MayDiffer[int] = 50
    """Steps between records of the training metrics."""
    profile_steps: MayDiffer[str | None] = None
    """Steps FIRST:LAST, such as 10:15, of which a trace for XProf and TensorBoard is written to the
    run's folder profile/."""
    tensorboard: MayDiffer[bool] = False
    """Also write TensorBoard files (needs the [track] extra)."""
    wandb: MayDiffer[str | None] = None
    """Also send the metrics to this project of Weights & Biases (needs the [track] extra)."""
    allow_unverified: MayDiffer[bool] = False
    """Resume from a checkpoint even if its manifest, with the files' hashes, is missing."""
    tfds_data_dir: MayDiffer[str | None] = None
    """Folder of TFDS data sets. None: TFDS's default (the variable TFDS_DATA_DIR)."""
    distributed: MayDiffer[bool] = False
    """Join the other processes of this job. Slurm, MPI, Kubernetes and TPU pods are detected;
    elsewhere set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""
    dry_run: MayDiffer[bool] = False
    """Read and encode the data, compile training and evaluation for the largest batches, print a
    summary and the memory, and exit; with 2 if they do not fit."""
    topology: MayDiffer[str | None] = None
    """With --dry-run: machine to compile for in place of this one, such as v5e:2x4 (any TPU slice),
    h100:1, h100:8, h200:8 or a100:8."""

    def __post_init__(self):
        LoopConfig(1, profile_steps=self.profile_steps)  # checks it
        require_dry_run(self.topology, self.dry_run)
        names = ("batch_size", "eval_batch_size", "seeds", "log_every", "patience", "stride")
        require_name(self.name)
        require_at_least(self, 1, *names)
        for name in ("epochs", "evals_per_epoch"):
            require(getattr(self, name) > 0, name, getattr(self, name), "more than 0")
        require(self.max_length >= 8, "max_length", self.max_length, "at least 8 tokens")
        rate = self.learning_rate
        require(rate is None or rate > 0, "learning_rate", rate, "a positive number")
        share = self.max_rejected
        require(0 <= share <= 1, "max_rejected", share, "a share from 0 to 1")
        share = self.warmup_share
        require(0 <= share < 1, "warmup_share", share, "a share in [0, 1)")
        require_rate(self, "word_dropout")
        for name in ("dropout", "attention_dropout"):
            if getattr(self, name) is not None:
                require_rate(self, name)
        for name, task in _OF_ONE_TASK.items():
            value = getattr(self, name)
            require(not value or self.task == task, name, value, f"nothing, unless task = {task!r}")
        require(len(set(self.labels)) == len(self.labels), "labels", self.labels, "distinct labels")


def learning_rates(encoder: EncoderConfig) -> tuple[float, ...]:
    """Return the learning rates to choose from, the default last; narrow encoders need high ones.

    For wide ones they are those of Devlin et al. 2019, section A.3.
    """
    return (2e-5, 3e-5, 5e-5) if encoder.hidden_size >= NARROW else (3e-4, 1e-3, 6e-4)


def fit_to_encoder(
    config: FinetuneConfig, encoder: EncoderConfig, log: Callable[[str], None]
) -> FinetuneConfig:
    """Set the learning rate if it is None, and cap `max_length` at the encoder's positions."""
    positions = encoder.max_position_embeddings
    if config.max_length > positions:
        log(f"max_length = {config.max_length} is reduced to the model's {positions} positions")
        config = dataclasses.replace(config, max_length=positions)
    if config.learning_rate is None:
        config = dataclasses.replace(config, learning_rate=learning_rates(encoder)[-1])
    return config


def loop_config(config: FinetuneConfig, epoch_steps: int) -> LoopConfig:
    """Convert epochs to steps; every evaluation comes with a checkpoint."""
    every = max(1, round(epoch_steps / config.evals_per_epoch))
    return LoopConfig(
        steps=max(1, round(config.epochs * epoch_steps)),
        log_every=config.log_every,
        eval_every=every,
        checkpoint_every=every,
        keep_last=1,
        profile_steps=config.profile_steps,
    )


def optimizer_config(config: FinetuneConfig, steps: int) -> OptimizerConfig:
    """Build the configuration of AdamW, with a warm-up that is a share of the steps.

    The learning rate must be set, see `fit_to_encoder`.
    """
    assert config.learning_rate is not None
    return OptimizerConfig(
        learning_rate=config.learning_rate,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
    )
