"""The LSTM by hand, against PyTorch, and with padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.lineage.lstm import LSTMCell, LSTMState, run_lstm
from bert_jax.nn.initializers import uniform
from tests.extras import need

LENGTHS = np.array([5, 2, 7])


def inputs(width=3, length=7):
    x = np.random.default_rng(0).normal(size=(3, length, width)).astype(np.float32)
    mask = np.arange(length)[None] < LENGTHS[:, None]
    return x, mask


def test_one_step_by_hand():
    cell = LSTMCell(1, 1, uniform(0.1), nnx.Rngs(0))
    cell.x_kernel[...] = jnp.array([[1.0, 2.0, 3.0, 4.0]])
    cell.h_kernel[...] = jnp.array([[0.5, 0.25, -1.0, 2.0]])
    state = LSTMState(jnp.array([[0.5]]), jnp.array([[2.0]]))

    (c, h), y = cell(state, jnp.array([[1.0]]))

    i, f, o = (1 / (1 + np.exp(-z)) for z in (2.0, 2.5, 8.0))
    expected_c = f * 0.5 + i * np.tanh(1.0)
    np.testing.assert_allclose(c, [[expected_c]], rtol=1e-6)
    np.testing.assert_allclose(h, [[o * np.tanh(expected_c)]], rtol=1e-6)
    np.testing.assert_array_equal(y, h)


def test_forget_bias_is_on_the_forget_gate():
    cell = LSTMCell(2, 3, uniform(0.1), nnx.Rngs(0), forget_bias=1.0)

    np.testing.assert_array_equal(cell.bias[...].reshape(4, 3)[:, 0], [0, 1, 0, 0])


@pytest.mark.parametrize("reverse", [False, True])
def test_equal_to_torch(reverse):
    torch = need("torch")
    x, mask = inputs()
    theirs = torch.nn.LSTM(3, 4, batch_first=True, bidirectional=True)
    suffix = "_l0_reverse" if reverse else "_l0"
    weights = {name: getattr(theirs, name + suffix).detach().numpy()
               for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}  # fmt: skip
    cell = LSTMCell(3, 4, uniform(0.1), nnx.Rngs(0))
    cell.x_kernel[...] = jnp.array(weights["weight_ih"].T)
    cell.h_kernel[...] = jnp.array(weights["weight_hh"].T)
    cell.bias[...] = jnp.array(weights["bias_ih"] + weights["bias_hh"])
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(x), torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
    )

    with torch.no_grad():
        outputs, (h, c) = theirs(packed)
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
    state, y = run_lstm(cell, jnp.array(x), jnp.array(mask), reverse=reverse)

    half = slice(4, 8) if reverse else slice(0, 4)
    np.testing.assert_allclose(y, outputs.numpy()[:, :, half], atol=1e-6)
    np.testing.assert_allclose(state.h, h[int(reverse)], atol=1e-6)
    np.testing.assert_allclose(state.c, c[int(reverse)], atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_padding_changes_nothing(reverse):
    cell = LSTMCell(3, 4, uniform(0.5), nnx.Rngs(0))
    x, mask = inputs()

    state, y = run_lstm(cell, jnp.array(x), jnp.array(mask), reverse=reverse)
    alone = jnp.array(x[1:2, :2])
    own_state, own_y = run_lstm(cell, alone, jnp.ones((1, 2), bool), reverse=reverse)

    np.testing.assert_allclose(y[1, :2], own_y[0], atol=1e-6)
    np.testing.assert_array_equal(y[1, 2:], 0)
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(own_state), strict=True):
        np.testing.assert_allclose(ours[1], theirs[0], atol=1e-6)
