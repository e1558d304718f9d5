"""Memory tasks: copy, repeat copy, associative recall (Graves et al. 2014, section 4).

A batch has one sequence a row; after its end everything is 0 and not scored:

    inputs float32 [B, T, X] · targets float32 [B, T, Y] · scored float32 [B, T]

The model first reads a sequence, then answers: inputs are 0 while outputs are scored.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from bert_jax.lineage.config import MemoryTaskConfig
from bert_jax.training.step import Batch, Metrics, Objective, Params

STREAMS = {"train": 0, "test": 1, "dev": 2}  # of random numbers, which do not overlap


class Example(NamedTuple):
    """One sequence."""

    inputs: np.ndarray  # [T, X]
    targets: np.ndarray  # [T, Y]
    scored: np.ndarray  # [T]: 1 where the output is scored


def draw_example(
    rng: np.random.Generator, task: MemoryTaskConfig, size: int, repeats: int
) -> Example:
    """Draw a sequence of the task; `repeats` is 1 except for repeat_copy."""
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
    """Draw vectors and a delimiter, and the answer: the vectors again."""
    vectors = _bits(rng, size, task.width)
    given = np.zeros((size + 1, task.in_width), np.float32)
    given[:size, : task.width] = vectors
    given[size, task.width] = 1
    return given, vectors


def _repeat_copy(
    rng: np.random.Generator, task: MemoryTaskConfig, size: int, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw vectors and a delimiter with the number of repetitions, and the answer.

    The answer is the vectors, as often, and an end marker. The number has a channel of its own,
    with mean 0 and variance 1 in training, as in the paper.
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
    """Draw items with a delimiter before each, a query, and the answer: the item after the query.

    The query is one of the items, between two query marks.
    """
    items = _bits(rng, size * task.item_length, task.width).reshape(size, -1, task.width)
    query = rng.integers(size - 1)
    given = np.zeros((size + 1, task.item_length + 1, task.in_width), np.float32)
    given[:size, 1:, : task.width] = items
    given[:size, 0, task.width] = 1
    given[size, 1:, : task.width] = items[query]
    given[size, 0, task.width + 1] = 1
    end = np.zeros((1, task.in_width), np.float32)
    end[0, task.width + 1] = 1
    return np.concatenate([given.reshape(-1, task.in_width), end]), items[query + 1]


def _bits(rng: np.random.Generator, num: int, width: int) -> np.ndarray:
    return rng.integers(0, 2, (num, width)).astype(np.float32)


def collate_sequences(examples: Sequence[Example], length: int = 0) -> dict[str, np.ndarray]:
    """Pad examples to the longest, or to `length`, and stack them into a batch."""
    length = max(length, *(len(x.inputs) for x in examples))

    def stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
        padded = np.zeros((len(arrays), length, *arrays[0].shape[1:]), np.float32)
        for row, array in zip(padded, arrays, strict=True):
            row[: len(array)] = array
        return padded

    fields = zip(*examples, strict=True)
    return dict(zip(Example._fields, map(stack, fields), strict=True))


def copying_batches(
    task: MemoryTaskConfig, batch_size: int, seed: int, start_step: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches without end, from `start_step` on; each is a function of seed and step.

    Sizes and repetitions are uniform within the task's limits; all batches are equally long.
    """
    largest = draw_example(np.random.default_rng(0), task, task.max_size, task.max_repeats)
    step = start_step
    while True:
        rng = np.random.default_rng((STREAMS["train"], seed, step))
        sizes = rng.integers(task.min_size, task.max_size, batch_size, endpoint=True)
        repeats = rng.integers(1, task.max_repeats, batch_size, endpoint=True)
        examples = [draw_example(rng, task, *case) for case in zip(sizes, repeats, strict=True)]
        yield collate_sequences(examples, len(largest.inputs))
        step += 1


def eval_batch(
    task: MemoryTaskConfig,
    size: int,
    repeats: int,
    num_sequences: int,
    split: Literal["dev", "test"] = "test",
) -> dict[str, np.ndarray]:
    """Return the batch of one size and split; it is always the same, and never used for training.

    Those of "dev" choose the best checkpoint, those of "test" measure how good it is.
    """
    rng = np.random.default_rng((STREAMS[split], size, repeats))
    return collate_sequences([draw_example(rng, task, size, repeats) for _ in range(num_sequences)])


def make_copying_objective(merge: Callable[[Params], Any]) -> Objective:
    """Build the objective: the mean cross-entropy of the scored bits, in nats.

    Metrics: "cross_entropy", the same; "wrong_bits" in a sequence, and "bit_error", the share of
    wrong bits, both of outputs rounded at 0.5.

    Args:
        merge: `build(config, model)[1]`, of a model from inputs [B, T, X] to logits [B, T, Y].
    """

    def counts(batch: Batch) -> dict[str, Array]:
        return {"bits": batch["scored"].sum() * batch["targets"].shape[-1]}

    def loss(
        params: Params, batch: Batch, counts: dict[str, Array], key: Array | None
    ) -> tuple[Array, Metrics]:
        targets, scored = batch["targets"], batch["scored"][..., None]
        logits = merge(params)(batch["inputs"])
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
    """Measure how the heads move on the copy task, by each step's largest weight.

    Args:
        write: weightings [T, N] of a write head over one sequence.
        read: weightings [T, N] of a read head.
        size: vectors in the sequence, at least 2.

    Returns:
        The share of steps, while the vectors are given, at which the write head moves to a
        neighbouring row; and the share of output steps at which the read head is at the row where
        the same vector was written, at the best constant lag of up to one step.
    """
    slots, first = write.shape[1], size + 1
    wrote, replayed = write[:size].argmax(axis=1), read[first : first + size].argmax(axis=1)
    moves = np.diff(wrote) % slots
    lags = [wrote[1:] == replayed[:-1], wrote == replayed, wrote[:-1] == replayed[1:]]
    return float(np.isin(moves, (1, slots - 1)).mean()), float(max(lag.mean() for lag in lags))
