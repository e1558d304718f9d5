"""Configuration of `pretrain.py`: phases, and the run."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Literal

import tyro

from bert_jax.config.check import require, require_at_least, require_dry_run, require_name
from bert_jax.config.duration import parse_duration
from bert_jax.config.families import EncoderConfig
from bert_jax.config.masking import MaskingConfig
from bert_jax.config.resume import MayDiffer
from bert_jax.config.training import LoopConfig, OptimizerConfig
from bert_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Phase:
    """Part of a run that trains at one sequence length."""

    length: int = 128
    """Row length T in tokens; the prepared data must have rows of this length."""
    batch_size: int = 256
    """Rows of `length` tokens per step, over all devices and accumulation steps."""
    share: float = 1.0
    """Share of the run's steps."""

    def __post_init__(self):
        require(self.length >= 8, "phase.length", self.length, "at least 8 tokens")
        require_at_least(self, 1, "batch_size", prefix="phase.")
        require(0 < self.share <= 1, "phase.share", self.share, "a number in (0, 1]")


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """One pretraining run."""

    data: MayDiffer[str]
    """Folder that prepare.py wrote."""
    model: Annotated[EncoderConfig, tyro.conf.AvoidSubcommands]
    """Architecture of the encoder."""
    optimizer: OptimizerConfig
    """Optimizer and learning-rate schedule."""
    loop: Annotated[LoopConfig, tyro.conf.arg(name="")]
    """Number of steps; intervals of logging, evaluation and checkpoints."""
    epochs: MayDiffer[float | None] = None
    """Length of the run as passes over the prepared rows, in place of --steps."""
    budget: MayDiffer[str | None] = None
    """Length of the run as its time on this machine, such as 90s, 45m, 3h or 1h30m, in place of
    --steps. Steps are timed first; steps, warm-up and intervals are planned, and kept on resume."""
    phases: tuple[Phase, ...] = (Phase(),)
    """Sequence lengths and batch sizes, one after the other, under one learning-rate schedule."""
    masking: MaskingConfig = dataclasses.field(default_factory=MaskingConfig)
    """Masking of tokens."""
    nsp: bool | None = None
    """Learn next-sentence prediction too. None: if the rows have its labels, and the model a head.
    False: masked words alone, on rows of either kind; pairs keep their segments A and B."""
    encoder: MayDiffer[str | None] = None
    """Trained model to start from, a run or a directory that `bert_jax.load` opens, of the same
    shape; the data's vocabulary is its own, or its own with new words (prepare.py --add-tokens).
    None: random weights."""
    extend_from: MayDiffer[str | None] = None
    """Run, or one of its checkpoints (RUN/checkpoints/STEP), from whose weights, optimizer state
    and place in the data this new run continues. Schedule, learning rate and length are its own."""
    embedding_start: Literal["random", "ppmi"] = "random"
    """Word embeddings of a run that starts from random weights; "ppmi": vectors from the neighbors
    of each word piece in the prepared rows, a factorized matrix of positive pointwise mutual
    information."""
    decay_from: MayDiffer[int | None] = None
    """Step of this run, with a schedule that stays at its peak, from which another run, named
    NAME-STEP+STEPS, decays the rate to 0: repeat the run's command with this option."""
    decay_steps: MayDiffer[int | None] = None
    """Steps of that decay. None: as many as make it the --optimizer.decay-share of all steps."""
    kernel_start: Literal["normal", "fan_in"] = "normal"
    """Initial values of kernels: a truncated normal distribution of --model.initializer-range, or
    of standard deviation 1 / √(inputs), which suits every width; embeddings keep the former."""
    vocab_multiple: int = 1
    """Round the number of word embeddings up to a multiple, such as 128, which suits the matrix
    units of GPUs and TPUs. The padding is never predicted, and is dropped when the run is loaded,
    fine-tuned or exported."""
    zero_outputs: bool = False
    """Start the kernels that end attention and feed-forward at 0: at first, a layer adds nothing
    to its input."""
    name: MayDiffer[str] = ""
    """Name of the run; empty: the configuration's name."""
    runs_dir: MayDiffer[str] = "runs"
    """Folder of all runs; this one is stored in runs_dir/name."""
    seed: int = 0
    """Seed of the weights, the order of the data, masking and dropout."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of matrix products; parameters, softmax, layer norm and losses are always float32."""
    gradient_dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype in which gradients are summed over devices; "bfloat16" sends half as many bytes."""
    matmul_precision: MayDiffer[Literal["auto", "float32", "default"]] = "auto"
    """Precision of float32 matrix products on GPUs and TPUs; "default": TensorFloat-32 on GPUs,
    bfloat16 on TPUs; "auto": float32 with --dtype float32, else the default."""
    deterministic: MayDiffer[bool] = False
    """On GPUs: the same bits from every run on the same devices, at some cost of speed. CPUs and
    TPUs need no such option."""
    attention: MayDiffer[Literal["auto", "xla", "cudnn", "splash"]] = "auto"
    """Attention kernel; "auto": cuDNN on GPUs where supported, else XLA. "splash" (TPUs), a kernel
    of Pallas, takes less memory; not timed on a device yet."""
    remat: MayDiffer[bool] = False
    """Recompute each layer in the backward pass: less memory, about a third more time."""
    unroll: MayDiffer[bool] = False
    """Unroll the loop over layers: often a little faster on GPU, much slower to compile."""
    accumulation_steps: MayDiffer[int | Literal["auto"]] = 1
    """Gradient accumulation: microbatches into which each device's share of a batch is split. The
    numbers stay the same, but for dropout, which draws other masks. "auto": the fewest with which
    every phase fits into the devices' memory."""
    parallel: MayDiffer[Literal["shard_map", "pmap"]] = "shard_map"
    """JAX transform that runs the step on several devices; the results are the same."""
    eval_rows: MayDiffer[int] = 2048
    """Held-out rows per evaluation, spread evenly over the split."""
    tensorboard: MayDiffer[bool] = False
    """Also write TensorBoard files (needs the [track] extra)."""
    wandb: MayDiffer[str | None] = None
    """Also send the metrics to this project of Weights & Biases (needs the [track] extra)."""
    distributed: MayDiffer[bool] = False
    """Join the other processes of this job. Slurm, MPI, Kubernetes and TPU pods are detected;
    elsewhere set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""
    allow_unverified: MayDiffer[bool] = False
    """Resume from a checkpoint even if its manifest, with the files' hashes, is missing."""
    dry_run: MayDiffer[bool] = False
    """Print parameters, tokens and the configuration, compile every phase's program, print its
    memory, and exit; with 2 if one does not fit."""
    topology: MayDiffer[str | None] = None
    """With --dry-run: machine to compile for in place of this one, such as v5e:2x4 (any TPU slice),
    h100:1, h100:8, h200:8 or a100:8."""

    def __post_init__(self):
        require_name(self.name)
        require_at_least(self, 1, "eval_rows", "decay_from", "decay_steps", "vocab_multiple")
        if self.accumulation_steps != "auto":
            require_at_least(self, 1, "accumulation_steps")
        if self.topology and self.budget:
            raise ConfigError(
                "both --topology and --budget are given",
                "one machine: --budget times the steps of this one",
                "pass --steps in place of --budget",
            )
        require_dry_run(self.topology, self.dry_run)
        if self.encoder and self.extend_from:
            raise ConfigError(
                "both --encoder and --extend-from are given",
                "one model to start from",
                "pass --encoder for its weights only, or --extend-from for the whole state",
            )
        std = self.model.initializer_range
        expected = "above 0, with --kernel-start fan_in"
        require(std > 0 or self.kernel_start != "fan_in", "initializer_range", std, expected)
        if self.decay_steps is not None and self.decay_from is None:
            raise ConfigError(
                f"--decay-steps {self.decay_steps} is given without --decay-from",
                "the step at which the decay begins",
                "pass --decay-from STEP, a checkpoint of this run, or leave out --decay-steps",
            )
        if self.budget is not None:
            parse_duration(self.budget, "--budget")
            if self.epochs is not None:
                raise ConfigError(
                    "both --budget and --epochs are given",
                    "one length of the run",
                    "leave out --budget or --epochs",
                )
            if self.decay_from is not None:
                raise ConfigError(
                    "both --budget and --decay-from are given",
                    "the steps of the run to end",
                    "pass --steps, as its config.json has them, in place of --budget",
                )
        require(self.epochs is None or 0 < self.epochs < 1e6, "epochs", self.epochs, "above 0")
        total = sum(phase.share for phase in self.phases)
        require(abs(total - 1) < 1e-6, "sum of phases' share", total, "exactly 1")
        longest = max(phase.length for phase in self.phases)
        positions = self.model.max_position_embeddings
        require(longest <= positions, "phase.length", longest, f"at most {positions} positions")

    @property
    def num_microbatches(self) -> int:
        """The number of accumulation steps, once "auto" has been replaced by it."""
        assert self.accumulation_steps != "auto", "accumulation_steps is not decided"
        return self.accumulation_steps

    def with_vocab_size(self, tokenizer_size: int, encoder_size: int = 0) -> "PretrainConfig":
        """Take the vocabulary's size from tokenizer and encoder where it is left open; round it up.

        Args:
            tokenizer_size: tokens of the data's tokenizer.
            encoder_size: word embeddings of the model to start from, which may be padded.

        Raises:
            ConfigError: the configuration has fewer entries than the tokenizer or the encoder.
        """
        least = max(tokenizer_size, encoder_size)
        size = self.model.vocab_size or least
        if size < least:
            owner = "tokenizer's" if size < tokenizer_size else f"embeddings of {self.encoder}:"
            raise ConfigError(
                f"model.vocab_size = {size} is smaller than the {owner} {least}",
                f"at least {least} (the rest is padding), or None",
                "leave model.vocab_size out",
            )
        size += -size % self.vocab_multiple
        return dataclasses.replace(self, model=dataclasses.replace(self.model, vocab_size=size))

    def with_nsp(self, labelled: bool) -> "PretrainConfig":
        """Compare `nsp` with the rows; return it as None where it asks for what they have.

        Args:
            labelled: True if the rows have labels of next-sentence prediction.

        Raises:
            ConfigError: it is True, and they have none, or the model has no such head.
        """
        if not self.model.has_nsp:
            if self.nsp:
                raise ConfigError(
                    f"--nsp True, but a {self.model.title} does not predict next sentences",
                    "masked words alone",
                    "leave out --nsp",
                )
            return dataclasses.replace(self, nsp=False if labelled else None)
        if self.nsp and not labelled:
            raise ConfigError(
                f"--nsp True, but {self.data} was prepared without NSP",
                "rows with NSP labels",
                "leave out --nsp, or re-run prepare.py without --no-nsp",
            )
        return dataclasses.replace(self, nsp=None) if self.nsp == labelled else self

    def epochs_per_step(self, num_rows: Mapping[int, int]) -> float:
        """Return the mean share of the prepared rows, by length, that a step of this run reads."""
        return sum(p.share * p.batch_size / num_rows[p.length] for p in self.phases)

    def with_steps(self, num_rows: Mapping[int, int]) -> "PretrainConfig":
        """Replace the number of steps by that of `epochs`, where it is given.

        Args:
            num_rows: training rows of each length. Rows of every length come from the same text,
                so a run's epochs are the sum over its phases.
        """
        if self.epochs is None:
            return self
        steps = max(1, round(self.epochs / self.epochs_per_step(num_rows)))
        return dataclasses.replace(self, loop=dataclasses.replace(self.loop, steps=steps))


@dataclasses.dataclass(frozen=True)
class PhaseSpan:
    """Steps of a run that belong to a phase, counted from 0: start, …, stop - 1."""

    phase: Phase
    start: int
    stop: int


def phase_spans(config: PretrainConfig) -> list[PhaseSpan]:
    """Divide a run's steps among its phases by their shares; together they cover every step."""
    return divide_steps(config.phases, config.loop.steps)


def divide_steps(phases: Sequence[Phase], steps: int) -> list[PhaseSpan]:
    """Divide a number of steps among phases by their shares."""
    ends = [round(share * steps) for share in accumulate(p.share for p in phases)]
    ends[-1] = steps
    starts = [0, *ends[:-1]]
    return [PhaseSpan(*span) for span in zip(phases, starts, ends, strict=True)]


def rows_read(spans: Sequence[PhaseSpan], step: int) -> dict[int, int]:
    """Return how many rows of each length the first `step` steps read."""
    total = {span.phase.length: 0 for span in spans}
    for span in spans:
        num_steps = max(0, min(step, span.stop) - span.start)
        total[span.phase.length] += num_steps * span.phase.batch_size
    return total


def phase_at(spans: list[PhaseSpan], step: int) -> Phase:
    """Return the phase of a step, numbered from 1: the steps taken once it is done."""
    return next(span.phase for span in spans if step <= span.stop)


def length_changes(spans: list[PhaseSpan], step: int) -> int:
    """Count the changes of row length up to a step, numbered from 1 as in `phase_at`."""
    lengths = [span.phase.length for span in spans if span.start < step]
    return sum(before != after for before, after in pairwise(lengths))
