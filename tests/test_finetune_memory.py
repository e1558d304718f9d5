"""finetune.py compiles its largest batches before its first step, and ends if they do not fit."""

from dataclasses import replace
from pathlib import Path

import jax
import pytest

import finetune
from bert_jax.errors import ConfigError
from bert_jax.labelled.batching import finetuning_batches
from bert_jax.labelled.rejects import Rejects
from bert_jax.pretrained import read_model
from bert_jax.tasks.finetuning_programs import largest_programs, set_up_training
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.splits import read_splits
from bert_jax.training.ahead import compile_ahead, compile_all
from bert_jax.training.machine import machine_at_hand
from bert_jax.training.parallel import DataParallel
from tests.test_finetune import make


def read(config, mode="shard_map"):
    """Return the setup and the data of a run."""
    encoder = read_model(config.encoder, labels=False)
    task, data = read_splits(KINDS[config.task], config, encoder.tokenizer, Rejects(), print)
    return set_up_training(config, encoder, task, data, DataParallel(mode)), data


@pytest.fixture
def little_memory(monkeypatch):
    """Return a function that leaves programs a number of bytes on each device."""

    def leave(num_bytes):
        machine = machine_at_hand()._replace(memory=num_bytes)
        monkeypatch.setattr(finetune, "machine_at_hand", lambda: machine)

    return leave


@pytest.mark.parametrize(("kind", "mode"), [("classification", "shard_map"), ("tagging", "pmap")])
def test_what_is_compiled_ahead_is_what_runs(kind, mode, nano_run, tmp_path, backend_compilations):
    config = make(kind, tmp_path, nano_run)
    setup, data = read(config, mode)
    programs = largest_programs(config, setup, data)
    assert [program.name.split(",")[0] for program in programs] == ["training step", "evaluation"]
    compile_all(programs, machine_at_hand())
    state = setup.init_train_state(*jax.random.split(jax.random.key(0)))
    state = setup.parallel.put_state(state)
    batches = finetuning_batches(data["train"].encoded, config.batch_size, setup.packing, seed=0)
    batch = setup.parallel.put_batch(next(batches))
    before = len(backend_compilations)
    state, _ = setup.train_step(state, batch)
    setup.predict(state.params, data["dev"])
    compile_all(programs, machine_at_hand())  # as for a second seed
    assert len(backend_compilations) == before > 0


def test_a_run_that_does_not_fit_ends_before_its_first_step(nano_run, tmp_path, little_memory):
    config = make("classification", tmp_path, nano_run, seeds=2, evals_per_epoch=0.1)
    little_memory(1000)
    with pytest.raises(ConfigError, match=r"(?s)training step, 8 rows.* smaller --batch-size"):
        finetune.main(config)
    assert not (tmp_path / "run" / "seed-0" / "metrics.jsonl").exists()
    little_memory(None)
    assert finetune.main(config) == 0
    for seed in ("seed-0", "seed-1"):
        log = (tmp_path / "run" / seed / "train.log").read_text()
        for name in ("training step, 8 rows", "evaluation, 8 rows"):
            assert log.index(name) < log.index("first step took")
    little_memory(1)
    assert finetune.main(config) == 0  # nothing is left to do, so nothing is compiled


def test_an_evaluation_that_does_not_fit_is_named(nano_run, tmp_path):
    config = make("classification", tmp_path, nano_run, batch_size=1, eval_batch_size=2048)
    many = tmp_path / "many"
    lines = Path(config.dev).read_text().splitlines(keepends=True)
    many.write_text("".join([lines[0], *lines[1:] * 200]))
    programs = largest_programs(config, *read(replace(config, dev=str(many))))
    compiled = compile_ahead(programs[-1], machine_at_hand())
    assert compiled.memory > compile_ahead(programs[0], machine_at_hand()).memory
    with pytest.raises(ConfigError, match=r"(?s)evaluation, .* smaller --eval-batch-size"):
        compile_all(programs, machine_at_hand()._replace(memory=compiled.memory - 1))
