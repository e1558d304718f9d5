"""The evaluation that all runs of a race share, and what is kept of a run."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import recipe_sides
from benchmarks.recipe_protocol import Cost, Result
from benchmarks.recipe_runs import MASK_KEY, Arena, make_losses, read_results, select, summarize
from benchmarks.recipe_sides import Entry, make_config
from benchmarks.recipe_timing import Measured
from bert_jax.config import MaskingConfig
from bert_jax.corpus.prepared import PreparedData
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.masking import MaskingRules, mask_rows
from tests.nano import make_nano

ROWS = 64


@pytest.fixture
def arena(prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(recipe_sides.RUNS, "nano", lambda: make_nano(prepared, tmp_path))
    return Arena(tmp_path, "nano", str(prepared), 32, 1.0, ROWS, 1)


def test_losses_are_those_of_the_same_masks_of_15_percent_for_all(arena):
    """Compute both losses anew from the logits of a model with random weights."""
    data = PreparedData(arena.data)
    config = make_nano(arena.folder, arena.folder).with_vocab_size(data.tokenizer.vocab_size).model
    whole, _ = build(config, architecture("BertForPreTraining"))
    parts, merge = build(config, architecture("BertForMaskedLM"))
    params = jax.tree.map(lambda x: 8 * x, whole(jax.random.key(3)))
    loss, mask_loss = make_losses(arena)(params)

    held_out = data.rows(32, "eval")
    numbers = np.arange(ROWS) * len(held_out) // ROWS
    batch = jax.tree.map(jnp.asarray, held_out[numbers])
    layout = row_layout(batch["lengths"], 32)
    rules = MaskingRules.of(MaskingConfig(0.15), data.tokenizer, None)
    zeros = jnp.zeros(ROWS, jnp.int32)
    key = jax.random.key(MASK_KEY)
    masked = mask_rows(key, batch["tokens"], layout, (zeros, batch["row"]), rules)
    model = merge(select(params, jax.eval_shape(parts, jax.random.key(0))))
    logits = model(masked.tokens, layout, positions=masked.positions)
    logs = np.asarray(jax.nn.log_softmax(logits))
    each = -np.take_along_axis(logs, np.asarray(masked.labels)[..., None], axis=2)[..., 0]
    real = np.asarray(masked.weights) > 0
    is_mask = real & (np.asarray(masked.kind) == 0)
    assert loss == pytest.approx(each[real].mean(), rel=1e-4)
    assert mask_loss == pytest.approx(each[is_mask].mean(), rel=1e-4)
    assert abs(loss - mask_loss) > 1e-3


def test_a_smaller_model_takes_its_parts():
    params = {"bert": {"layers": 1, "pooler": {"bias": 2}}, "mlm": 3, "nsp": {"bias": 4}}
    assert select(params, {"bert": {"layers": 0}, "mlm": 0}) == {"bert": {"layers": 1}, "mlm": 3}


def summarized(arena, resumed=False, diverged=False):
    entry = Entry("modern", 0.02, 2, 1)
    config = make_config("nano", arena.data, 32, entry, 8)
    measured = Measured(99.0, 50.0, 0.01, resumed, diverged)
    return summarize(entry, config, measured, Cost(4.0, 1.0), {4: (6.0, 7.0), 8: (5.0, 5.5)})


def test_what_is_kept_of_a_run(arena):
    result = summarized(arena)
    assert (result.loss, result.mask_loss, result.seconds, result.processor) == (5.0, 5.5, 99.0, 50)
    assert [loss for _, loss in result.curve] == [6.0, 5.0]
    assert result.tokens == 8 * 16 * 32  # as no speed was logged
    resumed = summarized(arena, resumed=True)
    assert (resumed.seconds, resumed.processor) == (4.0, None)
    assert math.isinf(summarized(arena, diverged=True).final_loss)


def test_results_are_read_as_they_were_written(arena, monkeypatch):
    kept = summarized(arena)
    monkeypatch.setattr("benchmarks.recipe_runs.run_quietly", lambda config, tries: None)
    monkeypatch.setattr("benchmarks.recipe_runs.evaluate_run", lambda arena, run: {})
    monkeypatch.setattr("benchmarks.recipe_runs.summarize", lambda *arguments: kept)
    assert arena.run(Entry("modern", 0.02, 2, 1), 8, Cost(4.0, 1.0)) == kept
    known = read_results(arena.folder / "results.jsonl")
    assert isinstance(known["modern-0.02-2-1"], Result)
    assert known["modern-0.02-2-1"].loss == kept.loss
