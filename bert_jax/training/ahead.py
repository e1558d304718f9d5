"""Compile programs before they run, for the devices at hand or for a machine that is absent."""

import contextlib
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from bert_jax.errors import ConfigError
from bert_jax.progress import Progress
from bert_jax.training.machine import Machine, parse_refusal
from bert_jax.training.parallel import DataParallel
from bert_jax.training.processes import everywhere

HostBatch = dict[str, np.ndarray]

# Bytes of an element, by its type in XLA's programs.
ELEMENT_BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
HOST_CALLS = ("callback", "infeed", "outfeed", "send", "recv")


class Program(NamedTuple):
    """A jitted function and the shapes of its arguments."""

    name: str
    """What it does, such as "training step"."""
    function: Any
    """As `DataParallel.shard` returns it."""
    shapes: tuple[Any, ...]
    """Its arguments: arrays, or their `jax.ShapeDtypeStruct`s with shardings."""
    resident: Any = ()
    """What else stays on the devices while it runs, likewise."""
    remedy: str = "pass --accumulation-steps auto, --remat, or a smaller batch"
    """What to do if it does not fit."""


class Compilation(NamedTuple):
    """What the compiler says of a program on one device."""

    name: str
    seconds: float
    """Time to trace and compile it."""
    arguments: int
    """Bytes of its arguments, and of what else stays on the device while it runs."""
    temporaries: int
    """Bytes of everything else that it needs at the same time."""
    available: int | None
    """Bytes that programs may use; None if unknown."""
    refused: bool
    """True if the compiler refused it for its memory."""
    executable: jax.stages.Compiled | None
    """The compiled program."""

    @property
    def memory(self) -> int:
        """Bytes that it needs in all."""
        return self.arguments + self.temporaries

    @property
    def fits(self) -> bool:
        """False if it needs more memory than there is."""
        return not self.refused and (self.available is None or self.memory <= self.available)

    def __str__(self) -> str:
        of = f" of {self.available / 1e9:.2f}" if self.available else ""
        verdict = "fits" if self.fits else "DOES NOT FIT"
        return (
            f"{self.name}: {verdict}: {self.memory / 1e9:.2f}{of} GB (arguments "
            f"{self.arguments / 1e9:.2f}, temporaries {self.temporaries / 1e9:.2f}); compiled in "
            f"{self.seconds:.0f} s"
        )


class Collectives(NamedTuple):
    """Communication between devices in a program, per run of it, loops counted once."""

    counts: dict[str, int]
    """Number of operations of each kind."""
    num_bytes: int
    """Bytes that a device contributes."""
    num_asynchronous: int
    """Operations that run beside others."""

    def __str__(self) -> str:
        if not self.counts:
            return "none"
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        return f"{kinds}, {self.num_bytes / 1e6:,.0f} MB; {self.num_asynchronous} asynchronous"


def programs_of_batches(
    name: str,
    function: Any,
    state: Any,
    batches: Iterable[HostBatch],
    parallel: DataParallel,
    resident: Any = (),
    remedy: str = "pass a smaller batch",
) -> list[Program]:
    """Return what is compiled of a function for the largest of its batches.

    `pmap` compiles nothing ahead in several processes: there are none.

    Args:
        name: what it does.
        function: `(state, batch) -> …`, as `parallel.shard` returns it.
        state: its first argument's shapes, as `parallel.state_shapes` returns them.
        batches: global batches of a run.
        parallel: the devices.
        resident: what else stays on the devices, likewise.
        remedy: what to do if one does not fit.
    """
    if not parallel.compiles_ahead:
        return []
    programs = []
    for batch in largest_batches(batches):
        num_rows, length = next(iter(batch.values())).shape[:2]
        rows = f"{name}, {num_rows} rows of {length} tokens"
        shapes = (state, parallel.batch_shapes(batch))
        programs.append(Program(rows, function, shapes, resident, remedy))
    return programs


def largest_batches(batches: Iterable[HostBatch]) -> list[HostBatch]:
    """Return the batch with the most numbers, and the one with the longest rows if it is another.

    They decide whether a run of batches of many shapes fits into memory.
    """
    most: HostBatch = {}
    longest: HostBatch = {}
    for batch in batches:
        if _size(batch) > _size(most):
            most = batch
        if (_length(batch), _size(batch)) > (_length(longest), _size(longest)):
            longest = batch
    return [most] if _shapes(most) == _shapes(longest) else [most, longest]


def compile_ahead(program: Program, machine: Machine) -> Compilation:
    """Compile a program for a machine; a later call of the function does not compile it again."""
    with Progress(f"compiling {program.name}", summary=False, shown=jax.process_index() == 0):
        return _compile_ahead(program, machine)


def _compile_ahead(program: Program, machine: Machine) -> Compilation:
    began = time.monotonic()
    resident = sum(map(_bytes_on_a_device, jax.tree.leaves(program.resident)))
    arguments = resident + sum(map(_bytes_on_a_device, jax.tree.leaves(program.shapes)))
    lowered = program.function.lower(*program.shapes)
    try:
        with _uncached() if machine.is_absent else contextlib.nullcontext():
            executable = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        refusal = parse_refusal(str(error))
        if refusal is None:
            raise
        temporaries = refusal.needed - (arguments if refusal.has_arguments else 0)
        seconds = time.monotonic() - began
        return Compilation(
            program.name, seconds, arguments, temporaries, refusal.available, True, None
        )
    stats = executable.memory_analysis()
    temporaries = (
        stats.temp_size_in_bytes
        + stats.output_size_in_bytes
        - stats.alias_size_in_bytes
        + stats.generated_code_size_in_bytes
    )
    return Compilation(
        program.name,
        time.monotonic() - began,
        stats.argument_size_in_bytes + resident,
        temporaries,
        machine.memory,
        False,
        executable,
    )


def compile_all(programs: Iterable[Program], machine: Machine) -> list[Compilation]:
    """Compile programs before the first of them runs; all processes of a job call it together.

    Raises:
        ConfigError: one of them needs more memory than the machine has, in any process.
    """
    compilations = []
    for program in programs:
        compilation = compile_ahead(program, machine)
        if not everywhere(compilation.fits):
            raise does_not_fit(compilation, program.remedy)
        compilations.append(compilation._replace(executable=None))
    return compilations


def does_not_fit(compilation: Compilation, remedy: str) -> ConfigError:
    """Return the error of a program that needs more memory than there is."""
    available = (compilation.available or 0) / 1e9
    return ConfigError(
        f"{compilation.name} needs {compilation.memory / 1e9:.2f} GB on a device",
        f"at most {available:.2f} GB, which is what programs may use of it",
        remedy,
    )


def read_collectives(program: str) -> Collectives:
    """Read the communication between devices out of a compiled program's text (HLO)."""
    counts: Counter[str] = Counter()
    num_bytes = num_asynchronous = 0
    kinds = "|".join(COLLECTIVES)
    # %name = f32[8,16]{1,0} all-reduce(…), or a tuple of shapes; an asynchronous one has -start.
    for line in program.splitlines():
        match = re.search(rf"= (.*?) ({kinds})(-start)?\(", line)
        if not match:
            continue
        shapes, kind, start = match.groups()
        counts[kind] += 1
        num_asynchronous += bool(start) and '"is_sync":true' not in line
        num_bytes += sum(
            ELEMENT_BYTES.get(element, 1) * math.prod(map(int, filter(None, sizes.split(","))))
            for element, sizes in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", shapes)
        )
    return Collectives(dict(counts), num_bytes, num_asynchronous)


def read_custom_calls(program: str) -> dict[str, int]:
    """Return how often a compiled program calls each kernel or library from outside XLA."""
    return dict(Counter(re.findall(r'custom_call_target="([^"]*)"', program)))


def read_host_calls(program: str) -> list[str]:
    """Return the operations of a compiled program that wait for the host."""
    operations = re.findall(r"= .*? ([a-z-]+)\(", program)
    calls = [*operations, *read_custom_calls(program)]
    return [call for call in calls if any(word in call for word in HOST_CALLS)]


def _size(batch: HostBatch) -> int:
    return sum(x.size for x in batch.values())


def _length(batch: HostBatch) -> int:
    return max((x.shape[1] for x in batch.values() if x.ndim > 1), default=0)


def _shapes(batch: HostBatch) -> dict[str, tuple[int, ...]]:
    return {name: x.shape for name, x in batch.items()}


def _bytes_on_a_device(x: Any) -> int:
    shape = x.sharding.shard_shape(x.shape) if getattr(x, "sharding", None) else x.shape
    return math.prod(shape) * x.dtype.itemsize


@contextlib.contextmanager
def _uncached() -> Iterator[None]:
    """Keep what is compiled out of JAX's cache on disk: programs of absent machines cannot be read.

    JAX caches no program that compiles in less than a number of seconds.
    """
    name = "jax_persistent_cache_min_compile_time_secs"
    seconds = jax.config.values[name]
    jax.config.update(name, math.inf)
    try:
        yield
    finally:
        jax.config.update(name, seconds)
