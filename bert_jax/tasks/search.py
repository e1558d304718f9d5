"""Search for settings of fine-tuning: one option after the other, by the score on dev.

Finished trials are in search.json, so a search goes on where it was interrupted, and one that has
ended trains nothing.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bert_jax.config import (
    EncoderConfig,
    FinetuneConfig,
    default_identity,
    fields_that_may_differ,
    flatten,
    resume_identity,
)
from bert_jax.config.finetuning import learning_rates
from bert_jax.errors import ConfigError, DivergedError
from bert_jax.filesystem import read_json_object, write_text
from bert_jax.tasks.splits import Data, limit_examples
from bert_jax.training.checkpoint_hashes import list_steps
from bert_jax.training.identity import ResumeRules, require_same_run
from bert_jax.training.processes import agree

LARGE_PARTS = ("checkpoints", "model", "evaluation")  # of a trial's folder, removed at its end

Grid = dict[str, tuple[float, ...]]
"""Values to try by option, in the order in which the options are searched."""


def make_grid(config: FinetuneConfig, encoder: EncoderConfig) -> Grid:
    """Return the configured values, with learning rates that suit the encoder's width if none are.

    A dropout that is the encoder's own, which None stands for, is left out.

    Raises:
        ConfigError: a value is invalid.
    """
    grid = dict(vars(config.grid))
    del grid["train_limit"]
    grid["learning_rate"] = grid["learning_rate"] or learning_rates(encoder)
    own = encoder.hidden_dropout_rate if config.dropout is None else None
    grid["dropout"] = tuple(rate for rate in grid["dropout"] if rate != own)
    for name, values in grid.items():
        vary(config, name, values)  # validates them
    return grid


def vary(config: FinetuneConfig, name: str, values: Iterable[float]) -> list[FinetuneConfig]:
    """Return the configuration with each of the values of an option."""
    changes: list[dict[str, Any]] = [{name: value} for value in values]
    return [replace(config, **change) for change in changes]


def search(
    start: FinetuneConfig,
    grid: Grid,
    measure: Callable[[FinetuneConfig], float | None],
    sign: int,
) -> FinetuneConfig | None:
    """Return the best configuration that a search of one option after the other finds.

    The first trial is the configuration as given. Then each option is tried with all its values,
    the others as in the best trial so far, so that trials add up and do not multiply. Of equal
    trials the earliest is best.

    Args:
        start: the configuration to start from.
        grid: values by option.
        measure: trains with a configuration; returns its score on dev, NaN if it diverged, None if
            it was interrupted.
        sign: 1 if higher scores are better, -1 if lower ones are.

    Returns:
        None if a trial was interrupted.
    """
    best, best_score = start, measure(start)
    if best_score is None:
        return None
    for name, values in grid.items():
        for candidate in vary(best, name, values):
            score = measure(candidate)
            if score is None:
                return None
            if sign * score > sign * best_score or math.isnan(best_score):
                best, best_score = candidate, score
    return best


class Trials:
    """Trials of a search: the finished ones are read from search.json, and new ones added to it.

    All processes of a job use it together.

    Args:
        folder: the run's directory; trials are in its `search/`.
        config: the run's configuration.
        names: the options that differ between trials.
        data: the data; trials get a part of the training data, and no test data.
        hashes: hashes of data, encoder and so on, on which scores depend.
        train: `(configuration, folder, data) -> score on dev`, or None if a signal stopped it.

    Raises:
        ConfigError: search.json is that of another run, or a run without a search has the folder.
    """

    def __init__(
        self,
        folder: Path,
        config: FinetuneConfig,
        names: Iterable[str],
        data: Data,
        hashes: Mapping[str, str],
        train: Callable[[FinetuneConfig, Path, Data], float | None],
    ):
        self._folder, self._names, self._train = folder / "search", tuple(names), train
        train_data = limit_examples(data["train"], config.grid.train_limit)
        self._data = {"train": train_data, "dev": data["dev"]}
        used, total = len(train_data.examples), len(data["train"].examples)
        print(f"search: trials use {used:,} of {total:,} training examples ({used / total:.0%})")
        self._file = folder / "search.json"
        self._identity = {
            **{k: v for k, v in resume_identity(config).items() if k not in self._names},
            "grid.train_limit": flatten(config)["grid.train_limit"],
            **hashes,
        }
        rules = ResumeRules(fields_that_may_differ(config), default_identity(config))
        self.finished: list[dict[str, Any]] = agree(lambda: self._read(rules))

    def _read(self, rules: ResumeRules) -> list[dict[str, Any]]:
        if not self._file.exists():
            run = self._file.parent
            if any(list_steps(path / "checkpoints") for path in (run, *run.glob("seed-*"))):
                raise ConfigError(
                    f"--search, but {run} has checkpoints of a run without a search",
                    "a run that begins with its search",
                    "pass another --name, or leave out --search to resume",
                )
            return []
        saved = read_json_object(self._file)
        require_same_run(str(self._file), saved.get("identity", {}), self._identity, rules)
        return saved.get("trials", [])

    def measure(self, config: FinetuneConfig) -> float | None:
        """Train with a configuration, unless an earlier trial had the same settings.

        Returns:
            The score on dev; NaN if training diverged; None if a signal stopped it.
        """
        settings = {name: getattr(config, name) for name in self._names}
        for trial in self.finished:
            if all(trial.get(name) == value for name, value in settings.items()):
                return math.nan if trial["score"] is None else trial["score"]
        name = " ".join(f"{name}={json.dumps(value)}" for name, value in settings.items())
        print(f"search: {name}")
        folder, start = self._folder / name, time.perf_counter()
        try:
            trial = replace(config, seeds=1, wandb=None, tensorboard=False)
            score = self._train(trial, folder, self._data)
        except DivergedError as error:
            print(error)
            score = math.nan
        if score is not None:
            self.finished.append(
                {
                    **settings,
                    "score": None if math.isnan(score) else score,
                    "seconds": round(time.perf_counter() - start, 1),
                }
            )
            agree(lambda: self._write(folder))
        return score

    def _write(self, finished: Path) -> None:
        """Write search.json, and remove what is large of the trial that has just ended."""
        content = {"identity": self._identity, "trials": self.finished}
        write_text(self._file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        for part in LARGE_PARTS:
            shutil.rmtree(finished / part, ignore_errors=True)


def describe_trials(trials: Sequence[Mapping[str, Any]], best: FinetuneConfig) -> str:
    """Return a table of the trials, the best one marked, as text."""
    rows = [list(trials[0])]
    for trial in trials:
        settings = {name: v for name, v in trial.items() if name not in ("score", "seconds")}
        is_best = all(getattr(best, name) == value for name, value in settings.items())
        cells = ["encoder's" if value is None else f"{value:g}" for value in settings.values()]
        score = "diverged" if trial["score"] is None else f"{trial['score']:.4f}"
        rows.append([*cells, score, f"{trial['seconds']:.0f}"])
        rows[-1] += ["  best"] if is_best else []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=False))
        + "".join(row[len(widths) :])
        for row in rows
    )
