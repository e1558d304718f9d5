"""What a Neural Turing Machine does with a sequence: where its heads stood, and what it answered.

A memory task gives vectors of bits, then marks such as the delimiter, and expects vectors of bits
while nothing more is given. A row of a picture is a step, a column is a row of the memory ("slot").
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from bert_jax.config import read_json
from bert_jax.errors import ConfigError, DataError
from bert_jax.inspection.pictures import Panel, Picture
from bert_jax.labelled.packed import require_finite
from bert_jax.lineage.config import CopyTaskConfig, MemoryTaskConfig
from bert_jax.lineage.copying import collate_sequences, draw_example
from bert_jax.lineage.ntm import NeuralTuringMachine, SequenceLSTM, Weightings, run_ntm
from bert_jax.models.functional import build
from bert_jax.remote.addresses import as_path
from bert_jax.remote.reading import fetch
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.identity import require_saved_model

MAX_STEPS = 320  # of a sequence and its answer
STEPS_PER_SHAPE = 40  # lengths are rounded up to a multiple: few programs
USED = 0.01  # a slot whose weight is never above this is not shown
NO_HEADS = "This model is an LSTM without a memory: it has no heads, and keeps all in its state."
ON, OFF = "■", "□"
MARKS = {"copy": ["end"], "repeat_copy": ["end ×{}"], "associative_recall": ["item", "?"]}

# --- Results --------------------------------------------------------------------------------------


class MemoryStep(NamedTuple):
    """One step of a sequence: something is given, or an answer is expected."""

    name: str
    """The vector or mark, as a row of the picture is named."""
    expected: list[int] | None
    """Bits of the right answer; None while something is given."""
    answer: list[float] | None
    """Probability that each bit of the answer is 1."""

    @property
    def num_wrong(self) -> int:
        """Number of bits that are wrong, rounded at 0.5."""
        if self.answer is None or self.expected is None:
            return 0
        return sum((p > 0.5) != bit for p, bit in zip(self.answer, self.expected, strict=True))


class MemoryTrace(NamedTuple):
    """A sequence, step by step."""

    steps: list[MemoryStep]
    picture: Picture
    """Panels "Read" and "Write": steps over the slots that were used; none for an LSTM."""

    @property
    def num_wrong(self) -> int:
        """Number of wrong bits in the whole answer."""
        return sum(step.num_wrong for step in self.steps)


# --- A trained machine ----------------------------------------------------------------------------


class Machine:
    """A trained model of a memory task.

    Args:
        config: the run's.
        params: of the model.
    """

    def __init__(self, config: CopyTaskConfig, params: dict):
        self.config, self.task, self.params = config, config.task, params
        self.has_memory = config.model.kind == "ntm"
        model = NeuralTuringMachine if self.has_memory else SequenceLSTM
        module = partial(model, in_width=self.task.in_width, out_width=self.task.out_width)
        merge = build(config.model, module)[1]

        @jax.jit
        def run(params: dict, x: Float[Array, "1 T X"]) -> tuple[Array, Weightings | None]:
            module = merge(params)
            logits, heads = run_ntm(module.cell, x) if self.has_memory else (module(x), None)
            return jax.nn.sigmoid(logits), heads

        self._run = run

    def trace(self, size: int, repeats: int = 1, seed: int = 0) -> MemoryTrace:
        """Run the machine on a random sequence, and return where its heads stood.

        Args:
            size: vectors to copy, or items to recall from.
            repeats: how often to copy them; 1 except for repeat_copy.
            seed: of the sequence.

        Raises:
            DataError: a size or a number of repeats that the task has not, or too many steps.
            CheckpointError: the model computes NaN or Inf.

        Example:
            >>> trace = load_machine("runs/copy").trace(20)
            >>> trace.num_wrong, [panel.name for panel in trace.picture.panels]
            (0, ['Read', 'Write'])
        """
        self._check(size, repeats)
        example = draw_example(np.random.default_rng(seed), self.task, size, repeats)
        num_steps = len(example.inputs)
        length = -(-num_steps // STEPS_PER_SHAPE) * STEPS_PER_SHAPE
        inputs = collate_sequences([example], length)["inputs"]
        with jax.default_matmul_precision("highest"):
            answers, heads = jax.device_get(self._run(self.params, inputs))
        require_finite([answers])
        steps = [
            name_given(self.task, given, repeats)
            if not scored
            else MemoryStep(
                bits_as_text(answer > 0.5), expected.astype(int).tolist(), answer.tolist()
            )
            for given, expected, scored, answer in zip(
                example.inputs, example.targets, example.scored, answers[0], strict=False
            )
        ]
        title = f"{self.task.name.replace('_', ' ')}: {size}"
        title += f" × {repeats}" if self.task.name == "repeat_copy" else ""
        if heads is None:
            return MemoryTrace(steps, Picture(title, [], NO_HEADS))
        weights = (x[0, :num_steps].swapaxes(0, 1) for x in (heads.read, heads.write))
        panels = [
            make_panel(name, steps, weights_HTN)
            for name, weights_HTN in zip(("Read", "Write"), weights, strict=True)
        ]
        return MemoryTrace(steps, Picture(title, panels))

    def largest_size(self, repeats: int = 1) -> int:
        """Return the largest size whose sequence and answer fit into MAX_STEPS."""
        size = self.task.min_size
        while self._num_steps(size + 1, repeats) <= MAX_STEPS:
            size += 1
        return size

    def _check(self, size: int, repeats: int) -> None:
        least = self.task.min_size if self.task.name == "associative_recall" else 1
        if size < least or repeats < 1 or (repeats > 1 and self.task.name != "repeat_copy"):
            raise DataError(
                f"size = {size}, repeats = {repeats}",
                f"a size of at least {least}, and 1 repeat except for repeat_copy",
                "choose another size",
            )
        num_steps = self._num_steps(size, repeats)
        if num_steps > MAX_STEPS:
            raise DataError(
                f"size = {size}, repeats = {repeats}: a sequence of {num_steps:,} steps",
                f"at most {MAX_STEPS} steps, so that they can be shown",
                f"choose a size of at most {self.largest_size(repeats)}",
            )

    def _num_steps(self, size: int, repeats: int) -> int:
        """Return the steps of a sequence and its answer."""
        if self.task.name == "associative_recall":
            return (size + 1) * (self.task.item_length + 1) + 1 + self.task.item_length
        return size + 1 + size * repeats + (self.task.name == "repeat_copy")


def load_machine(run: str | Path, which: str = "best") -> Machine:
    """Load the best (or "newest") checkpoint of a run of copytask.py.

    Raises:
        ConfigError: no such run.
        CheckpointError: no usable checkpoint.
    """
    run = fetch(as_path(run))
    if not (run / "config.json").is_file():
        raise ConfigError(
            f"{run} is no run of copytask.py: it has no config.json",
            "a run's directory, such as runs/copy",
            "train first: python copytask.py NAME",
        )
    config = read_json(CopyTaskConfig, run / "config.json")
    params, _, identity = load_params(run, which)
    require_saved_model(run / "config.json", config.model, identity)
    return Machine(config, params)


# --- Steps and panels -----------------------------------------------------------------------------


def bits_as_text(bits: np.ndarray) -> str:
    """Return bits as filled and empty squares."""
    return "".join(ON if bit else OFF for bit in bits)


def name_given(task: MemoryTaskConfig, given: Float[np.ndarray, "X"], repeats: int) -> MemoryStep:
    """Return the step at which something is given: a vector, or a mark."""
    channels = zip(MARKS[task.name], given[task.width :], strict=False)
    marks = [mark.format(repeats) for mark, is_set in channels if is_set]
    return MemoryStep(" ".join(marks) or bits_as_text(given[: task.width] > 0.5), None, None)


def make_panel(name: str, steps: list[MemoryStep], weights: Float[np.ndarray, "H T N"]) -> Panel:
    """Return the panel of the heads that read, or of those that write, over the slots they used."""
    used = np.flatnonzero(weights.max(axis=(0, 1)) > USED)
    rows = [
        f"{number} {step.name}" + (f" ✗{step.num_wrong}" if step.num_wrong else "")
        for number, step in enumerate(steps, 1)
    ]
    groups = [int(step.expected is not None) for step in steps]
    return Panel(name, rows, [str(slot) for slot in used], weights[:, :, used], row_groups=groups)
