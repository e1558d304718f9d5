import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import SearchConfig, Seq2SeqConfig, TransformerConfig
from bert_jax.data.subwords import END, PAD, START
from bert_jax.nn.compute import Compute
from bert_jax.tasks.translation import (
    alignments,
    build_translator,
    corpus_bleu,
    decoder_input,
    exact_share,
    make_objective,
    make_searcher,
    smoothed_cross_entropy,
)
from bert_jax.training.parallel import DataParallel
from tests.extras import need

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
    init, bind = build_translator(MODELS[request.param])
    return bind, jax.jit(init)(jax.random.key(3))


def test_the_decoder_sees_start_and_what_came_before():
    np.testing.assert_array_equal(decoder_input(jnp.array([[7, END, PAD]])), [[START, 7, END]])


def test_label_smoothing_by_hand():
    logits, labels = jnp.log(jnp.array([[[0.7, 0.2, 0.1]]])), jnp.array([[0]])

    found = smoothed_cross_entropy(logits, labels, 0.3)

    expected = -0.7 * np.log(0.7) - 0.3 * np.mean(np.log([0.7, 0.2, 0.1]))
    np.testing.assert_allclose(found, [[expected]], rtol=1e-5)


def test_the_loss_counts_target_tokens_and_end_but_no_padding(made):
    bind, params = made
    objective = make_objective(bind, 0.0, Compute())

    def total(batch):
        def one_device(_):
            counts = objective.counts(batch)
            return objective.loss(params, batch, counts, None)

        loss, metrics = jax.vmap(one_device, axis_name="data")(jnp.zeros(1))
        return float(loss[0]), {k: (float(a[0]), float(b[0])) for k, (a, b) in metrics.items()}

    short = {"source": jnp.array([[4, 5, END]]), "target": jnp.array([[6, END]])}
    padded = {"source": jnp.array([[4, 5, END, 0], [0] * 4]),
              "target": jnp.array([[6, END, 0], [0] * 3])}  # fmt: skip

    loss, metrics = total(short)
    same, more = total(padded)

    assert loss == pytest.approx(same, abs=1e-5)
    assert metrics["nll"][1] == more["nll"][1] == 2
    assert metrics["tokens"][0] == more["tokens"][0] == 5
    assert metrics["nll"][0] / 2 == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("beams", [1, 3])
def test_translations_do_not_depend_on_neighbours_or_devices(made, beams):
    bind, params = made
    search = SearchConfig(num_beams=beams, extra_tokens=4)

    def run(sources, num_devices):
        parallel = DataParallel(num_devices=num_devices)
        return make_searcher(bind, search, 20, parallel)(parallel.put_state(params), sources)

    together = run(SOURCES, 1)
    assert together == run(SOURCES, 2)
    assert [run([source], 1)[0] for source in SOURCES[:2]] == together[:2]
    assert beams > 1 or any(together)  # a beam may find that ending at once is best
    for source, found in zip(SOURCES, together, strict=True):
        assert len(found) <= len(source) + 4


def test_alignments_have_a_row_for_each_target_token(made):
    bind, params = made
    targets = [[9, END], [4, 4, 4, END], [END], [5, END], [5, END]]

    found = alignments(bind(params), SOURCES, targets)

    for weights, source, target in zip(found, SOURCES, targets, strict=True):
        assert weights.shape == (len(target), len(source))
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)


def test_bleu_is_that_of_the_whole_corpus():
    need("sacrebleu")
    perfect = corpus_bleu(["a b c d e", "f g h i"], ["a b c d e", "f g h i"], "none")
    short = corpus_bleu(["a b c d"], ["a b c d e f g h"], "none")

    assert perfect.score == pytest.approx(100)
    assert short.score == pytest.approx(100 * np.exp(-1))  # all n-grams right, half as long
    assert "tok:none" in perfect.signature


def test_exact_ignores_spaces_between_words_only():
    assert exact_share(["a  b", "ab", "c"], ["a b", "a b", "c"]) == pytest.approx(2 / 3)
