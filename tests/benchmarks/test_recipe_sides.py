"""The configurations that are raced."""

from dataclasses import replace

import pytest

from benchmarks import recipe_sides
from benchmarks.recipe_sides import (
    BLOCKS,
    MODERN,
    NUM_CHECKPOINTS,
    ORIGINAL,
    PARTS,
    Entry,
    make_config,
)
from bert_jax.config import MaskingConfig, Phase, flatten
from configs.pretrain import RUNS, base_original, tiny


def make(entry, preset="tiny", length=32, steps=1000):
    return make_config(preset, "rows", length, entry, steps)


def differences(first, second):
    first, second = flatten(first), flatten(second)
    return {name for name in first if first[name] != second[name]}


def test_the_original_is_faithful_even_where_the_preset_is_modern(monkeypatch):
    modern = replace(tiny(), embedding_start="ppmi", zero_outputs=True, kernel_start="fan_in",
                     nsp=False, masking=MaskingConfig(rate=0.3, final_rate=0.15))  # fmt: skip
    modern = replace(modern, optimizer=replace(modern.optimizer, name="muon", schedule="constant"))
    monkeypatch.setattr(recipe_sides, "RUNS", {"tiny": lambda: modern})
    config = make(Entry(ORIGINAL, 2e-3, 1, 7))
    assert (config.embedding_start, config.nsp, config.seed) == ("random", None, 7)
    assert (config.kernel_start, config.zero_outputs) == ("normal", False)
    assert config.masking == MaskingConfig(rate=0.15)
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.schedule) == (
        "adamw", 2e-3, "linear"
    )  # fmt: skip
    assert optimizer.warmup_steps == 100  # a tenth of the steps


def test_the_faithful_preset_is_taken_where_there_is_one():
    config = make(Entry(ORIGINAL, 1e-4, 1, 0), "base", 128)
    assert config.model == base_original().model
    assert config.optimizer.name == "original"


@pytest.mark.parametrize(("length", "batch"), [(32, 64), (128, 32), (64, 32), (512, 4)])
def test_all_rows_have_one_length_and_batches_the_presets_tokens(length, batch):
    assert make(Entry(ORIGINAL, 1e-3, 1, 0), length=length).phases == (Phase(length, batch),)


def test_modern_differs_in_its_parts_and_each_can_be_removed():
    original, modern = (make(Entry(side, 0.02, 1, 0)) for side in (ORIGINAL, MODERN))
    assert differences(original, modern) == {
        "embedding_start", "kernel_start", "zero_outputs", "nsp", "masking.rate",
        "masking.final_rate", "optimizer.name", "optimizer.learning_rate",
    }  # fmt: skip
    assert modern.optimizer.muon_learning_rate == 0.02
    assert modern.optimizer.learning_rate == pytest.approx(0.003)
    removed = set()
    for part, field in PARTS.items():
        without = make(Entry(MODERN, 0.02, 1, 0, part))
        changed = differences(modern, without)
        assert changed
        assert {name.split(".")[0] for name in changed} == {field}
        removed |= changed
    assert removed == differences(original, modern)


def test_modern_may_train_other_blocks_and_they_can_be_removed():
    def make_with(entry):
        return make_config("tiny", "rows", 32, entry, 10, "modernbert_tiny").model

    modern = make_with(Entry(MODERN, 0.02, 1, 0))
    assert modern == RUNS["modernbert_tiny"]().model
    assert make_with(Entry(MODERN, 0.02, 1, 0, "Muon")) == modern
    berts = make_with(Entry(ORIGINAL, 0.02, 1, 0))
    assert make_with(Entry(MODERN, 0.02, 1, 0, BLOCKS)) == berts == RUNS["tiny_original"]().model


def test_a_run_has_a_few_checkpoints_and_is_evaluated_at_its_end():
    loop = make(Entry(ORIGINAL, 1e-3, 1, 0), steps=1001).loop
    assert loop.eval_every == loop.steps == 1001
    assert loop.checkpoint_every * NUM_CHECKPOINTS >= 1001
    assert loop.keep_last == NUM_CHECKPOINTS
    assert make(Entry(ORIGINAL, 1e-3, 1, 0), steps=1).loop.steps == 1


def test_names_of_runs_are_distinct():
    entries = [Entry(MODERN, 0.02, 6, 0, part) for part in ("", *PARTS)]
    entries += [Entry(MODERN, 0.02, 6, 1), Entry(MODERN, 0.02, 8, 0), Entry(ORIGINAL, 0.02, 6, 0)]
    assert len({entry.name for entry in entries}) == len(entries)
