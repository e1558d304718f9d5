from dataclasses import replace

import jax
import pytest

from bert_jax.config import MaskingConfig, Phase, phase_spans
from bert_jax.corpus.phases import open_rows
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import ConfigError
from bert_jax.tasks.accumulation import fewest_accumulation_steps
from bert_jax.tasks.pretraining_batches import evaluation_batches, training_batches
from bert_jax.tasks.pretraining_programs import (
    batch_shapes,
)
from bert_jax.training.ahead import Compilation
from tests.nano import make_nano


@pytest.mark.parametrize("nsp", [None, False])
@pytest.mark.parametrize("final_rate", [None, 0.1])
def test_the_shapes_to_compile_for_are_those_of_the_batches(prepared, tmp_path, nsp, final_rate):
    config = replace(
        make_nano(prepared, tmp_path), nsp=nsp, masking=MaskingConfig(final_rate=final_rate)
    )
    config, rows, held_out = open_rows(config, PreparedData(prepared))
    has_labels = config.nsp is None
    for span in phase_spans(config):
        batches = (
            next(training_batches(config, rows, span.start, (0, 1))),
            next(evaluation_batches(config, held_out, span.phase, (0, 1))),
        )
        for batch, training in zip(batches, (True, False), strict=True):
            pairs = rows[span.phase.length].row_format.max_sequences
            expected = batch_shapes(config, span.phase, pairs, has_labels, training)
            assert expected == jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)


def compiler(activations, arguments, available, tried):
    """Return a stand-in for the compiler: temporaries are 10 bytes and a share of activations."""

    def compile_longest(config):
        number = config.num_microbatches
        tried.append(number)
        size = 10 + activations // number
        refused = arguments + size > available
        return [Compilation("step", 0.0, arguments, size, available, refused, None)]

    return compile_longest


@pytest.mark.parametrize(
    ("activations", "fewest", "most_compilations"),
    [(80, 1, 1), (160, 2, 2), (170, 4, 3), (320, 4, 3), (640, 8, 3), (641, 8, 3), (2560, 32, 3)],
)
def test_the_fewest_steps_that_fit_are_found_in_few_compilations(
    prepared, tmp_path, activations, fewest, most_compilations
):
    config = replace(make_nano(prepared, tmp_path), phases=(Phase(32, 256),))
    tried = []
    found = fewest_accumulation_steps(config, compiler(activations, 10, 100, tried), num_devices=8)
    assert found == replace(config, accumulation_steps=fewest)
    assert len(tried) == len(set(tried)) <= most_compilations


def test_what_fits_with_no_number_of_steps_is_refused(prepared, tmp_path):
    config = replace(make_nano(prepared, tmp_path), phases=(Phase(32, 256),))
    with pytest.raises(ConfigError, match="with one row at a time"):
        fewest_accumulation_steps(config, compiler(10_000, 10, 100, []), num_devices=8)
