"""Stages that train: our step, PyTorch's on the same rows, and memory next to the compiler's."""

import contextlib
import importlib.util
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.accelerator.ours import StepWork
from benchmarks.accelerator.sizes import Size
from benchmarks.accelerator.table import Row, file_name
from bert_jax.config import EncoderConfig, Phase, PretrainConfig, to_json
from bert_jax.filesystem import write_text
from bert_jax.training.flops import flops_per_token, peak_flops
from race import Side

MEMORY_TOLERANCE = 0.05
LOSS_TOLERANCE = 0.05  # of the first loss, in nats: both sides draw their own dropout


def race(
    stage: str, config: PretrainConfig, size: Size, folder: Path, torch_python: str | None
) -> Iterator[Row]:
    """Train in alternating blocks with PyTorch, and yield the measurements of both.

    Args:
        stage: name of the stage.
        config: the run, with one phase.
        size: number of steps and blocks.
        folder: folder for what both sides read.
        torch_python: Python interpreter that has PyTorch. None: PyTorch does not take part.
    """
    config_file = folder / f"{file_name(stage)}.json"
    write_text(config_file, to_json(config))
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # both sides share the device's memory

    def start(module: str, python: str) -> Side:
        return Side([python, "-m", f"benchmarks.accelerator.{module}", str(config_file)])

    with contextlib.closing(start("ours", sys.executable)) as ours:
        about = ours.receive()
        work = StepWork(**about["work"])
        yield from describe_ours(stage, config.phases[0], work, about)
        warm_up(ours, size.steps)
        ours.run_quietly(size.steps)
        flops = usual_flops_per_token(config.model, work.attended, work.predicted)
        strict = flops_per_token(config.model, work.attended, work.predicted)

        def speed(name: str, side: Side) -> Iterator[Row]:
            return speed_rows(stage, name, side, work, about["device"], flops, strict)

        yield from speed("bert_jax", ours)
        if torch_python is None:
            return
        if obstacle := torch_obstacle(torch_python, about["platform"]):
            yield Row(stage, "PyTorch", note=obstacle)
            return
        with contextlib.closing(start("theirs", torch_python)) as theirs:
            yield from describe_theirs(stage, about, theirs.receive())
            warm_up(theirs, size.steps)
            for _ in range(size.blocks):
                for side in (ours, theirs):
                    side.run_quietly(size.steps)
            if sensors := read_sensors():
                yield Row(stage, "sensors after the last block", note=sensors)
        yield from speed("bert_jax", ours)
        yield from speed("PyTorch", theirs)
    ratio = statistics.median(theirs.seconds) / statistics.median(ours.seconds)
    surest = min(theirs.seconds) / max(ours.seconds)
    note = f"its fastest block against our slowest: {surest:.2f}"
    yield Row(stage, "bert_jax, PyTorch = 1", ratio, "", note)


def warm_up(side: Side, steps: int) -> None:
    """Run a block that does not count."""
    side.run_quietly(steps)
    side.seconds.clear()


def describe_ours(
    stage: str, phase: Phase, work: StepWork, about: Mapping[str, Any]
) -> Iterator[Row]:
    """Yield the rows' description, the time of compilation, and memory."""
    shape = f"{phase.batch_size} x {phase.length}"
    note = f"{shape}, {work.full:.1%} full; a token attends to {work.attended:.0f} on average"
    yield Row(stage, "tokens in a step", work.tokens, "", note)
    yield Row(stage, "bert_jax: compilation", about["compile_seconds"], "s", about["about"])
    said, peak = about["bytes_said"], about["peak_bytes"]
    yield Row(stage, "memory, by the compiler", said / 1e9, "GB", "before anything is allocated")
    if peak is None:
        yield Row(stage, "memory, highest in use", note="the device does not report it")
        return
    passed = abs(peak / said - 1) <= MEMORY_TOLERANCE
    note = f"{peak / said - 1:+.1%}; within {MEMORY_TOLERANCE:.0%} is expected"
    yield Row(stage, "memory, highest in use", peak / 1e9, "GB", note, passed)


def describe_theirs(
    stage: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[Row]:
    """Yield the time of PyTorch's compilation, its memory, and the difference of the first loss."""
    note = "; ".join(filter(None, (theirs["about"], theirs["other_kernels"])))
    yield Row(stage, "PyTorch: compilation", theirs["compile_seconds"], "s", note)
    if theirs["peak_bytes"] is not None:
        note = "all batches, masks included, are on the device"
        yield Row(stage, "PyTorch: memory", theirs["peak_bytes"] / 1e9, "GB", note)
    gap = abs(ours["first_loss"] - theirs["first_loss"])
    note = f"{ours['first_loss']:.4f} and {theirs['first_loss']:.4f}, same weights and masks, each"
    note += f" with its own dropout; at most {LOSS_TOLERANCE} is expected"
    yield Row(stage, "first loss, difference", gap, "", note, gap <= LOSS_TOLERANCE)


def speed_rows(
    stage: str,
    name: str,
    side: Side,
    work: StepWork,
    device: str,
    flops: float,
    strict: float,
) -> Iterator[Row]:
    """Yield speed and MFU of a side.

    Args:
        stage: name of the stage.
        name: name of the side.
        side: its measurements.
        work: work of a step.
        device: kind of the device.
        flops: operations of training on a token, by the usual formula.
        strict: the same, without what the last layer need not compute.
    """
    seconds = statistics.median(side.seconds)
    rate = work.tokens / seconds
    slow, fast = (work.tokens / f(side.seconds) for f in (max, min))
    note = f"{1e3 * seconds:.4g} ms a step; blocks from {slow:,.0f} to {fast:,.0f}"
    samples = tuple(work.tokens / seconds for seconds in side.seconds)
    yield Row(stage, f"{name}: tokens", rate, "/s", note + side.disturbed, samples=samples)
    note = f"{flops / 1e6:.6g} MFLOP a token"
    yield Row(stage, f"{name}: model FLOPs", rate * flops / 1e12, "TFLOP/s", note)
    if peak := peak_flops(device):
        note = f"of {peak / 1e12:.0f} TFLOP/s, the peak of {device} in bfloat16; {{}}"
        note = note.format(f"{rate * strict / peak:.1%} without the last layer's unused outputs")
        yield Row(stage, f"{name}: MFU", rate * flops / peak, "share", note)
    else:
        yield Row(stage, f"{name}: MFU", note=f"the peak of {device} is not known")


def usual_flops_per_token(config: EncoderConfig, attended: float, predicted: float) -> float:
    """Return the operations of training on a token as they are usually counted.

    3 · [2L(4D² + 2DF) + 4LDS + p(2D² + 2DV)], with the whole last layer; `flops_per_token` counts
    only what is used of it.

    Args:
        config: the model; vocab_size must be set.
        attended: S, mean number of tokens that a token attends to.
        predicted: p, share of the tokens that are projected onto the vocabulary.
    """
    width, layers = config.hidden_size, config.num_hidden_layers
    assert config.vocab_size is not None
    linear = 2 * layers * (4 * width**2 + 2 * width * config.intermediate_size)
    attention = 4 * layers * width * attended
    head = predicted * (2 * width**2 + 2 * width * config.vocab_size)
    return 3 * (linear + attention + head)


def read_sensors() -> str | None:
    """Return what nvidia-smi reads from the first GPU; None if it is not there."""
    query = "clocks.sm,clocks.max.sm,power.draw,temperature.gpu,driver_version"
    try:
        done = subprocess.run(
            ["nvidia-smi", "-i", "0", f"--query-gpu={query}", "--format=csv,noheader"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    names = ("clock", "of at most", "power", "temperature", "driver")
    values = done.stdout.strip().split(", ")
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=False))


def torch_obstacle(python: str, platform: str) -> str | None:
    """Return why PyTorch cannot take part on a platform; None if it can."""
    code = "import torch, sys; sys.exit(0 if torch.cuda.is_available() else 7)"
    if python == sys.executable and importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    result = subprocess.run([python, "-c", code], check=False, capture_output=True)
    if result.returncode not in (0, 7):
        return f"torch is not installed for {python}"
    if platform not in ("cpu", "cuda"):
        return f"not measured on {platform}"
    return "no CUDA in torch" if platform == "cuda" and result.returncode else None
