"""One pretraining run: masking, phases, and all that `pretrain.py` takes."""

import dataclasses
from itertools import accumulate, pairwise
from typing import Annotated, Literal

import tyro

from bert_jax.config.check import require
from bert_jax.config.models import BertConfig
from bert_jax.config.training import LoopConfig, OptimizerConfig


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
        require(0 < self.rate <= 0.5, "masking.rate", self.rate, "a number in (0, 0.5]")
        total = self.mask_share + self.random_share
        require(
            min(self.mask_share, self.random_share) >= 0 and total <= 1 + 1e-9,
            "masking.mask_share + masking.random_share",
            total,
            "two non-negative shares with a sum of at most 1",
        )


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
        require(self.length >= 8, "phase.length", self.length, "at least 8 tokens")
        require(self.batch_size >= 1, "phase.batch_size", self.batch_size, "at least 1")
        require(0 < self.share <= 1, "phase.share", self.share, "a number in (0, 1]")


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
    encoder: str | None = None
    """Trained model to go on from, a run or a directory that `bert_jax.load` opens, of the same
    shape and vocabulary; None starts from random weights."""
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
    """Held-out rows in one evaluation, spread evenly over the split."""
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
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        total = sum(phase.share for phase in self.phases)
        require(abs(total - 1) < 1e-6, "sum of phases' share", total, "exactly 1")
        longest = max(phase.length for phase in self.phases)
        positions = self.model.max_position_embeddings
        require(longest <= positions, "phase.length", longest, f"at most {positions} positions")


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


def length_changes(spans: list[PhaseSpan], step: int) -> int:
    """How often the rows' length had changed before update number `step` (from 1)."""
    lengths = [span.phase.length for span in spans if span.first < step]
    return sum(before != after for before, after in pairwise(lengths))
