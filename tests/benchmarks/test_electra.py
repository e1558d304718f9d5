"""Replaced-token detection against MLM, end to end on a toy classification."""

from pathlib import Path

import pytest

from benchmarks import electra, recipe_sides
from benchmarks.recipe_protocol import Cost
from bert_jax.training.checkpoint_arrays import load_params
from tests.nano import make_nano
from tests.toy_labelled import write_labelled


@pytest.mark.heavy
def test_both_objectives_are_pretrained_and_fine_tuned(prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(recipe_sides.RUNS, "nano", lambda: make_nano(prepared, tmp_path))
    costs = {electra.MLM: Cost(0.0, 10.0), electra.ELECTRA: Cost(0.0, 15.0)}
    monkeypatch.setattr(electra, "load_costs", lambda *arguments: costs)
    train, dev = (write_labelled("classification", tmp_path / f"{n}.tsv", n) for n in (64, 32))
    options = electra.Options(
        str(prepared), train, dev, "nano", minutes=1.0, seeds=(0,), rates=(0.02,), epochs=1.0,
        output=str(tmp_path / "electra"),
    )  # fmt: skip
    assert electra.main(options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("accuracy after 1 minutes: mlm ")
    assert any(line.startswith("| electra | 0.02 | 0 | 4 |") for line in lines)
    params = [
        load_params(Path(options.output) / "pretraining" / f"{side}-0.02-0")[0]
        for side in (electra.MLM, electra.ELECTRA)
    ]
    assert "generator" not in params[0]
    assert "generator" in params[1]
