"""What the compiler says of a run's programs (`--dry-run`)."""

from collections.abc import Iterable

from bert_jax.errors import ConfigError
from bert_jax.training.ahead import (
    Compilation,
    Program,
    compile_ahead,
    read_collectives,
    read_custom_calls,
    read_host_calls,
)
from bert_jax.training.machine import Machine

FUSED = ("mha", "tpu_custom_call")  # in the names of fused attention kernels: cuDNN's, Pallas'


def describe_compilation(compilation: Compilation) -> list[str]:
    """Describe a program: its memory, communication and attention kernel."""
    lines = [str(compilation)]
    if compilation.executable is not None:
        program = compilation.executable.as_text() or ""
        calls = read_custom_calls(program)
        attention = ", ".join(name for name in calls if any(part in name for part in FUSED))
        lines.append(f"  collectives: {read_collectives(program)}")
        lines.append(f"  attention: {attention or 'XLA'}")
        if waits := read_host_calls(program):
            lines.append(f"  waits for the host: {', '.join(waits)}")
    return lines


def report_programs(programs: Iterable[Program], machine: Machine) -> int:
    """Compile programs, and print what they take.

    Args:
        programs: those of a run.
        machine: the devices that they are built for.

    Returns:
        The exit code: 0, or 2 if one does not fit into memory.
    """
    print(f"devices  {machine}")
    fits = True
    for program in programs:
        compilation = compile_ahead(program, machine)
        print("\n".join(describe_compilation(compilation)))
        fits = fits and compilation.fits
    return 0 if fits else ConfigError.exit_code
