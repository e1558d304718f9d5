"""The plan of a pretraining run (`--dry-run`): parameters, steps, and its programs, compiled."""

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax

from bert_jax.config import PretrainConfig, decay_run, phase_spans, to_json
from bert_jax.config.preparing import default_max_pairs
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import ConfigError, DataError
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build, count_parameters
from bert_jax.remote.addresses import as_path
from bert_jax.reports.programs import describe_compilation
from bert_jax.tasks.accumulation import compile_training_steps, fewest_accumulation_steps
from bert_jax.tasks.pretraining import data_identity, pretraining_architecture
from bert_jax.tasks.pretraining_programs import (
    build_programs,
    phase_programs,
)
from bert_jax.tokenizer.rules import SPECIAL_TOKENS
from bert_jax.tokenizer.tokenizer import Tokenizer
from bert_jax.training.ahead import Compilation, Program, compile_ahead
from bert_jax.training.extension import open_extension
from bert_jax.training.flops import flops_per_token
from bert_jax.training.machine import Machine
from bert_jax.training.optimizers import warmup_warning
from bert_jax.training.parallel import DataParallel

ASSUMED_VOCAB_SIZE = 30_522
MANY_EPOCHS, FEW_EPOCHS = 100, 0.1


def plan_warnings(
    config: PretrainConfig, num_rows: Mapping[int, int], held_out: bool = True
) -> list[str]:
    """Return warnings: of a warm-up that does not end, and of data read too often or too little.

    Args:
        config: the run.
        num_rows: training rows of each length; empty if they are not known.
        held_out: False if there are no held-out rows.
    """
    warnings = []
    if not held_out:
        warnings.append(
            "note: no held-out rows (prepare.py --eval-share 0): the run trains without "
            "evaluation, and its newest checkpoint counts as the best"
        )
    if warning := warmup_warning(config.optimizer, config.loop.steps):
        warnings.append(warning)
    if not num_rows:
        return warnings
    per_step = config.epochs_per_step(num_rows)
    epochs = config.loop.steps * per_step
    if epochs >= MANY_EPOCHS:
        warnings.append(
            f"warning: the run reads the prepared rows {epochs:,.0f} times and may memorize "
            f"them. Add text, or train for less: --epochs 40 is {max(1, round(40 / per_step)):,} "
            "steps"
        )
    elif epochs < FEW_EPOCHS:
        warnings.append(
            f"note: the run reads {epochs:.1%} of the prepared rows; --epochs 1 is "
            f"{max(1, round(1 / per_step)):,} steps"
        )
    return warnings


class Plan(NamedTuple):
    """What a run takes."""

    lines: list[str]
    """Description."""
    fits: bool
    """True if every phase fits into the devices' memory."""


class PlannedRun(NamedTuple):
    """A run whose data may not be prepared yet."""

    config: PretrainConfig
    tokenizer: Tokenizer
    nsp: bool
    max_sequences: dict[int, int]
    """Maximum number of pairs or sequences in a row, by length."""
    num_rows: dict[int, int]
    """Training rows of each length; empty if they are not known."""
    held_out: bool
    """False if there are no held-out rows."""
    lines: list[str]


def make_plan(config: PretrainConfig, machine: Machine, encoder_rows: int = 0) -> Plan:
    """Plan a run: configuration, parameters, steps, and each phase's programs, compiled.

    Args:
        config: the run; where its data is not prepared yet, a vocabulary size is assumed.
        machine: devices to compile for.
        encoder_rows: word embeddings of the model to start from.

    Raises:
        DataError: the data lacks a row length, or is not prepared and the run's length is in
            epochs.
        ConfigError: a batch cannot be split over the devices.
    """
    planned = read_run(config, encoder_rows)
    config, num_rows = planned.config, planned.num_rows
    shapes = jax.eval_shape(
        build(config.model, architecture(pretraining_architecture(config.model, planned.nsp)))[0],
        jax.random.key(0),
    )
    lines = [
        *planned.lines,
        to_json(config),
        f"parameters          {count_parameters(shapes):,}",
        f"devices             {machine}",
    ]
    if num_rows:
        epochs = config.loop.steps * config.epochs_per_step(num_rows)
        lines.append(f"length              {config.loop.steps:,} steps, {epochs:,.2f} epochs")
    config, programs = compile_phases(planned, machine)
    for span, compiled in zip(phase_spans(config), programs.phases, strict=True):
        phase = span.phase
        tokens = phase.batch_size * phase.length
        masked = config.masking.at(span.start, config.loop.steps).rate
        flops = tokens * flops_per_token(config.model, phase.length, masked)
        lines += [
            f"steps {span.start:,} to {span.stop:,} at length {phase.length}",
            f"  tokens per step   {tokens:,}",
            f"  FLOPs per step    {flops:.2e}, at most (rows are full, and a token attends to all)",
        ]
        if num_rows:
            rows_read = (span.stop - span.start) * phase.batch_size
            total = num_rows[phase.length]
            lines += [
                f"  steps per epoch   {total / phase.batch_size:,.1f} ({total:,} rows)",
                f"  epochs            {rows_read / total:,.2f}",
            ]
        lines += [f"  {line}" for each in compiled for line in describe_compilation(each)]
    lines += programs.advice + plan_warnings(config, num_rows, planned.held_out)
    return Plan(lines, programs.fit)


def read_run(config: PretrainConfig, encoder_rows: int) -> PlannedRun:
    """Look at a run's data, if it is prepared; else assume it."""
    try:
        data = PreparedData(config.data)
    except DataError as error:
        if config.epochs is not None:
            raise
        size = config.model.vocab_size or encoder_rows or ASSUMED_VOCAB_SIZE
        config = config.with_vocab_size(size)
        words = [f"[unused{number}]" for number in range(size - len(SPECIAL_TOKENS))]
        lengths = {phase.length for phase in config.phases}
        return PlannedRun(
            config,
            Tokenizer([*SPECIAL_TOKENS, *words]),
            nsp=config.nsp is not False and config.model.has_nsp,
            max_sequences={length: default_max_pairs(length) for length in lengths},
            num_rows={},
            held_out=True,
            lines=[f"no data yet ({error.lines[0]}): a vocabulary of {size:,} is assumed"],
        )
    config = config.with_vocab_size(data.tokenizer.vocab_size, encoder_rows).with_nsp(data.nsp)
    nsp = data.nsp and config.nsp is None
    data.require_lengths(phase.length for phase in config.phases)
    rows = {phase.length: data.rows(phase.length, "train") for phase in config.phases}
    num_rows = {length: len(rows_of_length) for length, rows_of_length in rows.items()}
    config = decay_run(config.with_steps(num_rows))
    folder = as_path(config.runs_dir) / config.name
    return PlannedRun(
        config,
        data.tokenizer,
        nsp,
        {length: each.row_format.max_sequences for length, each in rows.items()},
        num_rows,
        all("eval" in data.splits(length) for length in num_rows),
        open_extension(config, folder, data_identity(data, nsp, config.model)).describe(),
    )


class CompiledPhases(NamedTuple):
    """The programs of a run's phases, compiled."""

    phases: list[list[Compilation]]
    advice: list[str]
    """What was chosen, or what would make them fit."""

    @property
    def fit(self) -> bool:
        """True if all of them fit into memory."""
        return all(compilation.fits for phase in self.phases for compilation in phase)


def compile_phases(run: PlannedRun, machine: Machine) -> tuple[PretrainConfig, CompiledPhases]:
    """Compile every phase's programs; return the configuration with its accumulation steps."""
    # pmap is a jitted shard_map itself, but takes no devices that are absent.
    parallel = DataParallel(devices=machine.devices)

    compiled: dict[Any, Compilation] = {}

    def compile_once(config: PretrainConfig, program: Program) -> Compilation:
        key = (config.accumulation_steps, config.remat, program.name)
        if key not in compiled:
            compiled[key] = compile_ahead(program, machine)
        return compiled[key]

    def fit(config: PretrainConfig) -> PretrainConfig:
        programs = build_programs(config, run.tokenizer, run.nsp, parallel, run.max_sequences)

        def compile_longest(config: PretrainConfig) -> list[Compilation]:
            compile_program = functools.partial(compile_once, config)
            return compile_training_steps(config, programs, compile_program)

        return fewest_accumulation_steps(config, compile_longest, parallel.num_devices)

    def compile_run(config: PretrainConfig) -> list[list[Compilation]]:
        for phase in config.phases:
            parallel.check_batch_size(phase.batch_size, config.num_microbatches)
        programs = build_programs(config, run.tokenizer, run.nsp, parallel, run.max_sequences)
        phases = phase_programs(config, programs)
        return [[compile_once(config, program) for program in phase] for phase in phases]

    def advise(config: PretrainConfig) -> list[str]:
        """Find options with which everything fits, by compiling."""
        for candidate in (config, replace(config, remat=True)):
            with contextlib.suppress(ConfigError):
                fitting = fit(candidate)
                compilations = [each for phase in compile_run(fitting) for each in phase]
                if all(each.fits for each in compilations):
                    options = f"--accumulation-steps {fitting.num_microbatches}"
                    options += " --remat" if fitting.remat and not config.remat else ""
                    lines = [f"  {each}" for each in compilations]
                    return [f"a phase does not fit; with {options} all do:", *lines]
        return ["nothing tried makes every phase fit: pass a smaller batch, or take more devices"]

    config = run.config
    for phase in config.phases:
        parallel.check_batch_size(phase.batch_size)
    if config.accumulation_steps == "auto":
        config = fit(config)
        chosen = f"--accumulation-steps auto: {config.num_microbatches}"
        return config, CompiledPhases(compile_run(config), [chosen])
    result = CompiledPhases(compile_run(config), [])
    if result.fit:
        return config, result
    return config, CompiledPhases(result.phases, advise(config))
