"""Shape annotations are checked while the tests run."""

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

from bert_jax.nn.dropout import dropout
from bert_jax.nn.transformer import attention_weights


def arrays(**shapes):
    """Return zeros for the arguments of `attention_weights`; keyword arguments replace shapes."""
    defaults = {"q": (2, 3, 4, 8), "k": (2, 5, 4, 8), "mask": (2, 1, 1, 5)}
    zeros = {name: jnp.zeros(shape) for name, shape in {**defaults, **shapes}.items()}
    return {**zeros, "mask": zeros["mask"].astype(bool)}


def test_right_shapes_pass():
    assert attention_weights(**arrays()).shape == (2, 4, 3, 5)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("q", (2, 3, 4, 7)), ("q", (3, 4, 8)), ("k", (2, 5, 3, 8)), ("mask", (2, 1, 1, 6))],
)
def test_a_wrong_shape_is_refused_by_the_import_hook(name, shape):
    with pytest.raises(TypeCheckError, match=r"transformer\.attention_weights"):
        attention_weights(**arrays(**{name: shape}))


def test_a_wrong_type_of_number_is_refused():
    with pytest.raises(TypeCheckError, match="parameter 'mask'"):
        attention_weights(**{**arrays(), "mask": jnp.ones((2, 1, 1, 5))})


def test_values_that_are_no_arrays_are_left_to_the_type_checker():
    assert (dropout(jnp.ones(2), None, 0) == 1).all()  # an int for a float
