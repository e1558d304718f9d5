"""Outputs and loss for a split of labelled data, on all devices: the evaluation."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from bert_jax.corpus.loader import HostBatch
from bert_jax.labelled.batching import Packing
from bert_jax.labelled.packed import apply_packed, count_outputs
from bert_jax.models.architectures import BY_TOKEN
from bert_jax.nn.execution import Execution
from bert_jax.progress import Progress
from bert_jax.tasks.splits import Split
from bert_jax.tasks.task import Prediction, Task, forward
from bert_jax.training.feeding import compute_ahead
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import AXIS, Batch, Params


class SplitOutputs(NamedTuple):
    """The model's outputs for a split, and their loss."""

    outputs: list[np.ndarray]
    """The outputs for each encoded text, as `Task.decode` takes them."""
    loss: float
    """Mean over all targets, as in training but without dropout."""


def make_predictor(
    task: Task,
    step: Callable[[Any, Any], Any],
    parallel: DataParallel,
    packing: Packing,
    batch_size: int,
) -> Callable[[Params, Split], SplitOutputs]:
    """Build `(params, split) -> SplitOutputs`; one forward pass gives both outputs and loss.

    Args:
        task: what the model has learned.
        step: from `make_predict_step`, as `parallel.shard` returns it, without donation.
        parallel: the devices.
        packing: how texts are packed into rows.
        batch_size: size of a batch, see `packed_batches`.
    """
    by_token = task.head in BY_TOKEN

    def predict(params: Params, split: Split) -> SplitOutputs:
        total = count = 0.0

        def apply(batches: Iterator[HostBatch]) -> Iterator[np.ndarray]:
            nonlocal total, count
            results = compute_ahead(lambda batch: step(params, batch), batches, parallel)
            for outputs, loss_sum, num_targets in results:
                total, count = total + float(loss_sum), count + float(num_targets)
                yield outputs

        num_outputs = count_outputs(split.encoded, by_token)
        num_texts = len(split.encoded)
        with Progress(
            "evaluating", unit="texts", summary=False, shown=parallel.is_first_process
        ) as progress:
            outputs = apply_packed(
                apply, split.encoded, num_outputs, batch_size, packing,
                lambda share: progress.update(share * num_texts, share),
            )  # fmt: skip
        return SplitOutputs(outputs, total / max(count, 1.0))

    return predict


def decode_and_tune(
    task: Task, split: Split, outputs: Sequence[np.ndarray]
) -> tuple[Task, list[Prediction]]:
    """Return the task as tuned on held-out data, such as by thresholds, and its predictions."""
    predictions = task.decode(split.examples, split.encoded, outputs)
    tuned = task.tune(split.examples, predictions)
    if tuned is task:
        return task, predictions
    return tuned, tuned.decode(split.examples, split.encoded, outputs)


def make_predict_step(task: Task, merge: Callable[[Params], Any], execution: Execution) -> Callable:
    """Build the program of one device: `(params, batch) -> (outputs, loss sum, num targets)`.

    The batch is the device's share; the results are those of the global batch.
    """

    def predict_step(params: Params, batch: Batch) -> tuple[Array, Array, Array]:
        outputs = forward(merge(params), batch, None, execution)
        loss_sum, num_targets = task.loss_sum(outputs, batch), task.num_targets(batch)
        return (
            jax.lax.all_gather(outputs, AXIS, tiled=True),
            jax.lax.psum(loss_sum, AXIS),
            jax.lax.psum(num_targets, AXIS),
        )

    return predict_step
