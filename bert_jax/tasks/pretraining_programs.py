"""The compiled programs of a pretraining run: built for devices, and compiled before it starts."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from bert_jax.config import Phase, PretrainConfig
from bert_jax.errors import ConfigError
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
from bert_jax.training.ahead import Compilation, Program, compile_ahead
from bert_jax.training.machine import machine_at_hand
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


def build_programs(
    config: PretrainConfig, tokenizer: Tokenizer, nsp: bool, parallel: DataParallel
) -> Programs:
    """Build the programs of a run.

    Args:
        config: the run, with the size of its vocabulary.
        tokenizer: tokenizer of the rows.
        nsp: True to learn next-sentence prediction too.
        parallel: devices to run on, or to compile for.
    """
    init, merge = build(config.model, architecture(pretraining_architecture(nsp)))
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
        dropout_rate=config.model.attention_probs_dropout_prob,
        remat=config.remat,
        unroll=config.unroll,
    )


class BatchShape(NamedTuple):
    """What decides the shapes of a batch."""

    phase: Phase
    """Row length and batch size."""
    max_sequences: int
    """Maximum number J of pairs or sequences in a row."""


def batch_shapes(config: PretrainConfig, shape: BatchShape, nsp: bool, training: bool) -> Any:
    """Return the shapes of a global batch, as in docs/design.md.

    Args:
        config: the run.
        shape: row length, batch size and J.
        nsp: True if the batches have labels of next-sentence prediction.
        training: True for a training batch, False for one of an evaluation.
    """
    num_rows, pairs = shape.phase.batch_size, (shape.phase.batch_size, shape.max_sequences)
    sizes = {"tokens": (num_rows, shape.phase.length), "lengths": (*pairs, 2)}
    sizes |= {"row": (num_rows,), "epoch": (num_rows,)}
    if nsp:
        sizes[NSP_LABEL] = pairs
    if training and config.masking.final_rate is not None:
        sizes[MASK_COUNTS] = pairs
    return {name: jax.ShapeDtypeStruct(size, np.int32) for name, size in sizes.items()}


def phase_programs(
    config: PretrainConfig,
    programs: Programs,
    shapes: Sequence[BatchShape],
    parallel: DataParallel,
    nsp: bool,
    training: TrainFunctions | None = None,
) -> list[list[Program]]:
    """Return the programs of each phase: its training step and its evaluation.

    Args:
        config: the run.
        programs: as built for `parallel`.
        shapes: the shapes of each phase.
        parallel: devices to compile for.
        nsp: True if the batches have labels of next-sentence prediction.
        training: what trains the run. None: build it.
    """
    train_step, init_state, _ = training or programs.make_training(config)
    state = jax.eval_shape(init_state, programs.init_key, programs.dropout_key)
    state = parallel.state_shapes(state)
    result = []
    for shape in shapes:
        train, held_out = (
            parallel.batch_shapes(batch_shapes(config, shape, nsp, training))
            for training in (True, False)
        )
        rows = f"{shape.phase.batch_size} rows of {shape.phase.length} tokens"
        result.append(
            [
                Program(f"training step, {rows}", train_step, (state, train)),
                Program(f"evaluation, {rows}", programs.eval_step, (state.params, held_out)),
            ]
        )
    return result


def fewest_accumulation_steps(
    config: PretrainConfig,
    compile_longest: Callable[[PretrainConfig], Sequence[Compilation]],
    num_devices: int,
) -> PretrainConfig:
    """Find the fewest accumulation steps with which every phase fits, by compiling.

    Args:
        config: the run; its own accumulation steps do not count.
        compile_longest: compiles the training steps of a configuration, up to the first that does
            not fit.
        num_devices: devices that share a batch.

    Returns:
        The configuration with that number.

    Raises:
        ConfigError: not even one row at a time fits.
    """
    rows = math.gcd(*(phase.batch_size for phase in config.phases)) // num_devices
    numbers = [n for n in range(1, rows + 1) if rows % n == 0]
    tried: dict[int, Sequence[Compilation]] = {}

    def fits(number: int) -> bool:
        if number not in tried:
            tried[number] = compile_longest(replace(config, accumulation_steps=number))
        return all(compilation.fits for compilation in tried[number])

    index = 0
    while index < len(numbers) and not fits(numbers[index]):
        index = max(index + 1, _guess(numbers, numbers[index], tried[numbers[index]]))
    while 0 < index < len(numbers) and fits(numbers[index - 1]):
        index -= 1
    if index == len(numbers):
        worst = next(c for c in tried[numbers[-1]] if not c.fits)
        raise ConfigError(
            f"{worst.name} needs {worst.memory / 1e9:.2f} GB with one row at a time",
            f"at most {(worst.available or 0) / 1e9:.2f} GB on a device",
            "pass --remat True, or take a smaller model, shorter rows or more devices",
        )
    return replace(config, accumulation_steps=numbers[index])


def _guess(numbers: Sequence[int], number: int, compilations: Sequence[Compilation]) -> int:
    """Return the index of the next number to try, if temporaries shrink in proportion to it."""
    failed = next(c for c in compilations if not c.fits)
    assert failed.available is not None
    room = max(failed.available - failed.arguments, 1)
    needed = number * failed.temporaries / room
    return next((i for i, n in enumerate(numbers) if n >= needed), len(numbers) - 1)


def compile_training_steps(
    config: PretrainConfig,
    programs: Programs,
    shapes: Sequence[BatchShape],
    parallel: DataParallel,
    nsp: bool,
    compile_program: Callable[[Program], Compilation],
) -> list[Compilation]:
    """Compile the training steps of all phases, those of long rows first, until one fails."""
    phases = phase_programs(config, programs, shapes, parallel, nsp)
    longest_first = sorted(zip(shapes, phases, strict=True), key=lambda x: -x[0].phase.length)
    compilations: list[Compilation] = []
    for _, (training_step, _) in longest_first:
        compilations.append(compile_program(training_step))
        if not compilations[-1].fits:
            break
    return compilations


def phase_shapes(config: PretrainConfig, max_sequences: Mapping[int, int]) -> list[BatchShape]:
    """Return the shape of each phase's batches.

    Args:
        config: the run.
        max_sequences: J of the rows of each length.
    """
    return [BatchShape(phase, max_sequences[phase.length]) for phase in config.phases]


def decide_accumulation(
    config: PretrainConfig,
    programs: Programs,
    shapes: Sequence[BatchShape],
    parallel: DataParallel,
    nsp: bool,
) -> PretrainConfig:
    """Check how batches are split; replace accumulation steps "auto" by the fewest that fit.

    All processes of a job call it together.

    Raises:
        ConfigError: a batch cannot be split over devices and accumulation steps, or does not fit.
    """
    if config.accumulation_steps == "auto":
        for phase in config.phases:
            parallel.check_batch_size(phase.batch_size)
        compile_program = functools.partial(compile_ahead, machine=machine_at_hand())
        config = fewest_accumulation_steps(
            config,
            lambda c: compile_training_steps(c, programs, shapes, parallel, nsp, compile_program),
            parallel.num_devices,
        )
    for phase in config.phases:
        parallel.check_batch_size(phase.batch_size, config.num_microbatches)
    return config
