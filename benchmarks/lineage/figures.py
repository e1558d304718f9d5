"""Draw the figures of docs/road.md that need no training: `python -m benchmarks.lineage.figures`.

They are the vanishing gradients and the sinusoids. The length curve and the alignments are drawn by
`toys`, `dates` and `multi30k` with --figure.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx
from jax import Array

from bert_jax.drawing.heatmap import heat_map
from bert_jax.lineage.lstm import LSTMCell, run_lstm
from bert_jax.lineage.transformer import sinusoids
from bert_jax.nn.initializers import fan_in_normal

DEPTHS = (1, 2, 4, 8, 16)
WIDTH, ROWS, LENGTH = 64, 32, 10
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "ReLU": jax.nn.relu,
    "leaky ReLU": jax.nn.leaky_relu,
}


@dataclass(frozen=True)
class Options:
    """Folder and seeds."""

    folder: str = "docs/figures"
    """Folder of the figures."""
    seeds: int = 3
    """Random networks averaged in each point."""


def main(options: Options) -> int:
    """Draw the figures and print the numbers behind them."""
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    stacks: list[tuple[str, Callable, object]]
    stacks = [(name, dense_gradient, name) for name in ACTIVATIONS]
    stacks += [("LSTM", lstm_gradient, False), ("LSTM, residual", lstm_gradient, True)]
    lines: dict[str, list[float]] = {}
    for name, gradient, kind in stacks:
        lines[name] = [mean_over_seeds(gradient, options, kind, depth) for depth in DEPTHS]
        values = zip(DEPTHS, lines[name], strict=True)
        print(f"{name:16}" + "  ".join(f"{depth}: {value:.1e}" for depth, value in values))
    draw_curves(
        folder / "vanishing_gradients.svg", lines, DEPTHS,
        "layers", "gradient at the input / gradient at the output", log=True,
    )  # fmt: skip
    matrix = np.asarray(sinusoids(50, 64))
    picture = heat_map(
        matrix, [str(t) for t in range(50)], [str(i) for i in range(64)],
        "sinusoids: position down, dimension across",
    )  # fmt: skip
    (folder / "sinusoids.svg").write_text(picture, encoding="utf-8")
    return 0


def mean_over_seeds(gradient: Callable, options: Options, *arguments: object) -> float:
    """Return the geometric mean over several random networks."""
    logs = [np.log(gradient(seed, *arguments) + 1e-30) for seed in range(options.seeds)]
    return float(np.exp(np.mean(logs)))


def dense_gradient(seed: int, activation: str, depth: int) -> float:
    """Return the ratio of the gradient's norms at the input and output of a stack of dense layers.

    Kernels are N(0, 1 / fan-in), with which linear layers preserve the norm.
    """
    keys = jax.random.split(jax.random.key(seed), depth + 2)
    kernels = [fan_in_normal(key, (WIDTH, WIDTH)) for key in keys[:depth]]
    target = jax.random.normal(keys[-2], (ROWS, WIDTH))

    @jax.jit
    @jax.grad
    def gradient(x: Array) -> Array:
        for kernel in kernels:
            x = ACTIVATIONS[activation](x @ kernel)
        return (x * target).sum()

    return norm_ratio(gradient(jax.random.normal(keys[-1], (ROWS, WIDTH))), target)


def lstm_gradient(seed: int, residual: bool, depth: int) -> float:
    """Return the same ratio for a stack of LSTMs over ten tokens."""
    rngs = nnx.Rngs(seed)
    cells = [LSTMCell(WIDTH, WIDTH, fan_in_normal, rngs) for _ in range(depth)]
    target = jax.random.normal(rngs.params(), (ROWS, LENGTH, WIDTH))
    mask = jnp.ones((ROWS, LENGTH), bool)

    @jax.jit
    @jax.grad
    def gradient(x: Array) -> Array:
        for cell in cells:
            _, y = run_lstm(cell, x, mask)
            x = x + y if residual else y
        return (x * target).sum()

    return norm_ratio(gradient(jax.random.normal(rngs.params(), target.shape)), target)


def norm_ratio(at_input: Array, at_output: Array) -> float:
    """Return the ratio of two gradients' norms."""
    return float(jnp.linalg.norm(at_input) / jnp.linalg.norm(at_output))


def draw_curves(
    path: Path,
    lines: Mapping[str, Sequence[float]],
    x: Sequence[float],
    x_name: str,
    y_name: str,
    log: bool = False,
) -> None:
    """Draw named lines to an SVG file."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "bert_jax"  # equal numbers give equal files
    figure, axes = plt.subplots(figsize=(7, 4))
    for (name, values), mark in zip(lines.items(), "osv^Dx", strict=False):
        axes.plot(x, values, marker=mark, label=name)
    axes.set(xlabel=x_name, ylabel=y_name)
    if log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
