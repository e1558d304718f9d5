"""pretrain.py where memory is short: refused before the first step, with what would fit."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pretrain
from bert_jax.config import Phase, PretrainConfig, read_json
from bert_jax.config.command_line import choose_run
from bert_jax.errors import ConfigError
from bert_jax.reports import plan
from bert_jax.tasks import accumulation
from bert_jax.training.machine import machine_at_hand
from configs.pretrain import RUNS
from tests.nano import make_nano


@pytest.fixture
def nano(prepared, tmp_path):
    """A run of two phases of 32 rows: four on each device."""
    phases = (Phase(length=32, batch_size=32, share=0.5), Phase(64, 32, 0.5))
    return replace(make_nano(prepared, tmp_path), phases=phases)


@pytest.fixture
def little_memory(monkeypatch):
    """Return a function that leaves programs a number of bytes on each device."""

    def leave(num_bytes):
        machine = machine_at_hand()._replace(memory=num_bytes)
        for module in (pretrain, accumulation):
            monkeypatch.setattr(module, "machine_at_hand", lambda: machine)
        monkeypatch.setattr(pretrain, "choose_machine", lambda topology: machine)

    return leave


def needed_memory(config, accumulation_steps=1, remat=False):
    """Return the bytes that the most demanding training step needs."""
    config = replace(config, accumulation_steps=accumulation_steps, remat=remat)
    run = plan.read_run(config, 0)
    _, programs = plan.compile_phases(run, machine_at_hand())
    return max(step.memory for step, _ in programs.phases)


def test_a_run_whose_second_phase_does_not_fit_ends_before_its_first_step(nano, little_memory):
    little_memory(needed_memory(nano) - 1)
    with pytest.raises(ConfigError, match=r"training step, 32 rows of 64 tokens needs 0\.00 GB"):
        pretrain.main(nano)
    assert not (Path(nano.runs_dir) / nano.name / "metrics.jsonl").exists()


def test_a_dry_run_of_what_does_not_fit_says_what_would(nano, little_memory, capsys, monkeypatch):
    little_memory(needed_memory(nano, 2))
    assert pretrain.main(replace(nano, dry_run=True)) == 2
    printed = capsys.readouterr().out
    assert "training step, 32 rows of 64 tokens: DOES NOT FIT" in printed
    assert "a phase does not fit; with --accumulation-steps 2 all do:" in printed
    (options,) = re.findall(r"does not fit; with (.*) all do:", printed)
    monkeypatch.setattr(sys, "argv", ["pretrain.py", "demo", *options.split(), "--remat"])
    chosen = choose_run(RUNS, "pretrain.py", None)  # the advice is what the command line takes
    assert (chosen.accumulation_steps, chosen.remat) == (2, True)
    assert pretrain.main(replace(nano, dry_run=True, accumulation_steps=2)) == 0


def test_a_dry_run_on_devices_that_do_not_divide_a_batch_is_refused(nano):
    odd = replace(nano, phases=(Phase(32, 12),), accumulation_steps="auto", dry_run=True)
    with pytest.raises(ConfigError, match="batch_size = 12 cannot be split into 8"):
        pretrain.main(odd)


def test_where_nothing_fits_the_figures_are_still_printed(nano, little_memory, capsys):
    little_memory(1000)
    assert pretrain.main(replace(nano, dry_run=True)) == 2
    printed = capsys.readouterr().out
    assert "training step, 32 rows of 32 tokens: DOES NOT FIT: 0.00 of 0.00 GB" in printed
    assert "nothing tried makes every phase fit" in printed


def test_accumulation_steps_auto_are_the_fewest_that_fit(nano, little_memory):
    one, two, four = (needed_memory(nano, number) for number in (1, 2, 4))
    assert four < two < one
    little_memory(two)
    assert pretrain.main(replace(nano, accumulation_steps="auto")) == 0
    saved = read_json(PretrainConfig, Path(nano.runs_dir) / nano.name / "config.json")
    assert saved.accumulation_steps == 2
    # It keeps its number when it is resumed, whatever fits then: dropout draws by it.
    little_memory(10 * one)
    assert pretrain.main(replace(nano, accumulation_steps="auto")) == 0
    saved = read_json(PretrainConfig, Path(nano.runs_dir) / nano.name / "config.json")
    assert saved.accumulation_steps == 2
