"""Configuration of the optimizer and the training loop, shared by all scripts."""

import dataclasses
import re
from typing import Literal

from bert_jax.config.check import require
from bert_jax.config.resume import MayDiffer


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer and learning-rate schedule."""

    name: Literal["original", "adamw", "lamb", "muon", "rmsprop"] = "adamw"
    """"original": BERT's Adam without bias correction; "adamw" and "lamb" with it; "muon":
    orthogonalized momentum for the matrices of hidden layers, AdamW for the rest; "rmsprop": with
    momentum, epsilon outside the root."""
    learning_rate: float = 1e-4
    """Peak learning rate; under "muon", of all parameters but the matrices of hidden layers."""
    warmup_steps: int = 10_000
    """Steps of linear warm-up."""
    schedule: Literal["linear", "inverse_sqrt", "constant", "wsd"] = "linear"
    """Schedule after the warm-up: linear decay to zero at the last step, decay by 1 / √step as in
    the original Transformer, constant, or "wsd": constant, then linear decay to zero. The
    "original" optimizer has its own schedule."""
    b1: float = 0.9
    """Decay of the first moment; momentum of "rmsprop"."""
    b2: float = 0.999
    """Decay of the second moment; of the mean square in "rmsprop"."""
    eps: float = 1e-6
    """Epsilon, added to the square root of the second moment."""
    weight_decay: float = 0.01
    """Decoupled weight decay, for all parameters but biases and layer norms."""
    clip_norm: float | None = 1.0
    """Maximum global gradient norm. None: no clipping."""
    clip_value: float | None = None
    """Maximum absolute value of each gradient element. None: no clipping."""
    decay_share: float = 0.2
    """Share of the run's steps in which "wsd" decays the rate."""
    muon_learning_rate: float = 0.02
    """Under "muon": peak learning rate of the matrices of hidden layers."""
    muon_momentum: float = 0.95
    """Under "muon": decay of the matrices' momentum."""

    def __post_init__(self):
        for field in ("learning_rate", "muon_learning_rate"):
            rate = getattr(self, field)
            require(rate > 0, field, rate, "a positive number")
        momentum = self.muon_momentum
        require(0 <= momentum < 1, "muon_momentum", momentum, "a number in [0, 1)")
        require(0 < self.decay_share < 1, "decay_share", self.decay_share, "a number in (0, 1)")
        require(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, "zero or more")
        for field in ("clip_norm", "clip_value"):
            clip = getattr(self, field)
            require(clip is None or clip > 0, field, clip, "a positive number, or None")

    def decay_start(self, steps: int) -> int:
        """Return the step of a run of `steps` at which "wsd" begins to decay the rate."""
        return max(self.warmup_steps, steps - round(self.decay_share * steps))


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """Length of the training loop, and its intervals."""

    steps: int
    """Steps in the whole run."""
    log_every: MayDiffer[int] = 10
    """Steps between records of the training metrics."""
    eval_every: MayDiffer[int] = 1000
    """Steps between evaluations on the held-out split; the last step is always evaluated."""
    checkpoint_every: MayDiffer[int] = 1000
    """Steps between checkpoints; the last step is always saved."""
    keep_last: MayDiffer[int] = 2
    """Number of newest checkpoints to keep, in addition to the best one."""
    keep_every: MayDiffer[int | None] = None
    """Steps between checkpoints to keep for good, a multiple of `checkpoint_every`. None: none."""
    max_bad_steps: MayDiffer[int] = 5
    """Consecutive steps with NaN or Inf after which the run ends (exit code 5)."""
    watchdog_seconds: MayDiffer[float] = 1800.0
    """Seconds without progress (a step, an evaluation batch, a save) before the process ends itself
    with exit code 6."""
    profile_steps: MayDiffer[str | None] = None
    """Steps FIRST:LAST, such as 10:15, of which a trace for XProf and TensorBoard is written to the
    run's folder profile/."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            ok = value is None or isinstance(value, str) or value > 0
            require(ok, field.name, value, "more than 0")
        first, last = self.steps_to_profile or (1, 1)
        expected = "two steps, such as 10:15, the first not after the last"
        require(1 <= first <= last, "profile_steps", self.profile_steps, expected)
        every = self.checkpoint_every
        kept = self.keep_every or every
        require(kept % every == 0, "keep_every", kept, f"a multiple of checkpoint_every {every}")

    @property
    def steps_to_profile(self) -> tuple[int, int] | None:
        """First and last step to trace, numbered from 1; (0, 0) if `profile_steps` is not two."""
        if self.profile_steps is None:
            return None
        match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", self.profile_steps)
        return (int(match[1]), int(match[2])) if match else (0, 0)
