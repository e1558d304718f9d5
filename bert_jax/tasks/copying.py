"""What a memory is tried on: copy, repeat copy, associative recall (Graves et al. 2014, section 4).

A batch has one sequence a row; what follows its end is 0 and not scored:

    inputs float32 [B, T, X] · targets float32 [B, T, Y] · scored float32 [B, T]

A sequence is first given, then asked for: inputs are 0 while outputs are scored.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from bert_jax.config import MemoryTaskConfig
from bert_jax.training.step import Batch, Metrics, Objective, Params

STREAMS = {"train": 0, "test": 1, "dev": 2}  # of random numbers; they never meet


class Example(NamedTuple):
    """One sequence."""

    inputs: np.ndarray  # [T, X]
    targets: np.ndarray  # [T, Y]
    scored: np.ndarray  # [T]: 1 where the output counts


def example(rng: np.random.Generator, task: MemoryTaskConfig, size: int, repeats: int) -> Example:
    """Draws a sequence of the task; `repeats` is 1 but for repeat_copy."""
    draw = {
        "copy": _copy,
        "repeat_copy": _repeat_copy,
        "associative_recall": _associative_recall,
    }[task.name]
    given, answer = draw(rng, task, size, repeats)
    start, length = len(given), len(given) + len(answer)
    inputs = np.zeros((length, task.in_width), np.float32)
    targets = np.zeros((length, task.out_width), np.float32)
    inputs[:start], targets[start:] = given, answer
    return Example(inputs, targets, (np.arange(length) >= start).astype(np.float32))


def _copy(
    rng: np.random.Generator, task: MemoryTaskConfig, size: int, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors and a delimiter; the vectors again."""
    vectors = _bits(rng, size, task.width)
    given = np.zeros((size + 1, task.in_width), np.float32)
    given[:size, : task.width] = vectors
    given[size, task.width] = 1
    return given, vectors


def _repeat_copy(
    rng: np.random.Generator, task: MemoryTaskConfig, size: int, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors, and a delimiter with the number of repetitions; these, and an end marker.

    The number has a channel of its own, with mean 0 and variance 1 in training, as in the paper.
    """
    vectors = _bits(rng, size, task.width)
    given = np.zeros((size + 1, task.in_width), np.float32)
    given[:size, : task.width] = vectors
    given[size, task.width] = 1
    most = task.max_repeats
    given[size, task.width + 1] = (repeats - (most + 1) / 2) / np.sqrt((most**2 - 1) / 12)
    answer = np.zeros((size * repeats + 1, task.out_width), np.float32)
    answer[:-1, : task.width] = np.tile(vectors, (repeats, 1))
    answer[-1, task.width] = 1
    return given, answer


def _associative_recall(
    rng: np.random.Generator, task: MemoryTaskConfig, size: int, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """Items, a delimiter before each, and one of them between query marks; the item after it."""
    items = _bits(rng, size * task.item_length, task.width).reshape(size, -1, task.width)
    asked = rng.integers(size - 1)
    given = np.zeros((size + 1, task.item_length + 1, task.in_width), np.float32)
    given[:size, 1:, : task.width] = items
    given[:size, 0, task.width] = 1
    given[size, 1:, : task.width] = items[asked]
    given[size, 0, task.width + 1] = 1
    end = np.zeros((1, task.in_width), np.float32)
    end[0, task.width + 1] = 1
    return np.concatenate([given.reshape(-1, task.in_width), end]), items[asked + 1]


def _bits(rng: np.random.Generator, num: int, width: int) -> np.ndarray:
    return rng.integers(0, 2, (num, width)).astype(np.float32)


def pad(examples: Sequence[Example], length: int = 0) -> dict[str, np.ndarray]:
    """A batch of the examples, as long as the longest, or `length`."""
    length = max(length, *(len(x.inputs) for x in examples))

    def stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
        filled = np.zeros((len(arrays), length, *arrays[0].shape[1:]), np.float32)
        for row, array in zip(filled, arrays, strict=True):
            row[: len(array)] = array
        return filled

    fields = zip(*examples, strict=True)
    return dict(zip(Example._fields, map(stack, fields), strict=True))


def train_batches(
    task: MemoryTaskConfig, batch_size: int, seed: int, start: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields batches without end, from step `start` on; each is a function of seed and step.

    Sizes and repetitions are uniform within the task's limits; all batches are equally long.
    """
    largest = example(np.random.default_rng(0), task, task.max_size, task.max_repeats)
    step = start
    while True:
        rng = np.random.default_rng((STREAMS["train"], seed, step))
        sizes = rng.integers(task.min_size, task.max_size, batch_size, endpoint=True)
        repeats = rng.integers(1, task.max_repeats, batch_size, endpoint=True)
        drawn = [example(rng, task, *case) for case in zip(sizes, repeats, strict=True)]
        yield pad(drawn, len(largest.inputs))
        step += 1


def eval_batch(
    task: MemoryTaskConfig,
    size: int,
    repeats: int,
    num_sequences: int,
    split: Literal["dev", "test"] = "test",
) -> dict[str, np.ndarray]:
    """A batch of one size, always the same, and never one of those for training.

    Those of "dev" choose the best checkpoint, those of "test" say how good it is.
    """
    rng = np.random.default_rng((STREAMS[split], size, repeats))
    return pad([example(rng, task, size, repeats) for _ in range(num_sequences)])


def make_objective(bind: Callable[[Params], Any]) -> Objective:
    """The mean cross-entropy of the scored bits, in nats.

    Metrics: "cross_entropy", the same; "wrong_bits" in a sequence, and "bit_error", the share of
    wrong ones, both of outputs rounded at 0.5.

    Args:
        bind: `build(config, model)[1]`, of a model from inputs [B, T, X] to logits [B, T, Y].
    """

    def counts(batch: Batch) -> dict[str, Array]:
        return {"bits": batch["scored"].sum() * batch["targets"].shape[-1]}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        targets, scored = batch["targets"], batch["scored"][..., None]
        logits = bind(params)(batch["inputs"])
        total = (scored * optax.sigmoid_binary_cross_entropy(logits, targets)).sum()
        wrong = (scored * ((logits > 0) != (targets > 0.5))).sum()
        num_bits = scored.sum() * targets.shape[-1]
        num_sequences = batch["scored"].max(axis=1).sum()
        return total / jnp.maximum(counts["bits"], 1), {
            "cross_entropy": (total, num_bits),
            "wrong_bits": (wrong, num_sequences),
            "bit_error": (wrong, num_bits),
        }

    return Objective(lambda batch: batch, counts, loss)


def head_motion(write: np.ndarray, read: np.ndarray, size: int) -> tuple[float, float]:
    """How a head on the copy task goes about it, by each step's largest weight.

    Args:
        write: weightings [T, N] of a write head over one sequence.
        read: those of a read head.
        size: vectors in the sequence, at least 2.

    Returns:
        The share of steps, while the vectors are given, at which the write head moves to a
        neighbouring row; and the share of output steps at which the read head stands where the
        same vector was written, at the best constant lag of up to one step.
    """
    slots, first = write.shape[1], size + 1
    wrote, replayed = write[:size].argmax(axis=1), read[first : first + size].argmax(axis=1)
    moves = np.diff(wrote) % slots
    lags = [wrote[1:] == replayed[:-1], wrote == replayed, wrote[:-1] == replayed[1:]]
    return float(np.isin(moves, (1, slots - 1)).mean()), float(max(lag.mean() for lag in lags))
