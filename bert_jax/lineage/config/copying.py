"""Configuration of `copytask.py`: memory tasks, the models for them, and the run."""

import dataclasses
from typing import Annotated, Literal

import tyro

from bert_jax.config.check import require, require_at_least, require_name
from bert_jax.config.resume import MayDiffer
from bert_jax.config.training import LoopConfig, OptimizerConfig


@dataclasses.dataclass(frozen=True)
class MemoryTaskConfig:
    """Memory task (Graves et al. 2014, sections 4.1 to 4.3)."""

    name: Literal["copy", "repeat_copy", "associative_recall"] = "copy"
    """Output the vectors once; output them several times; output the item after the queried one."""
    width: int = 8
    """Random bits per vector."""
    min_size: int = 1
    """Smallest size in training: vectors to copy, or items to recall from."""
    max_size: int = 20
    """Largest size in training."""
    max_repeats: int = 1
    """Maximum number of repetitions in training, for repeat_copy."""
    item_length: int = 3
    """Vectors per item, for associative_recall."""

    def __post_init__(self):
        names = ("width", "min_size", "max_repeats", "item_length")
        require_at_least(self, 1, *names, prefix="task.")
        size = self.max_size
        require(size >= self.min_size, "task.max_size", size, f"at least {self.min_size}")
        repeats = self.max_repeats
        if self.name == "repeat_copy":
            require(repeats >= 2, "task.max_repeats", repeats, "at least 2 for repeat_copy")
        else:
            require(repeats == 1, "task.max_repeats", repeats, f"1 for {self.name}")
        if self.name == "associative_recall":
            minimum = self.min_size
            require(minimum >= 2, "task.min_size", minimum, "at least 2 items: one is the query")

    @property
    def in_width(self) -> int:
        """Number of input channels: the bits, and the delimiter, query or count symbols."""
        return self.width + (1 if self.name == "copy" else 2)

    @property
    def out_width(self) -> int:
        """Number of output channels: the bits, and for repeat_copy the end marker."""
        return self.width + (self.name == "repeat_copy")


@dataclasses.dataclass(frozen=True)
class AddressingConfig:
    """Steps of a head's addressing (Graves et al. 2014, figure 2), each of which can be ablated."""

    content: bool = True
    """Address rows by content; without it, a weighting starts from the previous one."""
    interpolation: bool = True
    """Interpolate between the content weighting and the previous one by the gate g; without it, g
    is 1."""
    shift: bool = True
    """Shift the weighting by s; without it, the weighting stays in place."""
    sharpening: bool = True
    """Raise the weighting to the power γ; without it, γ is 1."""

    def __post_init__(self):
        moves = self.content or self.shift
        require(moves, "model.addressing.shift", self.shift, "True, where content is False")


@dataclasses.dataclass(frozen=True)
class NTMConfig:
    """Architecture of a Neural Turing Machine, or of an LSTM without external memory."""

    kind: Literal["ntm", "lstm"] = "ntm"
    """Model; "lstm" uses only `width` of the fields below."""
    controller: Literal["lstm", "feed_forward"] = "lstm"
    """Controller, which reads the input and drives the heads."""
    width: int = 100
    """Width D of the controller."""
    slots: int = 128
    """Memory rows N."""
    slot_width: int = 20
    """Width M of a memory row."""
    read_heads: int = 1
    """Number of read heads."""
    write_heads: int = 1
    """Number of write heads."""
    max_shift: int = 1
    """Largest shift: a shift is a distribution over moves from -max_shift to max_shift."""
    addressing: AddressingConfig = AddressingConfig()
    """Steps of the addressing that are enabled."""

    def __post_init__(self):
        names = ("width", "slots", "slot_width", "read_heads", "write_heads")
        require_at_least(self, 1, *names, prefix="model.")
        shift, maximum = self.max_shift, (self.slots - 1) // 2
        require(
            0 <= shift <= maximum, "model.max_shift", shift, f"from 0 to {maximum}, for the slots"
        )


@dataclasses.dataclass(frozen=True)
class CopyTaskConfig:
    """One run of `copytask.py`."""

    task: MemoryTaskConfig
    """Memory task."""
    model: NTMConfig
    """Architecture of the model."""
    optimizer: OptimizerConfig
    """Optimizer and learning-rate schedule."""
    loop: Annotated[LoopConfig, tyro.conf.arg(name="")]
    """Number of steps; intervals of logging, evaluation and checkpoints."""
    batch_size: int = 4
    """Sequences per step, over all devices. With 1, runs diverge after they have converged."""
    eval_sizes: MayDiffer[tuple[int, ...]] = (10, 20, 40, 60, 80, 100, 120)
    """Sizes on which the best checkpoint is tested at the end."""
    eval_repeats: MayDiffer[tuple[int, ...]] = (1,)
    """Numbers of repetitions with which each of these sizes is tested."""
    eval_sequences: MayDiffer[int] = 100
    """Test sequences for each size and number of repetitions."""
    criterion_sizes: tuple[int, ...] = (30, 40)
    """Sizes that, with the largest training size, choose the best checkpoint by their wrong bits:
    1.5 to 2 times those of training, as only longer sequences reveal memorization."""
    criterion_sequences: int = 32
    """Sequences of each of these sizes in an evaluation during training."""
    converged_bits: float = 0.1
    """Wrong bits per sequence of the largest training size below which a run has converged."""
    steps_after: MayDiffer[int | None] = 2000
    """Steps to train after convergence. None: all. At first these improve generalisation to longer
    sequences; later, runs often diverge."""
    name: MayDiffer[str] = ""
    """Name of the run; empty: the configuration's name."""
    runs_dir: MayDiffer[str] = "runs"
    """Folder of all runs; this one is stored in runs_dir/name."""
    seed: int = 0
    """Seed of the weights and the sequences."""
    num_devices: MayDiffer[int | None] = 1
    """Devices to use. None: all. Batches are too small to gain from more than one."""
    parallel: MayDiffer[Literal["shard_map", "pmap"]] = "shard_map"
    """JAX transform that runs the step on several devices; the results are the same."""
    tensorboard: MayDiffer[bool] = False
    """Also write TensorBoard files (needs the [track] extra)."""
    wandb: MayDiffer[str | None] = None
    """Also send the metrics to this project of Weights & Biases (needs the [track] extra)."""
    allow_unverified: MayDiffer[bool] = False
    """Resume from a checkpoint even if its manifest, with the files' hashes, is missing."""

    def __post_init__(self):
        require_name(self.name)
        for field in ("batch_size", "eval_sequences", "criterion_sequences", "converged_bits"):
            require(getattr(self, field) > 0, field, getattr(self, field), "more than 0")
        for field in ("eval_sizes", "criterion_sizes"):
            sizes = getattr(self, field)
            good = bool(sizes) and min(sizes) >= self.task.min_size
            require(good, field, sizes, f"one or more sizes of at least {self.task.min_size}")
        repeats = self.eval_repeats
        maximum = None if self.task.name == "repeat_copy" else 1
        good = bool(repeats) and min(repeats) >= 1 and max(repeats) <= (maximum or max(repeats))
        expected = "numbers of at least 1" if maximum is None else f"only 1 for {self.task.name}"
        require(good, "eval_repeats", repeats, expected)
        after = self.steps_after
        require(after is None or after > 0, "steps_after", after, "more than 0, or None")
