"""Race of two pretraining recipes: how soon `modern` reaches the loss of `original`.

    python -m benchmarks.recipe --data data/corpus --minutes 8
    python -m benchmarks.recipe --data data/corpus --preset mini --minutes 60 --ablate 3
    python -m benchmarks.recipe --data data/corpus --blocks modernbert_tiny --ablate 1

Both are made of PRESET_original, with one phase of one length: its model, batch size and epsilon.
`original` is its faithful recipe: random weights, AdamW, 15 % masks, NSP if rows have its
labels. `modern` starts word embeddings from a PPMI matrix, trains matrices by Muon and all else by
Adam, masks 30 % falling to 15 %, without NSP. Both decay linearly to 0 within their own steps.

1. The cost of a step of either is measured in turns: a budget becomes steps.
2. Both try as many learning rates on the first seed: `original` in the whole budget, `modern` in
   the middle one of its fractions. The best rate is kept, and these runs count.
3. The target is the best seed of `original` at the end of the budget.
4. `modern` gets fractions of the budget, by bisection: the smallest time in which its worst seed
   ends at the target or below. A crossing before the end of a schedule does not count.
5. --ablate: runs of that fraction with one part removed, in as many steps.

Losses are of the same held-out rows with the same masks, 15 % of the tokens. Times include the PPMI
start and compilation, but not the start of Python; runs take turns on the same cores, and are
repeated while the host of a virtual machine takes processor time away. They are pretrain.py's runs.

Written to --output: runs/, results.jsonl, results.md and loss.svg. Re-run the command to go on
after an interruption, or with more seeds, rates or fractions.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import tyro

from benchmarks.recipe_protocol import (
    Result,
    best_rate,
    largest_reaching,
    middle_of,
    reaches,
    target_loss,
    verdict,
)
from benchmarks.recipe_report import NOTES, draw, table
from benchmarks.recipe_runs import Arena
from benchmarks.recipe_sides import BLOCKS, MODERN, ORIGINAL, PARTS, Entry
from bert_jax.config.check import require
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.filesystem import write_text
from configs.pretrain import RUNS


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the race."""

    data: str
    """Folder that prepare.py wrote."""
    preset: str = "tiny"
    """Pretraining run whose model, batch size and optimizer both recipes start from."""
    blocks: str = ""
    """Pretraining run whose model the modern recipe trains, such as modernbert_tiny; empty: that of
    PRESET. --ablate trains PRESET's too."""
    minutes: float = 8.0
    """Budget of the original: wall time of a run, with its start."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; learning rates are chosen on the first one."""
    original_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    """Learning rates of AdamW that the original tries."""
    modern_rates: tuple[float, ...] = (0.01, 0.02, 0.04)
    """Learning rates of Muon that the modern recipe tries; Adam's is 0.15 times as large."""
    fractions: tuple[int, ...] = (2, 4, 6, 8, 10, 12)
    """Numbers that the budget is divided by for the modern recipe, ascending."""
    length: int | None = None
    """Row length T of all runs; None: the shortest that is prepared."""
    eval_rows: int = 4096
    """Held-out rows of each evaluation."""
    ablate: int = 0
    """Seeds with which each part of the modern recipe is removed; 0: none."""
    tries: int = 2
    """Most times that a run is run while the host disturbs it."""
    output: str = "runs/recipe"
    """Folder of runs and results."""

    def __post_init__(self):
        require(bool(self.seeds), "seeds", self.seeds, "at least one seed")
        require(self.blocks in {"", *RUNS}, "blocks", self.blocks, f"one of {', '.join(RUNS)}")
        rising = sorted(set(self.fractions)) == list(self.fractions) and self.fractions
        require(bool(rising), "fractions", self.fractions, "ascending numbers")
        require(self.tries > 0, "tries", self.tries, "at least 1")
        counts = [len(rates) for rates in (self.original_rates, self.modern_rates)]
        if len(set(counts)) > 1 or not counts[0]:
            raise ConfigError(
                f"{counts[0]} --original-rates, {counts[1]} --modern-rates",
                "as many for one recipe as for the other",
                "give both recipes the same number of learning rates",
            )


class Race:
    """A race, run or read from its folder as far as it got."""

    def __init__(self, options: Options):
        self.options = options
        self.data = PreparedData(options.data)
        self.arena = Arena(
            folder=Path(options.output),
            preset=options.preset,
            data=options.data,
            length=options.length or self.data.lengths[0],
            minutes=options.minutes,
            eval_rows=options.eval_rows,
            tries=options.tries,
            blocks=options.blocks,
        )
        self.arena.begin()
        self.costs = self.arena.costs()
        self.results: dict[str, Result] = {}

    def run(self, entry: Entry) -> Result:
        """Return the result of a run of as many steps as fit into its time."""
        cost = self.costs[entry.side]
        steps = cost.steps(60 * self.options.minutes / entry.fraction)
        result = self.arena.run(entry, steps, cost)
        if entry.name not in self.results:
            self.results[entry.name] = result
            print(f"{entry.name}: loss {result.final_loss:.4f}, {result.seconds / 60:.2f} minutes")
        return result

    def tune(self) -> tuple[float, float]:
        """Return the best learning rate of either recipe on the first seed."""
        options = self.options
        first, middle = options.seeds[0], middle_of(options.fractions)
        originals, moderns = [], []
        for theirs, ours in zip(options.original_rates, options.modern_rates, strict=True):
            originals.append(self.run(Entry(ORIGINAL, theirs, 1, first)))
            moderns.append(self.run(Entry(MODERN, ours, middle, first)))
        return best_rate(originals), best_rate(moderns)

    def race(self) -> list[str]:
        """Run the race; return the lines with which it ends."""
        seeds, fractions = self.options.seeds, self.options.fractions
        original_rate, modern_rate = self.tune()

        def moderns(fraction: int) -> list[Result]:
            return [self.run(Entry(MODERN, modern_rate, fraction, seed)) for seed in seeds]

        originals = []
        for seed in seeds:  # in turns, as far as it is known what has to be run
            originals.append(self.run(Entry(ORIGINAL, original_rate, 1, seed)))
            self.run(Entry(MODERN, modern_rate, middle_of(fractions), seed))
        target = target_loss(originals)
        smallest = largest_reaching(fractions, lambda f: reaches(moderns(f), target))
        fraction = smallest or fractions[0]
        for removed in [*PARTS, *[BLOCKS] * bool(self.options.blocks)]:
            if removed != "MLM alone" or self.data.nsp:
                rate = original_rate if removed == "Muon" else modern_rate
                for seed in seeds[: self.options.ablate]:
                    self.run(Entry(MODERN, rate, fraction, seed, removed))
        return verdict(originals, moderns(fraction), fractions)


def main(options: Options) -> int:
    """Run the race; return the exit code."""
    race = Race(options)
    lines = race.race()
    results = list(race.results.values())
    text = [*table(results), "", *NOTES, *lines]
    write_text(race.arena.folder / "results.md", "\n".join(text) + "\n")
    draw(results, race.arena.folder / "loss.svg")
    print("\n".join(["", f"figure: {race.arena.folder}/loss.svg", *text]))
    return 0


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    options = tyro.cli(Options, description=__doc__)
    jax.config.update("jax_enable_compilation_cache", False)  # every run compiles
    return main(options)


if __name__ == "__main__":
    sys.exit(command_line())
