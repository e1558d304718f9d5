"""What the explorer shows of a translator, on random models of each kind."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bert_jax.nn.transformer
from bert_jax.config import LoopConfig, OptimizerConfig
from bert_jax.errors import CheckpointError
from bert_jax.lineage import inspection, inspection_programs
from bert_jax.lineage.config import (
    GNMTConfig,
    SearchConfig,
    Seq2SeqConfig,
    TrainTranslatorConfig,
    TransformerConfig,
)
from bert_jax.lineage.inspection import explain_translation, longest_source
from bert_jax.lineage.subwords import END, PAD, START, train_subwords
from bert_jax.lineage.transformer import causal_mask
from bert_jax.lineage.translation import build_translator
from bert_jax.lineage.translator import Translator
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.nn.transformer import unstack_layers

VOCABULARY = train_subwords(["one two three four five"] * 5, 40, lowercase=True)
SIZES = {"embedding_size": 16, "hidden_size": 16, "dropout": 0.0, "init_range": 0.6}
MODELS = {
    "none": Seq2SeqConfig(**SIZES, attention="none"),
    "dot": Seq2SeqConfig(**SIZES, attention="dot"),
    "additive": Seq2SeqConfig(**SIZES, attention="additive", bidirectional=True),
    "gnmt": GNMTConfig(**SIZES, num_layers=2),
    "transformer": TransformerConfig(
        hidden_size=16, num_encoder_layers=2, num_decoder_layers=2, num_attention_heads=2,
        intermediate_size=24, initializer_range=0.5, max_positions=40,
    ),
}  # fmt: skip
MODELS["pre-LN"] = replace(MODELS["transformer"], norm_first=True)
SEARCH = SearchConfig(num_beams=4, extra_tokens=6)
TEXT = "one two five"


def make(kind, **changes):
    config = replace(MODELS[kind], vocab_size=VOCABULARY.size)
    run = TrainTranslatorConfig(
        model=config, train=("a",), dev=("b",), vocab_size=VOCABULARY.size, search=SEARCH,
        optimizer=OptimizerConfig(), loop=LoopConfig(steps=1), **changes,
    )  # fmt: skip
    return Translator(run, VOCABULARY, build_translator(config)[0](jax.random.key(3)))


@pytest.mark.parametrize("kind", MODELS)
def test_the_best_hypothesis_is_the_translation_and_the_others_are_less_good(kind):
    translator = make(kind)
    found = explain_translation(translator, TEXT, num_best=4)
    assert found.notice is None
    best, *others = found.hypotheses
    assert [best.text] == translator.translate([TEXT])
    assert 2 <= len({hypothesis.text for hypothesis in found.hypotheses}) == len(found.hypotheses)
    assert [h.score for h in others] == sorted((h.score for h in others), reverse=True)
    assert best.score >= others[0].score
    for hypothesis in found.hypotheses:
        divisor = ((5 + len(hypothesis.steps)) / 6) ** SEARCH.length_penalty
        assert np.log(hypothesis.probability) / divisor == pytest.approx(hypothesis.score, abs=1e-4)
        probabilities = [step.chosen.probability for step in hypothesis.steps]
        assert np.prod(probabilities) == pytest.approx(hypothesis.probability, rel=1e-4)
        assert hypothesis.steps[-1].chosen.id == END
        for step in hypothesis.steps:
            given = [other.probability for other in step.alternatives]
            assert given == sorted(given, reverse=True)
            assert sum(given) <= 1 + 1e-5
            assert step.chosen.probability <= given[0] + 1e-6


@pytest.mark.parametrize("kind", ["dot", "additive", "gnmt"])
def test_one_panel_has_the_alignment(kind):
    translator = make(kind)
    hypothesis = explain_translation(translator, TEXT).hypotheses[0]
    (alignment,) = translator.align([TEXT], [hypothesis.text])
    (panel,) = hypothesis.picture.panels
    assert list(panel.columns) == alignment.source
    assert list(panel.heads) == ["additive" if kind == "gnmt" else kind]
    if list(panel.rows) == alignment.target:  # a text is not always cut as it was written
        np.testing.assert_allclose(panel.weights[0], alignment.weights, atol=1e-5)
    np.testing.assert_allclose(panel.weights.sum(axis=-1), 1, atol=1e-5)


def test_a_model_without_attention_says_so():
    hypothesis = explain_translation(make("none"), TEXT).hypotheses[0]
    assert not hypothesis.picture.panels
    assert "one vector" in hypothesis.picture.notice


@pytest.mark.parametrize("kind", ["transformer", "pre-LN"])
def test_panels_of_the_transformer_are_what_its_layers_computed(kind, monkeypatch):
    translator = make(kind)
    hypothesis = explain_translation(translator, TEXT).hypotheses[0]
    panels = hypothesis.picture.panels
    ids = [step.chosen.id for step in hypothesis.steps]

    # The same layers one by one, outside of any program, with every softmax recorded.
    recorded = []
    compute = bert_jax.nn.transformer.attention_weights

    def record(*inputs):
        recorded.append(np.asarray(compute(*inputs)[0]))
        return compute(*inputs)

    monkeypatch.setattr(bert_jax.nn.transformer, "attention_weights", record)
    model = translator.merge(translator.params)
    source = jnp.array([[*VOCABULARY.encode([TEXT])[0], END]])
    mask = jnp.ones((1, 1, 1, source.shape[1]), bool)
    given = {"key": None, "execution": DEFAULT_EXECUTION}
    x = model.embed(source, **given)
    for layer in unstack_layers(model.encoder_layers):
        x = layer(x, mask, **given)
    memory = model.encoder_norm(x) if kind == "pre-LN" else x
    x = model.embed(jnp.array([[START, *ids[:-1]]]), **given)
    for layer in unstack_layers(model.decoder_layers):
        x = layer(x, causal_mask(len(ids)), memory, mask, **given)

    encoder, decoder = recorded[:2], recorded[2:]
    expected = [*decoder[1::2], *decoder[0::2], *encoder]
    assert [panel.name for panel in panels] == [
        *(f"Decoder → source, layer {n}" for n in (1, 2)),
        *(f"Decoder → itself, layer {n}" for n in (1, 2)),
        *(f"Encoder → itself, layer {n}" for n in (1, 2)),
    ]
    for panel, weights in zip(panels, expected, strict=True):
        assert panel.weights.shape == (2, len(panel.rows), len(panel.columns))
        np.testing.assert_allclose(panel.weights, weights, atol=1e-5)
        assert weights.std() > 0.01
    assert panels[2].columns[:2] == ["<s>", panels[2].rows[0]]
    np.testing.assert_allclose(np.triu(panels[2].weights, 1), 0)


def test_a_prefix_is_kept_and_the_rest_goes_on_from_it():
    translator = make("dot")
    free = explain_translation(translator, TEXT).hypotheses[0]
    first = free.steps[0]
    other = next(c for c in first.alternatives if c.id not in (first.chosen.id, END))
    forced = explain_translation(translator, TEXT, prefix=[other.id])
    assert {h.steps[0].chosen.id for h in forced.hypotheses} == {other.id}
    assert forced.hypotheses[0].steps[0].chosen.probability == pytest.approx(
        other.probability, abs=1e-5
    )
    endless = explain_translation(translator, TEXT, prefix=[other.id] * 60)
    assert len(endless.hypotheses) == 1
    ended = explain_translation(translator, TEXT, prefix=[other.id, END])
    assert [[s.chosen.id for s in h.steps] for h in ended.hypotheses] == [[other.id, END]]


def test_long_texts_are_cut_and_unknown_symbols_named(monkeypatch):
    translator = make("transformer")
    assert longest_source(translator) == 39
    found = explain_translation(translator, "one " * 60)
    assert found.notice == "Only the first 39 tokens are translated."
    monkeypatch.setattr(inspection, "MAX_WEIGHTS", 12 * 10**2)  # of (2 + 2 · 2) · 2 heads
    assert longest_source(translator) == 10
    assert (
        explain_translation(translator, "one 한 two 글 한").notice == "The vocabulary lacks: 한 글"
    )
    assert not explain_translation(translator, "  ").hypotheses


def test_texts_of_about_a_length_share_their_programs():
    translator = make("additive")
    explain_translation(translator, "one two")
    search = inspection_programs.search_hypotheses._cache_size()
    for text in ("one", "two five", "five one"):
        explain_translation(translator, text)
    assert inspection_programs.search_hypotheses._cache_size() == search


def test_sources_that_are_filled_with_ends_show_them():
    translator = make("dot", source_length=8)
    panel = explain_translation(translator, "one").hypotheses[0].picture.panels[0]
    assert len(panel.columns) == 8
    assert panel.columns[-1] == "</s>"
    assert PAD not in VOCABULARY.encode(["one"])[0]


def test_a_damaged_model_is_a_checkpoint_error():
    translator = make("dot")
    translator.params = jax.tree.map(lambda x: x * np.nan, translator.params)
    with pytest.raises(CheckpointError, match="NaN"):
        explain_translation(translator, TEXT)
