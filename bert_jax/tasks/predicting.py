"""Predictions for sets of labelled data, spread over all devices, and the loss beside them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from bert_jax.data.batching import Packing, packed_batches, split
from bert_jax.models.architectures import BY_TOKEN
from bert_jax.nn.compute import Compute
from bert_jax.tasks.labelled import Labelled
from bert_jax.tasks.task import Prediction, Task, forward
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import AXIS, Batch, Params


class Predicted(NamedTuple):
    """What a model says of a set, and how far that is from the truth."""

    predictions: list[Prediction]
    loss: float
    """The mean over all targets, as in training, but without dropout."""


def make_predictor(
    task: Task,
    bind: Callable[[Params], Any],
    compute: Compute,
    parallel: DataParallel,
    packing: Packing,
    batch_size: int,
) -> Callable[[Params, Labelled], Predicted]:
    """Builds `(params, labelled) -> Predicted`: one forward pass gives outputs and loss."""
    by_token = task.architecture in BY_TOKEN
    step = parallel.spread(make_predict_step(task, bind, compute), donate=False)

    def predict(params: Params, labelled: Labelled) -> Predicted:
        outputs: list[np.ndarray] = [np.empty(0)] * len(labelled.encoded)
        total = count = 0.0
        for groups, batch in packed_batches(labelled.encoded, batch_size, packing):
            found, loss_sum, num_targets = parallel.get(step(params, parallel.put_batch(batch)))
            total, count = total + float(loss_sum), count + float(num_targets)
            for number, output in split(labelled.encoded, groups, found, by_token):
                outputs[number] = output
        predictions = task.decode(labelled.examples, labelled.encoded, outputs)
        return Predicted(predictions, total / max(count, 1.0))

    return predict


def make_predict_step(task: Task, bind: Callable[[Params], Any], compute: Compute) -> Callable:
    """Builds `(params, batch) -> (outputs, loss sum, targets)` of one device.

    All are of the whole global batch.
    """

    def predict_step(params: Params, batch: Batch) -> tuple[Array, Array, Array]:
        outputs = forward(bind(params), batch, None, compute)
        loss_sum, count = task.loss_sum(outputs, batch), task.num_targets(batch)
        return (
            jax.lax.all_gather(outputs, AXIS, tiled=True),
            jax.lax.psum(loss_sum, AXIS),
            jax.lax.psum(count, AXIS),
        )

    return predict_step
