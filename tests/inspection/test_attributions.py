"""Contributions of tokens to an output: complete, equal to references, and sorted by the words."""

import numpy as np
import pytest
import torch
import transformers

import bert_jax
from bert_jax.inspection.attributions import Output, attribute
from bert_jax.interop.huggingface import write_directory
from bert_jax.labelled.batching import EncodedText
from tests.tasks.tiny import TOKENIZER, ids, make

TEXT = EncodedText(ids("[CLS] the cat sat on the mat . [SEP]"), 9, {})
PAIR = EncodedText(ids("[CLS] who sat ? [SEP] the cat sat on the mat [SEP]"), 5, {})
OUTPUTS = {
    "classification": (TEXT, Output(1)),
    "multilabel": (PAIR, Output(2)),
    "regression": (PAIR, Output()),
    "tagging": (TEXT, Output(1, 2)),
    "question_answering": (PAIR, Output(0, 5, 6)),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_integrated_gradients_sum_to_the_difference_from_the_baseline(kind):
    text, output = OUTPUTS[kind]
    model = bert_jax.Model(make(kind))
    errors = []
    for steps in (2, 32):
        found = attribute(model, text, output, steps=steps)
        assert found.values.shape == (len(text.tokens),)
        errors.append(abs(found.values.sum() - (found.output - found.baseline)))
    assert abs(found.output - found.baseline) > 0.01
    assert errors[1] < 1e-5
    assert errors[1] < errors[0] < 0.05, (found.output, found.baseline, errors)
    is_special = np.isin(text.tokens, [TOKENIZER.cls_id, TOKENIZER.sep_id])
    np.testing.assert_array_equal(found.values[is_special], 0)
    assert (found.values[~is_special] != 0).all()


@pytest.mark.parametrize("kind", OUTPUTS)
def test_the_output_is_the_log_odds_of_the_prediction(kind):
    text, output = OUTPUTS[kind]
    model = bert_jax.Model(make(kind))
    (logits,) = model._inference.outputs([text], 1)
    found = attribute(model, text, output, steps=2)

    def log_odds(row, index):
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        return np.log(p[index] / (1 - p[index]))

    expected = {
        "classification": lambda: log_odds(logits[0], 1),
        "multilabel": lambda: logits[0, 2],
        "regression": lambda: logits[0, 0],
        "tagging": lambda: log_odds(logits[2], 1),
        "question_answering": lambda: log_odds(logits[:, 0], 5) + log_odds(logits[:, 1], 6),
    }[kind]()
    np.testing.assert_allclose(found.output, expected, atol=1e-5)
    masked = [i if i in (TOKENIZER.cls_id, TOKENIZER.sep_id) else TOKENIZER.mask_id
              for i in text.tokens]  # fmt: skip
    at_baseline = attribute(model, text._replace(tokens=masked), output, steps=2)
    np.testing.assert_allclose(found.baseline, at_baseline.output, atol=1e-5)


@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_both_methods_equal_gradients_of_torch(kind, tmp_path):
    """The same weights in transformers, the same path, differentiated by torch."""
    text, output = OUTPUTS[kind]
    saved = make(kind)
    write_directory(tmp_path, saved)
    names = {"classification": "SequenceClassification", "tagging": "TokenClassification"}
    auto = getattr(transformers, f"AutoModelFor{names[kind]}")
    reference = auto.from_pretrained(tmp_path, attn_implementation="eager").eval()
    tokens = torch.tensor(text.tokens)
    table = reference.get_input_embeddings().weight.detach()
    x, mask = table[tokens], table[TOKENIZER.mask_id]
    is_special = (tokens == TOKENIZER.cls_id) | (tokens == TOKENIZER.sep_id)
    b = torch.where(is_special[:, None], x, mask)

    def gradients(vectors):
        vectors = vectors.clone().requires_grad_()
        logits = reference(inputs_embeds=vectors).logits
        rows = logits if kind == "classification" else logits[:, output.token]
        torch.logit(torch.softmax(rows, -1)[:, output.index]).sum().backward()
        return vectors.grad

    alphas = (torch.arange(400) + 0.5) / 400  # midpoints: another quadrature
    mean = gradients(b + alphas[:, None, None] * (x - b)).mean(0)
    model = bert_jax.Model(saved)
    np.testing.assert_allclose(
        attribute(model, text, output, steps=32).values, ((x - b) * mean).sum(-1), atol=2e-5
    )
    np.testing.assert_allclose(
        attribute(model, text, output, "gradient_x_input").values,
        (x * gradients(x[None])[0]).sum(-1),
        atol=2e-5,
    )


def test_long_texts_are_computed_in_parts_with_the_same_result(monkeypatch):
    model = bert_jax.Model(make("classification"))
    whole = attribute(model, TEXT, Output(1), steps=7)
    monkeypatch.setattr("bert_jax.inspection.attributions.CHUNK_TOKENS", 64)  # 9 points, 4 rows
    parts = attribute(model, TEXT, Output(1), steps=7)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-5)
    np.testing.assert_allclose(parts[1:], whole[1:], atol=1e-5)


def test_texts_of_similar_length_share_a_program():
    from bert_jax.inspection.attributions import _attribute

    model = bert_jax.Model(make("classification"))
    attribute(model, TEXT, Output(1))
    before = _attribute._cache_size()
    attribute(model, PAIR, Output(2))
    assert _attribute._cache_size() == before
