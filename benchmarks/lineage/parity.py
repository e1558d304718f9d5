"""A published model's weights in our attention model: `python -m benchmarks.lineage.parity`.

"Deep Learning from Scratch 2", chapter 8: dates, character by character; 5,000 of them to test.
With two gates swapped the same weights must get none of them right.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.lineage.trial import judge
from benchmarks.lineage.verdicts import print_verdicts
from bert_jax.lineage.decoding import SpecialTokens, greedy_search
from tests.lineage.date_model import load_into, our_model

QUESTION, ANSWER = 29, 10  # characters of each, with "_" between them


@dataclass(frozen=True)
class Options:
    """Weights and dates."""

    weights: str = "../shared/golden/date_attention.npz"
    """The book's weights, as an .npz of ten arrays and examples."""
    dates: str = "../shared/data/dates/date.txt"
    """The book's 50,000 dates."""


def main(options: Options) -> int:
    """Run the benchmark; return the exit code."""
    weights = dict(np.load(options.weights))
    number = {c: i for i, c in enumerate(weights["characters"])}
    scores, alignments = load_into(weights)(weights["questions"], weights["answers"][:, :-1])
    examples = float((np.asarray(scores).argmax(axis=-1) == weights["answers"][:, 1:]).mean())
    error = float(np.abs(np.asarray(alignments)[:, :, ::-1] - weights["alignments"]).max())

    lines = Path(options.dates).read_text(encoding="utf-8").splitlines()
    x = np.array([[number[c] for c in line[:QUESTION]] for line in lines])
    y = np.array([[number[c] for c in line[QUESTION + 1 :][:ANSWER]] for line in lines])
    order = np.arange(len(lines))
    np.random.seed(1984)  # the book's own split
    np.random.shuffle(order)
    x, y = x[order][-5000:], y[order][-5000:]
    swapped = dict(weights)
    for name in (
        f"{side}_{array}" for side in ("encoder", "decoder") for array in ("Wx", "Wh", "b")
    ):
        f, g, i, o = np.split(weights[name], 4, axis=-1)
        swapped[name] = np.concatenate([i, g, f, o], axis=-1)
    exact, mutant = (
        float((decode(model, x, number["_"]) == y).all(axis=1).mean())
        for model in (weights, swapped)
    )
    return print_verdicts("The book's weights in our attention model", [
        judge("5,000 test dates: exact, greedy", [exact], ">= 0.9998"),
        judge("the same, two gates swapped: exact", [mutant], "<= 0.01"),
        judge("its 8 examples: characters right", [examples], ">= 1.0"),
        judge("its alignments: largest difference", [error], "<= 1e-5"),
    ])  # fmt: skip


def decode(weights: dict[str, np.ndarray], sources: np.ndarray, start: int) -> np.ndarray:
    """Return answers [N, 10] to sources [N, 29], by greedy search from the symbol `start`."""
    m = our_model(weights)

    @jax.jit
    def search(x):
        memory = m.encode(x, jnp.ones(x.shape, bool))
        state, limits = m.init_state(memory, ANSWER), jnp.full(x.shape[0], ANSWER)
        special = SpecialTokens(start, end=-1, pad=0)  # answers have one length, and no end
        return greedy_search(partial(m.step, memory), state, limits, ANSWER, special)

    return np.asarray(search(jnp.asarray(sources)))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
