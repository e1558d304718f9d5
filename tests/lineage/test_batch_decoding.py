"""Translations and alignments of many sentences, on one and on two devices."""

import jax
import numpy as np
import pytest

from bert_jax.lineage.batch_decoding import Searcher, align_pairs
from bert_jax.lineage.config import SearchConfig, Seq2SeqConfig, TransformerConfig
from bert_jax.lineage.subwords import END
from bert_jax.lineage.translation import build_translator
from bert_jax.training.parallel import DataParallel

MODELS = {
    "seq2seq": Seq2SeqConfig(embedding_size=8, hidden_size=8, vocab_size=12, init_range=0.8),
    "transformer": TransformerConfig(
        hidden_size=8, num_encoder_layers=1, num_decoder_layers=1, num_attention_heads=2,
        intermediate_size=16, vocab_size=12, max_positions=20,
    ),
}  # fmt: skip
SOURCES = [[4, 5, END], [6, 7, 8, 9, 10, END], [11, END], [5, 5, 5, END], [8, 4, END]]


@pytest.fixture(scope="module", params=MODELS)
def made(request):
    init, merge = build_translator(MODELS[request.param])
    return merge, jax.jit(init)(jax.random.key(3))


@pytest.mark.parametrize("beams", [1, 3])
def test_translations_do_not_depend_on_neighbours_or_devices(made, beams):
    merge, params = made
    search = SearchConfig(num_beams=beams, extra_tokens=4)

    def run(sources, num_devices):
        parallel = DataParallel(num_devices=num_devices)
        return Searcher(merge, search, 20, parallel)(parallel.put_state(params), sources)

    together = run(SOURCES, 1)
    assert together == run(SOURCES, 2)
    assert [run([source], 1)[0] for source in SOURCES[:2]] == together[:2]
    assert beams > 1 or any(together)  # with a beam, ending at once may be best
    for source, translation in zip(SOURCES, together, strict=True):
        assert len(translation) <= len(source) + 4


def test_alignments_have_a_row_for_each_target_token(made):
    merge, params = made
    targets = [[9, END], [4, 4, 4, END], [END], [5, END], [5, END]]

    alignments = align_pairs(merge(params), SOURCES, targets)

    for weights, source, target in zip(alignments, SOURCES, targets, strict=True):
        assert weights.shape == (len(target), len(source))
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
