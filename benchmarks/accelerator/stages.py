"""The benchmark's stages, in order of worth.

python -m benchmarks.accelerator.stages STAGE FOLDER SIZE TORCH_PYTHON    # runs one of them
"""

import dataclasses
import platform as machine
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.accelerator.sizes import SIZES, Size, adamw_run, prepare_rows, preset_run
from benchmarks.accelerator.table import Row, append_row, read_rows

PLATFORM, RESULTS = "platform", "results.jsonl"


@dataclasses.dataclass(frozen=True)
class Context:
    """What a stage is given."""

    size: Size
    """Amounts of work."""
    work: Path
    """Folder of files that stages leave for each other."""
    torch_python: str
    """Python interpreter that has PyTorch."""

    @classmethod
    def of(cls, size: str, folder: Path, torch_python: str, results: Path) -> "Context":
        """Complete the options by what the first stage found.

        Args:
            size: "auto", or a name of SIZES.
            folder: folder of the benchmark.
            torch_python: Python interpreter that has PyTorch.
            results: file with the lines of earlier stages.
        """
        if size == "auto":
            found = {row.name: row.value for row in read_rows(results)}
            size = "toy" if found.get(PLATFORM) == "cpu" else "full"
        return cls(SIZES[size], folder / "work", torch_python)

    @property
    def data(self) -> Path:
        """Folder of the prepared rows."""
        return self.work / "data"


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the benchmark."""

    name: str
    """Name in the table."""
    seconds: float
    """Limit of its time, where all have ten minutes."""
    run: Callable[[str, Context], Iterator[Row]]
    """`(name, context) -> lines`, each yielded as soon as it is known."""
    always: bool = False
    """Others cannot do without it."""


def describe_device(stage: str, context: Context) -> Iterator[Row]:
    """Yield device and versions."""
    import importlib.metadata

    import jax

    from bert_jax.nn.execution import device_platform

    device = jax.devices()[0]
    yield Row(stage, PLATFORM, device_platform(), note=device.client.platform_version.strip())
    memory = (device.memory_stats() or {}).get("bytes_limit")
    note = f"{jax.device_count()} here, 1 used"
    note += f"; {memory / 1e9:.1f} GB for JAX" if memory else ""
    yield Row(stage, "device", device.device_kind, note=note)
    names = ("jax", "jaxlib", "flax", "optax", "torch")
    installed = {dist.name.lower(): dist.version for dist in importlib.metadata.distributions()}
    versions = ", ".join(f"{name} {installed[name]}" for name in names if name in installed)
    yield Row(stage, "versions", f"Python {machine.python_version()}", note=versions)


def prepare_data(stage: str, context: Context) -> Iterator[Row]:
    """Generate text, prepare its rows, and yield their numbers."""
    from bert_jax.corpus.prepared import PreparedData

    data = PreparedData(str(prepare_rows(context.work, context.size)))
    for phase in context.size.phases:
        rows = len(data.rows(phase.length, "train"))
        note = f"of {phase.length} tokens, from generated text"
        yield Row(stage, f"T={phase.length}: rows", rows, "", note)


def compare_attention(stage: str, context: Context) -> Iterator[Row]:
    """Yield errors and times of the attention kernels."""
    from benchmarks.accelerator.attention import compare_kernels

    yield from compare_kernels(stage, context.size, context.data)


def race_at(number: int) -> Callable[[str, Context], Iterator[Row]]:
    """Build the stage that races PyTorch on rows of one of the size's lengths."""

    def run(stage: str, context: Context) -> Iterator[Row]:
        from benchmarks.accelerator.duel import race

        config = adamw_run(context.size, context.size.phases[number], context.data)
        yield from race(stage, config, context.size, context.work, context.torch_python)

    return run


def repeat_bits(stage: str, context: Context) -> Iterator[Row]:
    """Yield whether two runs with deterministic kernels end in the same bits."""
    from benchmarks.accelerator.same_bits import compare_runs

    config = adamw_run(context.size, context.size.phases[0], context.data)
    yield from compare_runs(stage, config, context.size.same_bits_steps, context.work)


def finetune(stage: str, context: Context) -> Iterator[Row]:
    """Yield the speed of fine-tuning."""
    from benchmarks.accelerator.task_rates import finetune_rate

    yield from finetune_rate(stage, context.size, context.work)


def predict(stage: str, context: Context) -> Iterator[Row]:
    """Yield the speed of prediction."""
    from benchmarks.accelerator.task_rates import predict_rate

    yield from predict_rate(stage, context.size, context.work)


def run_preset(stage: str, context: Context) -> Iterator[Row]:
    """Yield the speed of the preset as it stands, with Muon and its own masks."""
    from benchmarks.accelerator.duel import race

    config = preset_run(context.size, context.size.phases[0], context.data)
    yield from race(stage, config, context.size, context.work, torch_python=None)


STAGES = (
    Stage("device", 45, describe_device, always=True),
    Stage("rows", 60, prepare_data, always=True),
    Stage("attention", 60, compare_attention),
    Stage("train, short rows", 180, race_at(0)),
    Stage("train, long rows", 170, race_at(1)),
    Stage("same bits", 110, repeat_bits),
    Stage("fine-tuning", 90, finetune),
    Stage("prediction", 60, predict),
    Stage("preset", 90, run_preset),
)


def main(stage_name: str, folder: str, size: str, torch_python: str) -> None:
    """Run a stage, and append its lines to the results as they come."""
    results = Path(folder) / RESULTS
    context = Context.of(size, Path(folder), torch_python, results)
    (stage,) = (stage for stage in STAGES if stage.name == stage_name)
    for row in stage.run(stage.name, context):
        append_row(results, row)


if __name__ == "__main__":
    main(*sys.argv[1:])
