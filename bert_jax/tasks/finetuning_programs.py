"""The programs of a fine-tuning run: built for devices, shared by the runs of all seeds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from bert_jax.config import FinetuneConfig, LoopConfig
from bert_jax.config.finetuning import loop_config, optimizer_config
from bert_jax.labelled.batching import Packing, steps_per_epoch
from bert_jax.models.architectures import WITH_LABELS, architecture
from bert_jax.models.functional import build
from bert_jax.nn.execution import choose_execution, device_platform
from bert_jax.tasks.prediction import SplitOutputs, make_predictor
from bert_jax.tasks.splits import Data, Split, hash_inputs, read_columns
from bert_jax.tasks.task import Task, make_finetuning_objective
from bert_jax.tasks.word_dropout import WordDropout
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import (
    Batch,
    Metrics,
    Params,
    TrainState,
    make_state_init,
    make_train_step,
)

MAX_UNROLLED_LAYERS = 4  # up to here, unrolling speeds up the step at the same compile time


class TrainingSetup(NamedTuple):
    """Parts that the runs of all seeds share, compiled once."""

    encoder: Any
    """The encoder, a `PretrainedModel`, with the dropout of this training."""
    task: Task
    hashes: dict[str, str]
    """Hashes of encoder, tokenizer and data, which a checkpoint must agree on."""
    parallel: DataParallel
    packing: Packing
    loop: LoopConfig
    schedule: optax.Schedule
    init_train_state: Callable[[jax.Array, jax.Array], TrainState]
    """(parameter key, dropout key) → the state of a model with random weights."""
    train_step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    predict: Callable[[Params, Split], SplitOutputs]
    columns: dict[str, str]
    """Columns of the training data's texts, which the exported model remembers."""


def set_up_training(
    config: FinetuneConfig,
    encoder: Any,
    task: Task,
    data: Data,
    parallel: DataParallel,
) -> TrainingSetup:
    """Build model, objective, optimizer and step, and the function that predicts.

    Args:
        config: the run.
        encoder: the encoder, a `PretrainedModel`.
        task: what it learns.
        data: the splits.
        parallel: devices to run on, or to compile for.
    """
    dropped_out = encoder.config.with_dropout(config.dropout, config.attention_dropout)
    encoder = encoder._replace(config=dropped_out)
    pad_id = encoder.tokenizer.pad_id
    packing = Packing(config.max_length, pad_id, parallel.num_devices, parallel.process)
    num_labels = len(task.labels) if task.architecture in WITH_LABELS else 0
    init, merge = build(encoder.config, architecture(task.architecture, num_labels))
    execution = choose_execution(
        config.attention,
        platform=device_platform(parallel.mesh.devices.flat[0]),
        dtype=config.dtype,
        dropout_rate=encoder.config.attention_probs_dropout_prob,
        unroll=encoder.config.num_hidden_layers <= MAX_UNROLLED_LAYERS,
    )
    loop = loop_config(config, steps_per_epoch(len(data["train"].encoded), config.batch_size))
    optimizer, schedule = make_optimizer(optimizer_config(config, loop.steps), loop.steps)
    word_dropout = WordDropout.of(config.word_dropout, encoder.tokenizer)
    objective = make_finetuning_objective(task, merge, execution, word_dropout)
    return TrainingSetup(
        encoder,
        task,
        hash_inputs(encoder.params, encoder.tokenizer, data),
        parallel,
        packing,
        loop,
        schedule,
        init_train_state=make_state_init(init, optimizer, parallel.replicated),
        train_step=parallel.shard(make_train_step(objective, optimizer)),
        predict=make_predictor(
            task, merge, execution.in_evaluation, parallel, packing, config.eval_batch_size
        ),
        columns=read_columns(task, config),
    )
