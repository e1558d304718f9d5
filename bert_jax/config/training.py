"""Optimizer and training loop, the same for every script."""

import dataclasses
from typing import Literal

from bert_jax.config.check import require


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer and learning-rate schedule."""

    name: Literal["original", "adamw", "lamb", "rmsprop"] = "adamw"
    """"original": BERT's Adam without bias correction; "rmsprop": with momentum b1 and decay b2,
    epsilon outside the root; "adamw" and "lamb" are optax's."""
    learning_rate: float = 1e-4
    """Peak learning rate."""
    warmup_steps: int = 10_000
    """Steps of linear warm-up."""
    schedule: Literal["linear", "inverse_sqrt", "constant"] = "linear"
    """After the warm-up: linear decay to zero at the last step, decay by 1 / √step as the first
    Transformer's, or the peak kept. "original" brings its own schedule."""
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
    clip_value: float | None = None
    """Largest magnitude of each of the gradient's numbers; None does not clip."""

    def __post_init__(self):
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "a positive number")
        require(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, "zero or more")
        for field in ("clip_norm", "clip_value"):
            clip = getattr(self, field)
            require(clip is None or clip > 0, field, clip, "a positive number, or None")


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
    """A step, an evaluation's batch, or a wait that takes longer ends the process (exit code 6)."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            require(value > 0, field.name, value, "more than 0")
