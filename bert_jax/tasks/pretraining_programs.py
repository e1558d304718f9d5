"""The compiled programs of a pretraining run: built for devices, and compiled before it starts."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from bert_jax.config import Phase, PretrainConfig, phase_spans
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import Params, build
from bert_jax.models.initial import start_kernels
from bert_jax.nn.execution import Execution, choose_execution, device_platform
from bert_jax.tasks.pretraining import (
    MASK_COUNTS,
    NSP_LABEL,
    make_pretraining_objectives,
    pretraining_architecture,
)
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.ahead import Program
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import (
    Objective,
    TrainState,
    make_eval_step,
    make_state_init,
    make_train_step,
)


class TrainFunctions(NamedTuple):
    """Training functions of a run of a known number of steps."""

    train_step: Callable[[Any, Any], tuple[Any, Any]]
    """Sharded training step, `(state, batch) -> (state, metrics)`."""
    init_state: Callable[[Array, Array], TrainState]
    """From `make_state_init`: `(parameter key, dropout key) -> state`."""
    schedule: Callable[[int], Any]
    """Learning rate of each step, counted from 0."""


class Programs(NamedTuple):
    """Programs of a run on some devices; nothing is compiled yet."""

    make_training: Callable[[PretrainConfig], TrainFunctions]
    """Builds what trains a run of the configuration's number and accumulation of steps."""
    eval_step: Callable[[Any, Any], Any]
    """Sharded evaluation step, `(parameters, batch) -> metrics`."""
    init_key: Array
    """PRNG key of the parameters."""
    dropout_key: Array
    """PRNG key of dropout."""
    objective: Objective
    """What the training step minimizes."""
    parallel: DataParallel
    """Devices."""
    nsp: bool
    """True if batches have labels of next-sentence prediction."""
    max_sequences: Mapping[int, int]
    """Maximum number J of pairs or sequences in a row of each length."""


def build_programs(
    config: PretrainConfig,
    tokenizer: Tokenizer,
    nsp: bool,
    parallel: DataParallel,
    max_sequences: Mapping[int, int],
) -> Programs:
    """Build the programs of a run.

    Args:
        config: the run, with the size of its vocabulary.
        tokenizer: tokenizer of the rows.
        nsp: True to learn next-sentence prediction too.
        parallel: devices to run on, or to compile for.
        max_sequences: maximum number J of pairs or sequences in a row of each length.
    """
    init, merge = build(config.model, architecture(pretraining_architecture(config.model, nsp)))
    init_key, mask_key, dropout_key = jax.random.split(jax.random.key(config.seed), 3)
    execution = choose_pretraining_execution(config, parallel)
    objective, eval_objective = make_pretraining_objectives(
        config, tokenizer, merge, mask_key, execution
    )
    return Programs(
        functools.partial(make_train_functions, parallel, init, objective),
        parallel.shard(make_eval_step(eval_objective), donate=False),
        init_key,
        dropout_key,
        objective,
        parallel,
        nsp,
        max_sequences,
    )


def make_train_functions(
    parallel: DataParallel,
    init: Callable[[Array], Params],
    objective: Objective,
    config: PretrainConfig,
) -> TrainFunctions:
    """Build the training step, the state before its first step, and the learning rates."""
    optimizer, schedule = make_optimizer(config.optimizer, config.loop.steps)
    step = make_train_step(objective, optimizer, config.num_microbatches, config.gradient_dtype)
    init_train_state = make_state_init(
        lambda key: start_kernels(init(key), config), optimizer, parallel.replicated
    )
    return TrainFunctions(parallel.shard(step), init_train_state, schedule)


def choose_pretraining_execution(config: PretrainConfig, parallel: DataParallel) -> Execution:
    """Choose dtype, attention kernel and remat for the devices."""
    return choose_execution(
        config.attention,
        platform=device_platform(parallel.mesh.devices.flat[0]),
        dtype=config.dtype,
        dropout_rate=config.model.attention_dropout_rate,
        remat=config.remat,
        unroll=config.unroll,
    )


def batch_shapes(
    config: PretrainConfig, phase: Phase, max_sequences: int, nsp: bool, training: bool
) -> Any:
    """Return the shapes of a global batch, as in docs/design.md.

    Args:
        config: the run.
        phase: row length and batch size.
        max_sequences: maximum number J of pairs or sequences in a row.
        nsp: True if the batches have labels of next-sentence prediction.
        training: True for a training batch, False for one of an evaluation.
    """
    num_rows, pairs = phase.batch_size, (phase.batch_size, max_sequences)
    sizes = {"tokens": (num_rows, phase.length), "lengths": (*pairs, 2)}
    sizes |= {"row": (num_rows,), "epoch": (num_rows,)}
    if nsp:
        sizes[NSP_LABEL] = pairs
    if training and config.masking.final_rate is not None:
        sizes[MASK_COUNTS] = pairs
    return {name: jax.ShapeDtypeStruct(size, np.int32) for name, size in sizes.items()}


class PhasePrograms(NamedTuple):
    """The programs of a phase, with the shapes of their arguments."""

    training_step: Program
    evaluation: Program


def phase_programs(
    config: PretrainConfig, programs: Programs, training: TrainFunctions | None = None
) -> list[PhasePrograms]:
    """Return the programs of each phase.

    Args:
        config: the run.
        programs: its programs.
        training: what trains the run. None: build it.
    """
    train_step, init_state, _ = training or programs.make_training(config)
    parallel = programs.parallel
    state = jax.eval_shape(init_state, programs.init_key, programs.dropout_key)
    state = parallel.state_shapes(state)
    result = []
    for phase in config.phases:
        train, held_out = (
            parallel.batch_shapes(
                batch_shapes(
                    config, phase, programs.max_sequences[phase.length], programs.nsp, is_training
                )
            )
            for is_training in (True, False)
        )
        rows = f"{phase.batch_size} rows of {phase.length} tokens"
        result.append(
            PhasePrograms(
                Program(f"training step, {rows}", train_step, (state, train)),
                Program(
                    f"evaluation, {rows}",
                    programs.eval_step,
                    (state.params, held_out),
                    resident=state.opt_state,
                ),
            )
        )
    return result


def remaining_programs(
    config: PretrainConfig,
    programs: Programs,
    training: TrainFunctions,
    start: int,
    evaluated: bool,
) -> list[Program]:
    """Return the programs that a run still needs, to compile them before it goes on.

    `pmap` compiles nothing ahead in several processes: there are none.

    Args:
        config: the run.
        programs: its programs.
        training: what trains it.
        start: steps already taken.
        evaluated: True if there are held-out rows.
    """
    if not programs.parallel.compiles_ahead:
        return []
    phases = phase_programs(config, programs, training)
    return [
        program
        for span, phase in zip(phase_spans(config), phases, strict=True)
        if start < span.stop
        for program in (phase if evaluated else phase[:1])
    ]
