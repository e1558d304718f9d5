"""The programs of a fine-tuning run: built for devices, shared by the runs of all seeds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from bert_jax.config import FinetuneConfig, LoopConfig
from bert_jax.config.finetuning import loop_config, optimizer_config
from bert_jax.labelled.batching import Packing, planned_batches, steps_per_epoch
from bert_jax.labelled.packed import packed_batches
from bert_jax.models.architectures import WITH_LABELS, architecture, architecture_of
from bert_jax.models.functional import build
from bert_jax.nn.execution import choose_execution, device_platform
from bert_jax.tasks.prediction import SplitOutputs, make_predict_step, make_predictor
from bert_jax.tasks.splits import Data, Split, hash_inputs, read_columns
from bert_jax.tasks.task import Task, make_finetuning_objective
from bert_jax.tasks.word_dropout import WordDropout
from bert_jax.training.ahead import Program, programs_of_batches
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
    predict_step: Callable[[Params, Batch], Any]
    """Program of an evaluation batch."""
    predict: Callable[[Params, Split], SplitOutputs]
    """Evaluation of a split."""
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
    name = architecture_of(encoder.config, task.head)
    num_labels = len(task.labels) if name in WITH_LABELS else 0
    init, merge = build(encoder.config, architecture(name, num_labels))
    execution = choose_execution(
        config.attention,
        platform=device_platform(parallel.mesh.devices.flat[0]),
        dtype=config.dtype,
        dropout_rate=encoder.config.attention_dropout_rate,
        unroll=encoder.config.num_hidden_layers <= MAX_UNROLLED_LAYERS,
    )
    loop = loop_config(config, steps_per_epoch(len(data["train"].encoded), config.batch_size))
    optimizer, schedule = make_optimizer(optimizer_config(config, loop.steps), loop.steps)
    word_dropout = WordDropout.of(config.word_dropout, encoder.tokenizer)
    objective = make_finetuning_objective(task, merge, execution, word_dropout)
    predict_step = parallel.shard(
        make_predict_step(task, merge, execution.in_evaluation), donate=False
    )
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
        predict_step=predict_step,
        predict=make_predictor(task, predict_step, parallel, packing, config.eval_batch_size),
        columns=read_columns(task, config),
    )


def largest_programs(config: FinetuneConfig, setup: TrainingSetup, data: Data) -> list[Program]:
    """Return the programs of a run's largest batches, to compile them before it starts.

    Args:
        config: the run.
        setup: its parts.
        data: the splits.
    """
    parallel, key = setup.parallel, jax.random.key(0)
    state = parallel.state_shapes(jax.eval_shape(setup.init_train_state, key, key))
    packing = setup.packing._replace(process=(0, 1))  # whole batches
    held_out = (
        batch
        for name, split in data.items()
        if name != "train"
        for _, batch in packed_batches(split.encoded, config.eval_batch_size, packing)
    )
    return programs_of_batches(
        "training step",
        setup.train_step,
        state,
        planned_batches(data["train"].encoded, config.batch_size, packing),
        parallel,
        remedy="pass a smaller --batch-size or --max-length",
    ) + programs_of_batches(
        "evaluation",
        setup.predict_step,
        state.params,
        held_out,
        parallel,
        resident=state.opt_state,
        remedy="pass a smaller --eval-batch-size or --max-length",
    )
