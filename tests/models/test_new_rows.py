import jax
import numpy as np
import pytest

from bert_jax.models.new_rows import add_rows, keep_rows
from tests.tasks.tiny import CONFIG, random_params


@pytest.mark.parametrize("padding", [0, 1, 3])
def test_new_rows_are_means_and_all_others_stay(padding):
    params = random_params("BertForPreTraining")
    rows, first = CONFIG.vocab_size, CONFIG.vocab_size - padding
    pieces = {first: [7], first + 1: [8, 9, 9]}
    size = max(rows, first + 2)
    new = add_rows(params, size, pieces)
    for part, name in ((("bert", "embeddings"), "word"), (("mlm",), "bias")):
        old_part, new_part = params, new
        for key in part:
            old_part, new_part = old_part[key], new_part[key]
        x, y = old_part.pop(name), new_part.pop(name)
        assert len(y) == size
        np.testing.assert_array_equal(y[:first], x[:first])
        np.testing.assert_array_equal(y[first], x[7])
        np.testing.assert_allclose(y[first + 1], (x[8] + 2 * x[9]) / 3, rtol=1e-6)
        np.testing.assert_array_equal(y[first + 2 :], x[first + 2 :])
    jax.tree.map(np.testing.assert_array_equal, new, params)


def test_an_encoder_alone_has_no_bias():
    params = {"bert": random_params("BertModel")}
    assert set(add_rows(params, CONFIG.vocab_size + 1, {CONFIG.vocab_size: [5]})) == {"bert"}


def test_fewer_rows_are_the_first_and_all_others_stay():
    params = random_params("BertForPreTraining")
    new = keep_rows(params, 7)
    for a, b in (
        (new["bert"]["embeddings"].pop("word"), params["bert"]["embeddings"].pop("word")),
        (new["mlm"].pop("bias"), params["mlm"].pop("bias")),
    ):
        np.testing.assert_array_equal(a, b[:7])
    jax.tree.map(np.testing.assert_array_equal, new, params)
