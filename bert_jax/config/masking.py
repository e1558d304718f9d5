"""Configuration of masking."""

import dataclasses

from bert_jax.config.check import require
from bert_jax.config.resume import MayDiffer


@dataclasses.dataclass(frozen=True)
class MaskingConfig:
    """Masking for masked language modelling (Devlin et al. 2019, section 3.1, task 1)."""

    rate: float = 0.15
    """Share of each sequence's tokens to predict; with `final_rate`, that of the first step."""
    final_rate: float | None = None
    """Share at the last step; in between it changes linearly. None: `rate` in all steps."""
    eval_rate: MayDiffer[float | None] = None
    """Share in evaluations, with the same masks in every run, so that runs of all rates and seeds
    compare. None: that of the last step, with the run's own masks."""
    mask_share: float = 0.8
    """Share of the predicted tokens to replace by [MASK]."""
    random_share: float = 0.1
    """Share of the predicted tokens to replace by random tokens; the rest is kept."""
    whole_word: bool = False
    """Mask whole words instead of single word pieces."""
    max_per_sequence: int | None = None
    """Maximum number of predictions per sequence. None: no limit beyond the rate."""

    def __post_init__(self):
        for name in ("rate", "final_rate", "eval_rate"):
            rate = getattr(self, name)
            ok = rate is None or 0 < rate <= 0.5
            require(ok, f"masking.{name}", rate, "a number in (0, 0.5]")
        total = self.mask_share + self.random_share
        require(
            min(self.mask_share, self.random_share) >= 0 and total <= 1 + 1e-9,
            "masking.mask_share + masking.random_share",
            total,
            "two non-negative shares with a sum of at most 1",
        )

    def with_rate(self, rate: float) -> "MaskingConfig":
        """Return the same masking at one constant rate."""
        return dataclasses.replace(self, rate=rate, final_rate=None, eval_rate=None)

    def at(self, step: int, steps: int) -> "MaskingConfig":
        """Return the masking of one step of a run, counted from 0, at its constant rate."""
        if self.final_rate is None:
            return self.with_rate(self.rate)
        progress = min(step / max(steps - 1, 1), 1.0)
        return self.with_rate(self.rate + (self.final_rate - self.rate) * progress)

    @property
    def in_evaluation(self) -> "MaskingConfig":
        """The masking of evaluations, at its constant rate."""
        return self.with_rate(self.eval_rate or self.final_rate or self.rate)
