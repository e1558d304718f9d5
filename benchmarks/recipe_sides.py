"""Configurations of the race: `original`, `modern`, and `modern` with one part removed."""

import math
from dataclasses import replace
from typing import NamedTuple

from bert_jax.config import LoopConfig, MaskingConfig, Phase, PretrainConfig
from configs.pretrain import RUNS

ORIGINAL, MODERN = "original", "modern"
BLOCKS = "blocks"  # part of the modern recipe where it trains the model of another preset
MASK_RATE = 0.15  # of the original, and of every evaluation
NUM_CHECKPOINTS = 4  # of each run: points of its curve, and places to resume from
ADAM_SHARE = 0.15  # Adam's learning rate beside Muon's: 3e-3 beside 0.02


class Entry(NamedTuple):
    """One run of the race."""

    side: str
    """Recipe, ORIGINAL or MODERN."""
    rate: float
    """Peak learning rate: Muon's, or AdamW's where there is no Muon."""
    fraction: int
    """The run's time is the budget divided by this number."""
    seed: int
    """Seed of weights, order, masks and dropout."""
    removed: str = ""
    """Part that the modern recipe lacks, one of `PARTS` or BLOCKS; empty: none."""

    @property
    def name(self) -> str:
        """Name of its directory."""
        parts = [self.side, f"{self.rate:g}", f"{self.fraction}", f"{self.seed}"]
        return "-".join([*parts, *self.removed.split()])


def make_config(
    preset: str, data: str, length: int, entry: Entry, steps: int, blocks: str = ""
) -> PretrainConfig:
    """Return the configuration of a run; the caller adds where it is stored.

    Args:
        preset: name of a pretraining run; PRESET_original, if there is one, is the faithful recipe.
        data: folder of prepared data.
        length: T, of all rows.
        entry: recipe, learning rate and seed.
        steps: steps of the whole run.
        blocks: name of the pretraining run whose model the modern recipe trains; empty: the
            preset's.
    """
    start = config = original(preset, data, length, entry.rate, steps)
    if entry.side == MODERN:
        config = modern(config, entry.rate)
        if blocks and entry.removed != BLOCKS:
            config = replace(config, model=RUNS[blocks]().model)
    if entry.removed in PARTS:
        field = PARTS[entry.removed]
        config = replace(config, **{field: getattr(start, field)})
    return replace(config, seed=entry.seed)


def original(preset: str, data: str, length: int, rate: float, steps: int) -> PretrainConfig:
    """Return the faithful recipe: random start, constant masks, AdamW, NSP if rows have labels.

    A batch has the preset's rows of this length, or as many tokens as its first phase.
    """
    config = RUNS.get(f"{preset}_original", RUNS[preset])()
    first = config.phases[0]
    tokens = first.length * first.batch_size
    sizes = {phase.length: phase.batch_size for phase in reversed(config.phases)}
    every = math.ceil(steps / NUM_CHECKPOINTS)
    return replace(
        config,
        data=data,
        phases=(Phase(length, sizes.get(length, max(1, tokens // length))),),
        embedding_start="random",
        kernel_start="normal",
        zero_outputs=False,
        nsp=None,
        masking=MaskingConfig(rate=MASK_RATE),
        optimizer=replace(
            config.optimizer,
            name="original" if config.optimizer.name == "original" else "adamw",
            schedule="linear",
            learning_rate=rate,
            warmup_steps=min(config.optimizer.warmup_steps, steps // 10),
        ),
        loop=LoopConfig(
            steps=steps,
            log_every=math.ceil(steps / 20),
            eval_every=steps,  # its masks are the seed's: the race evaluates the checkpoints
            checkpoint_every=every,
            keep_last=NUM_CHECKPOINTS,
        ),
        eval_rows=sizes.get(length, 64),
    )


def modern(config: PretrainConfig, rate: float) -> PretrainConfig:
    """Return the modern recipe in place of the original.

    Args:
        config: from `original`.
        rate: peak learning rate of Muon.
    """
    return replace(
        config,
        embedding_start="ppmi",
        kernel_start="fan_in",
        zero_outputs=True,
        nsp=False,
        masking=replace(config.masking, rate=2 * MASK_RATE, final_rate=MASK_RATE),
        optimizer=replace(
            config.optimizer,
            name="muon",
            muon_learning_rate=rate,
            learning_rate=ADAM_SHARE * rate,
        ),
    )


PARTS = {
    "PPMI start": "embedding_start",
    "Muon": "optimizer",
    "mask schedule": "masking",
    "fan-in start": "kernel_start",
    "zero outputs": "zero_outputs",
    "MLM alone": "nsp",
}
"""Parts of the modern recipe, and the field that has the original's value without it."""
