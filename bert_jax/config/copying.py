"""The tasks on which a memory shows itself, the models for them, and all of `copytask.py`."""

import dataclasses
from typing import Annotated, Literal

import tyro

from bert_jax.config.check import require
from bert_jax.config.training import LoopConfig, OptimizerConfig


@dataclasses.dataclass(frozen=True)
class MemoryTaskConfig:
    """What is to be remembered (Graves et al. 2014, sections 4.1 to 4.3)."""

    name: Literal["copy", "repeat_copy", "associative_recall"] = "copy"
    """Give the vectors back; give them back several times; give the item that followed another."""
    width: int = 8
    """Random bits in a vector."""
    min_size: int = 1
    """Smallest size in training: vectors to copy, or items to recall from."""
    max_size: int = 20
    """Largest size in training."""
    max_repeats: int = 1
    """Most repetitions in training, for repeat_copy."""
    item_length: int = 3
    """Vectors in an item, for associative_recall."""

    def __post_init__(self):
        for field in ("width", "min_size", "max_repeats", "item_length"):
            require(getattr(self, field) >= 1, f"task.{field}", getattr(self, field), "at least 1")
        size = self.max_size
        require(size >= self.min_size, "task.max_size", size, f"at least {self.min_size}")
        repeats = self.max_repeats
        if self.name == "repeat_copy":
            require(repeats >= 2, "task.max_repeats", repeats, "at least 2 for repeat_copy")
        else:
            require(repeats == 1, "task.max_repeats", repeats, f"1 for {self.name}")
        if self.name == "associative_recall":
            least = self.min_size
            require(least >= 2, "task.min_size", least, "at least 2 items: one is asked for")

    @property
    def in_width(self) -> int:
        """Channels of the input: the bits, and the symbols that delimit, ask or count."""
        return self.width + (1 if self.name == "copy" else 2)

    @property
    def out_width(self) -> int:
        """Channels of the output: the bits, and for repeat_copy the end marker."""
        return self.width + (self.name == "repeat_copy")


@dataclasses.dataclass(frozen=True)
class AddressingConfig:
    """Steps of a head's addressing (Graves et al. 2014, figure 2); without one, see what breaks."""

    content: bool = True
    """Look up rows by their content; without it a weighting starts from the one before."""
    interpolation: bool = True
    """Let the gate g mix the content's weighting with the one before; without it g is 1."""
    shift: bool = True
    """Move the weighting by the shift s; without it it stays."""
    sharpening: bool = True
    """Raise the weighting to the power γ; without it γ is 1."""

    def __post_init__(self):
        moves = self.content or self.shift
        require(moves, "model.addressing.shift", self.shift, "True, where content is False")


@dataclasses.dataclass(frozen=True)
class NTMConfig:
    """The shape of a Neural Turing Machine, or of an LSTM that does without the memory."""

    kind: Literal["ntm", "lstm"] = "ntm"
    """"lstm" has the width of the controller and nothing else of this."""
    controller: Literal["lstm", "feed_forward"] = "lstm"
    """What reads the input and steers the heads."""
    width: int = 100
    """Width D of the controller."""
    slots: int = 128
    """Rows N of the memory."""
    slot_width: int = 20
    """Width M of a row."""
    read_heads: int = 1
    """Heads that read."""
    write_heads: int = 1
    """Heads that write."""
    max_shift: int = 1
    """A shift is a distribution over moves from -max_shift to max_shift."""
    addressing: AddressingConfig = AddressingConfig()
    """Steps of the addressing that are switched on."""

    def __post_init__(self):
        for field in ("width", "slots", "slot_width", "read_heads", "write_heads"):
            require(getattr(self, field) >= 1, f"model.{field}", getattr(self, field), "at least 1")
        shift, most = self.max_shift, (self.slots - 1) // 2
        require(0 <= shift <= most, "model.max_shift", shift, f"from 0 to {most}, for the slots")


@dataclasses.dataclass(frozen=True)
class CopyTaskConfig:
    """One run of `copytask.py`."""

    task: MemoryTaskConfig
    """What is to be remembered."""
    model: NTMConfig
    """Who remembers."""
    optimizer: OptimizerConfig
    """Optimizer and schedule."""
    loop: Annotated[LoopConfig, tyro.conf.arg(name="")]
    """Steps, and what happens how often."""
    batch_size: int = 4
    """Sequences in one update, over all devices. One at a time diverges after it has converged."""
    eval_sizes: tuple[int, ...] = (10, 20, 40, 60, 80, 100, 120)
    """Sizes at which the best checkpoint is tried at the end."""
    eval_repeats: tuple[int, ...] = (1,)
    """Repetitions at which each of these sizes is tried."""
    eval_sequences: int = 100
    """Sequences of each size and number of repetitions, at the end."""
    criterion_sizes: tuple[int, ...] = (30, 40)
    """Sizes, 1.5 to 2 times those of training, whose wrong bits, added to those at the largest size
    in training, say which checkpoint is best: only a longer sequence tells a memory that works from
    one that was learned by heart."""
    criterion_sequences: int = 32
    """Sequences of each of these sizes in an evaluation on the way."""
    converged_bits: float = 0.1
    """Wrong bits in a sequence of the largest size in training, below which a run has converged."""
    steps_after: int | None = 2000
    """Updates after convergence at which the run ends; None takes all steps. Training goes on to
    longer sequences for a while, and later often diverges."""
    name: str = ""
    """Name of the run; empty takes the configuration's name."""
    runs_dir: str = "runs"
    """Folder of all runs; this one goes to runs_dir/name."""
    seed: int = 0
    """Seed of weights and sequences."""
    num_devices: int | None = 1
    """Devices to use; None takes all. So few sequences are no work for more than one."""
    parallel: Literal["shard_map", "pmap"] = "shard_map"
    """How the step is spread over devices; both compute the same."""
    tensorboard: bool = False
    """Write TensorBoard files too (needs the [track] extra)."""

    def __post_init__(self):
        for field in ("batch_size", "eval_sequences", "criterion_sequences", "converged_bits"):
            require(getattr(self, field) > 0, field, getattr(self, field), "more than 0")
        for field in ("eval_sizes", "criterion_sizes"):
            sizes = getattr(self, field)
            good = bool(sizes) and min(sizes) >= self.task.min_size
            require(good, field, sizes, f"one or more sizes from {self.task.min_size} on")
        repeats = self.eval_repeats
        most = None if self.task.name == "repeat_copy" else 1
        good = bool(repeats) and min(repeats) >= 1 and max(repeats) <= (most or max(repeats))
        expected = "numbers from 1 on" if most is None else f"only 1 for {self.task.name}"
        require(good, "eval_repeats", repeats, expected)
        after = self.steps_after
        require(after is None or after > 0, "steps_after", after, "more than 0, or None")
