"""One fine-tuning run: all that `finetune.py` takes."""

import dataclasses
from typing import Literal

from bert_jax.config.check import require
from bert_jax.config.training import LoopConfig, OptimizerConfig

TaskKind = Literal["classification", "regression", "tagging", "question_answering"]


@dataclasses.dataclass(frozen=True)
class ColumnsConfig:
    """Columns of a table; None looks for a known name, and says what it found."""

    text: str | None = None
    """The text, or the first of a pair."""
    text_b: str | None = None
    """The second text of a pair."""
    label: str | None = None
    """Class, or score."""


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """One fine-tuning run."""

    task: TaskKind
    """What is learned; each kind is a file in bert_jax/tasks."""
    encoder: str
    """A run of pretrain.py, or a Hugging Face directory."""
    train: str
    """Labelled data: .tsv, .csv, .jsonl, .parquet, SQuAD .json, CoNLL, or tfds:NAME[:SPLIT]."""
    dev: str
    """Held-out data that chooses the best epoch."""
    test: str | None = None
    """Data that is only looked at in the end."""
    columns: ColumnsConfig = ColumnsConfig()
    """Columns of the tables."""
    labels: tuple[str, ...] = ()
    """Classes in the order of their numbers; empty takes those of the training data, sorted."""
    max_length: int = 128
    """Longest text in tokens; longer ones are cut (questions: their passages come in windows)."""
    epochs: float = 3.0
    """Passes over the training data."""
    batch_size: int = 32
    """Texts in one update, over all devices."""
    eval_batch_size: int = 128
    """Rows of 64 tokens in one evaluation batch, over all devices; short texts share a row."""
    learning_rate: float = 5e-5
    """Peak learning rate (AdamW with bias correction)."""
    warmup_share: float = 0.1
    """Share of the steps in which the rate rises; then it falls to zero, both linearly."""
    weight_decay: float = 0.01
    """Decoupled weight decay, on all but biases and layer normalisation."""
    clip_norm: float | None = 1.0
    """Largest global gradient norm; None does not clip."""
    evals_per_epoch: float = 1.0
    """Evaluations on the held-out data in each epoch; the last step is always evaluated."""
    patience: int | None = None
    """Evaluations without a better score after which training ends; None goes on to the end."""
    metric: str | None = None
    """What "better" means, for example "accuracy" or "f1"; None takes the task's own."""
    seeds: int = 1
    """Runs from different seeds; mean and standard deviation are reported, the best is exported."""
    seed: int = 0
    """First seed: of the new head, the order and dropout."""
    from_scratch: bool = False
    """Random weights instead of the encoder's: what pretraining is worth."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of matrix products; parameters and statistics are always float32."""
    attention: Literal["auto", "xla", "cudnn"] = "auto"
    """Attention kernel; "auto" takes cuDNN on GPUs where it applies."""
    parallel: Literal["shard_map", "pmap"] = "shard_map"
    """How the step is spread over devices; both compute the same."""
    name: str = ""
    """Name of the run; empty takes the configuration's name."""
    runs_dir: str = "runs"
    """Folder of all runs; this one goes to runs_dir/name."""
    log_every: int = 50
    """Steps between lines of metrics."""
    tfds_data_dir: str | None = None
    """Folder of TFDS data sets; None takes TFDS's default."""
    distributed: bool = False
    """Join the other processes of this job, as in pretraining."""
    dry_run: bool = False
    """Read and encode the data, print what was found, and stop."""

    def __post_init__(self):
        for name in ("batch_size", "eval_batch_size", "seeds", "log_every"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("epochs", "evals_per_epoch"):
            require(getattr(self, name) > 0, name, getattr(self, name), "more than 0")
        require(self.max_length >= 8, "max_length", self.max_length, "at least 8 tokens")
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "a positive number")
        share = self.warmup_share
        require(0 <= share < 1, "warmup_share", share, "a share from 0 up to, not including, 1")
        patience = self.patience
        require(patience is None or patience >= 1, "patience", patience, "at least 1, or None")
        require(
            len(set(self.labels)) == len(self.labels), "labels", self.labels, "different labels"
        )


def loop_config(config: FinetuneConfig, epoch_steps: int) -> LoopConfig:
    """Epochs as steps; a checkpoint stands beside every evaluation."""
    every = max(1, round(epoch_steps / config.evals_per_epoch))
    return LoopConfig(
        steps=max(1, round(config.epochs * epoch_steps)),
        log_every=config.log_every,
        eval_every=every,
        checkpoint_every=every,
        keep_last=1,
    )


def optimizer_config(config: FinetuneConfig, steps: int) -> OptimizerConfig:
    """AdamW with bias correction, and a warm-up that is a share of the steps."""
    return OptimizerConfig(
        learning_rate=config.learning_rate,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
    )
