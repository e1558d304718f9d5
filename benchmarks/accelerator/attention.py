"""Stage of the attention kernels: equal outputs and gradients on packed rows, and their times."""

import time
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from benchmarks.accelerator.sizes import Size
from benchmarks.accelerator.table import Row
from bert_jax.config import Phase
from bert_jax.corpus.loader import load_batch
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import ConfigError
from bert_jax.nn.execution import AttentionKernel, choose_execution, device_platform
from bert_jax.nn.layout import block_diagonal_mask, row_layout
from bert_jax.nn.transformer import dot_product_attention

TOLERANCE = 1e-2
"""Largest relative error of a bfloat16 kernel: ‖x - y‖ / ‖y‖ against float32. bfloat16 has 8 bits,
so a value is rounded by up to 2⁻⁸ = 0.4 %; probabilities, and in the gradients their differences
from a mean, are rounded once more."""

Values = dict[str, Array]


def compare_kernels(stage: str, size: Size, data: Path) -> Iterator[Row]:
    """Yield each kernel's errors against float32, and its time, on rows of every length."""
    for phase in size.phases:
        inputs, mask = make_inputs(size, phase, data)
        with jax.default_matmul_precision("highest"):
            exact = run_kernel("xla", [x.astype(jnp.float32) for x in inputs], mask)
        for kernel in typing.get_args(AttentionKernel):
            name = f"T={phase.length}, {kernel}"
            try:
                choose_execution(
                    kernel, platform=device_platform(), dtype="bfloat16", dropout_rate=0.0
                )
            except ConfigError as error:
                yield Row(stage, name, note=error.lines[0])
                continue
            found = run_kernel(kernel, inputs, mask)
            errors = {part: relative_error(found[part], exact[part]) for part in exact}
            note = ", ".join(f"{part} {error:.1e}" for part, error in errors.items())
            note += f"; relative to float32, at most {TOLERANCE:g} is expected"
            worst = max(errors.values())
            yield Row(stage, f"{name}: error", worst, "", note, worst <= TOLERANCE)
            seconds = time_kernel(kernel, inputs, mask, repeats=size.steps)
            note = f"forward and backward, {phase.batch_size} rows, one layer"
            yield Row(stage, f"{name}: time", 1e3 * seconds, "ms", note)


def make_inputs(
    size: Size, phase: Phase, data: Path
) -> tuple[list[Float[Array, "B T H K"]], Bool[Array, "B 1 T T"]]:
    """Return random queries, keys, values and gradient of the output, and the rows' mask."""
    rows = PreparedData(str(data)).rows(phase.length, "train")
    batch = load_batch(rows, phase.batch_size, 0, 0)
    mask = block_diagonal_mask(row_layout(jnp.asarray(batch["lengths"]), phase.length).sequence_ids)
    shape = (phase.batch_size, phase.length, size.model.num_attention_heads, size.head_width)
    keys = jax.random.split(jax.random.key(0), 4)
    return [jax.random.normal(key, shape, jnp.bfloat16) for key in keys], mask


def attention_and_gradients(kernel: Any) -> Callable[..., Values]:
    """Build the function that returns a kernel's output and gradients."""

    def compute(q: Array, k: Array, v: Array, cotangent: Array, mask: Array) -> Values:
        def attend(q: Array, k: Array, v: Array) -> Array:
            return dot_product_attention(q, k, v, mask, implementation=kernel)

        output, pull_back = jax.vjp(attend, q, k, v)
        return dict(zip(("output", "dq", "dk", "dv"), (output, *pull_back(cotangent)), strict=True))

    return jax.jit(compute)


def run_kernel(kernel: Any, inputs: list[Array], mask: Array) -> Values:
    """Return output and gradients."""
    return attention_and_gradients(kernel)(*inputs, mask)


def time_kernel(kernel: Any, inputs: list[Array], mask: Array, repeats: int) -> float:
    """Return the seconds of a forward and backward pass."""
    compute = attention_and_gradients(kernel)
    jax.block_until_ready(compute(*inputs, mask))
    start = time.perf_counter()
    results = [compute(*inputs, mask)["output"] for _ in range(repeats)]
    jax.block_until_ready(results)
    return (time.perf_counter() - start) / repeats


def relative_error(x: Array, y: Array) -> float:
    """Return ‖x - y‖ / ‖y‖; infinite if x is not finite."""
    x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    error = float(jnp.linalg.norm(x - y) / jnp.linalg.norm(y))
    return error if error < float("inf") else float("inf")
