"""Where the heads of a Neural Turing Machine stood, on random machines of every task."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import copytask
from bert_jax.config import LoopConfig
from bert_jax.errors import ConfigError, DataError
from bert_jax.lineage import ntm_inspection
from bert_jax.lineage.config import MemoryTaskConfig, NTMConfig
from bert_jax.lineage.copying import draw_example
from bert_jax.lineage.ntm import NeuralTuringMachine, SequenceLSTM, run_ntm
from bert_jax.lineage.ntm_inspection import MAX_STEPS, Machine, load_machine
from bert_jax.models.functional import build
from configs.copytask import RUNS
from tests.test_copytask import make_nano

TASKS = {
    "copy": MemoryTaskConfig(width=3),
    "repeat_copy": MemoryTaskConfig("repeat_copy", width=3, max_repeats=4),
    "associative_recall": MemoryTaskConfig(
        "associative_recall", width=3, min_size=2, item_length=2
    ),
}
MODEL = NTMConfig(width=8, slots=10, slot_width=4, read_heads=2)


def make(task, model=MODEL, seed=0):
    """Return a random machine, whose heads stand anywhere."""
    module = NeuralTuringMachine if model.kind == "ntm" else SequenceLSTM
    init, merge = build(model, partial(module, in_width=task.in_width, out_width=task.out_width))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda p: p + rng.normal(0, 0.5, p.shape).astype(np.float32), init(jax.random.key(seed))
    )
    return Machine(replace(RUNS["copy"](), task=task, model=model), params), merge(params)


@pytest.mark.parametrize("name", TASKS)
def test_weights_and_answers_are_those_of_the_machine_on_the_sequence_alone(name):
    machine, module = make(TASKS[name])
    repeats = 2 if name == "repeat_copy" else 1
    trace = machine.trace(3, repeats, seed=5)
    example = draw_example(np.random.default_rng(5), TASKS[name], 3, repeats)
    logits, heads = run_ntm(module.cell, jnp.asarray(example.inputs[None]))  # without padding

    assert len(trace.steps) == len(example.inputs) == machine._num_steps(3, repeats)
    expected_wrong = ((logits[0] > 0) != (example.targets > 0.5)).sum(axis=1) * example.scored
    assert [step.num_wrong for step in trace.steps] == expected_wrong.tolist()
    assert trace.num_wrong == expected_wrong.sum() > 0
    for t, step in enumerate(trace.steps):
        if example.scored[t]:
            assert step.expected == example.targets[t].tolist()
            np.testing.assert_allclose(step.answer, jax.nn.sigmoid(logits[0, t]), atol=1e-5)
        else:
            assert step.answer is None
    assert [panel.name for panel in trace.picture.panels] == ["Read", "Write"]
    for panel, weights, num_heads in zip(trace.picture.panels, heads, (2, 1), strict=True):
        slots = [int(column) for column in panel.columns]
        assert panel.weights.shape == (num_heads, len(trace.steps), len(slots))
        expected = np.asarray(weights[0]).swapaxes(0, 1)
        np.testing.assert_allclose(panel.weights, expected[:, :, slots], atol=1e-5)
        assert np.delete(expected, slots, axis=2).max(initial=0) <= ntm_inspection.USED
        assert list(panel.row_groups) == example.scored.tolist()


def test_steps_are_named_by_what_is_given():
    names = {
        name: [s.name for s in make(task)[0].trace(2).steps if s.expected is None]
        for name, task in TASKS.items()
    }
    assert [len(n) for n in names["copy"]] == [3, 3, 3]
    assert set("".join(names["copy"][:2])) <= {"■", "□"}
    assert names["copy"][2] == "end"
    assert names["repeat_copy"][2] == "end ×1"
    assert [n for n in names["associative_recall"] if n.isascii()] == ["item", "item", "?", "?"]
    rows = make(TASKS["copy"])[0].trace(2).picture.panels[0].rows
    assert rows[0].startswith("1 ")
    assert rows[2] == "3 end"


def test_an_lstm_has_no_heads_and_says_so():
    machine, _ = make(TASKS["copy"], replace(MODEL, kind="lstm"))
    trace = machine.trace(4)
    assert not trace.picture.panels
    assert "no heads" in trace.picture.notice
    assert trace.num_wrong > 0


def test_sequences_are_as_long_as_can_be_shown():
    copier, repeater = make(TASKS["copy"])[0], make(TASKS["repeat_copy"])[0]
    assert copier.largest_size() == (MAX_STEPS - 1) // 2
    with pytest.raises(DataError, match=rf"at most {copier.largest_size()}$"):
        copier.trace(MAX_STEPS)
    assert repeater._num_steps(repeater.largest_size(9), 9) <= MAX_STEPS
    with pytest.raises(DataError, match="except for repeat_copy"):
        copier.trace(3, repeats=2)
    with pytest.raises(DataError, match="at least 1"):
        copier.trace(0)
    with pytest.raises(DataError, match="at least 2"):
        make(TASKS["associative_recall"])[0].trace(1)


def test_lengths_share_programs():
    machine, _ = make(TASKS["copy"])
    for size in (1, 5, 19):
        machine.trace(size)
    assert machine._run._cache_size() == 1


def test_a_run_is_loaded(tmp_path):
    config = make_nano(tmp_path)
    config = replace(config, loop=LoopConfig(steps=2, eval_every=2, checkpoint_every=2))
    assert copytask.main(config) == 0
    machine = load_machine(tmp_path / "runs" / config.name)
    assert len(machine.trace(2).steps) == 5
    with pytest.raises(ConfigError, match="no run of copytask"):
        load_machine(tmp_path / "nothing")
