"""How many accumulation steps a run needs to fit into memory, found by compiling."""

import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bert_jax.config import PretrainConfig
from bert_jax.config.check import require
from bert_jax.errors import ConfigError
from bert_jax.tasks.pretraining_programs import Programs, phase_programs
from bert_jax.training.ahead import Compilation, Program, compile_ahead
from bert_jax.training.checkpoint_hashes import BadStep, list_steps, read_manifest
from bert_jax.training.machine import machine_at_hand
from bert_jax.training.processes import agree


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
            "pass --remat, or take a smaller model, shorter rows or more devices",
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
    config: PretrainConfig, programs: Programs, compile_program: Callable[[Program], Compilation]
) -> list[Compilation]:
    """Compile the training steps of all phases, those of long rows first, until one fails."""
    phases = zip(config.phases, phase_programs(config, programs), strict=True)
    compilations: list[Compilation] = []
    for _, (training_step, _) in sorted(phases, key=lambda x: -x[0].length):
        compilations.append(compile_program(training_step))
        if not compilations[-1].fits:
            break
    return compilations


def decide_accumulation(
    config: PretrainConfig, programs: Programs, folder: Path
) -> tuple[PretrainConfig, list[str]]:
    """Check how batches are split; replace accumulation steps "auto" by the fewest that fit.

    A run that is resumed on as many devices keeps its number. All processes of a job call it
    together; process 0 decides.

    Args:
        config: the run.
        programs: its programs.
        folder: its directory.

    Returns:
        The configuration with a number, and a line for the log if it was chosen here.

    Raises:
        ConfigError: a batch cannot be split over devices and accumulation steps, or does not fit.
    """
    parallel, chosen = programs.parallel, []
    for phase in config.phases:
        parallel.check_batch_size(phase.batch_size)
    if config.accumulation_steps == "auto":
        require(
            parallel.compiles_ahead,
            "accumulation_steps",
            "auto",
            "a number, with --parallel pmap in several processes",
        )
        machine = machine_at_hand()
        compile_program = functools.partial(compile_ahead, machine=machine)

        def decide() -> int:
            if number := _saved_accumulation(folder, parallel.num_devices):
                return number
            return fewest_accumulation_steps(
                config,
                lambda c: compile_training_steps(c, programs, compile_program),
                parallel.num_devices,
            ).num_microbatches

        config = replace(config, accumulation_steps=agree(decide))
        chosen = [f"--accumulation-steps auto: {config.num_microbatches}"]
    for phase in config.phases:
        parallel.check_batch_size(phase.batch_size, config.num_microbatches)
    return config, chosen


def _saved_accumulation(folder: Path, num_devices: int) -> int | None:
    """Return the accumulation steps of a run's newest checkpoint, if it used as many devices."""
    checkpoints = folder / "checkpoints"
    for step in sorted(list_steps(checkpoints), reverse=True):
        with contextlib.suppress(BadStep, OSError):
            shares = read_manifest(checkpoints, step)["extra"].get("shares", {})
            return (
                shares.get("accumulation_steps") if shares.get("devices") == num_devices else None
            )
    return None
