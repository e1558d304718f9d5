"""Layers of the translation Transformer, equal to PyTorch's."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.lineage.config import TransformerConfig
from bert_jax.lineage.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer
from bert_jax.nn.execution import DEFAULT_EXECUTION
from tests.extras import need

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 16)), jnp.float32)

TRANSLATION = TransformerConfig(
    hidden_size=16, num_attention_heads=2, intermediate_size=32, vocab_size=9,
    hidden_dropout_prob=0.0,
)  # fmt: skip


def copy_attention(torch_attention, ours, width=16):
    """Copy PyTorch's fused projection [3 D, D] into our kernels."""
    kernels = torch_attention.in_proj_weight.detach().numpy().T.reshape(width, 3, 2, 8)
    biases = torch_attention.in_proj_bias.detach().numpy().reshape(3, 2, 8)
    if hasattr(ours, "qkv"):
        ours.qkv.kernel[...], ours.qkv.bias[...] = jnp.array(kernels), jnp.array(biases)
    else:
        ours.q.kernel[...], ours.q.bias[...] = jnp.array(kernels[:, 0]), jnp.array(biases[0])
        ours.kv.kernel[...] = jnp.array(kernels[:, 1:])
        ours.kv.bias[...] = jnp.array(biases[1:])
    out = torch_attention.out_proj
    ours.out.kernel[...] = jnp.array(out.weight.detach().numpy().T.reshape(2, 8, width))
    ours.out.bias[...] = jnp.array(out.bias.detach().numpy())


def copy_rest(theirs, ours, norms):
    """Copy feed-forward and norms."""
    for linear, kernel in ((theirs.linear1, ours.feed_forward.up),
                           (theirs.linear2, ours.feed_forward.down)):  # fmt: skip
        kernel.kernel[...] = jnp.array(linear.weight.detach().numpy().T)
        kernel.bias[...] = jnp.array(linear.bias.detach().numpy())
    for norm, name in norms.items():
        getattr(ours, name).scale[...] = jnp.array(getattr(theirs, norm).weight.detach().numpy())
        getattr(ours, name).bias[...] = jnp.array(getattr(theirs, norm).bias.detach().numpy())


def randomize(module, torch):
    """Make all parameters random: norms and biases start as ones and zeros, which hide errors."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_layer_is_torchs(norm_first):
    torch = need("torch")
    theirs = torch.nn.TransformerEncoderLayer(
        16, 2, 32, dropout=0.0, batch_first=True, norm_first=norm_first
    )
    randomize(theirs, torch)
    theirs.train()  # in evaluation mode PyTorch takes another path
    ours = TransformerEncoderLayer(
        dataclasses.replace(TRANSLATION, norm_first=norm_first), nnx.Rngs(0)
    )
    copy_attention(theirs.self_attn, ours.attention)
    copy_rest(theirs, ours, {"norm1": "attention_norm", "norm2": "feed_forward_norm"})
    real = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], bool)

    with torch.no_grad():
        expected = theirs(torch.tensor(np.asarray(X)), src_key_padding_mask=torch.tensor(~real))
    output = ours(X, jnp.array(real)[:, None, None], key=None, execution=DEFAULT_EXECUTION)

    np.testing.assert_allclose(output[real], expected.numpy()[real], atol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_layer_is_torchs(norm_first):
    torch = need("torch")
    theirs = torch.nn.TransformerDecoderLayer(
        16, 2, 32, dropout=0.0, batch_first=True, norm_first=norm_first
    )
    randomize(theirs, torch)
    ours = TransformerDecoderLayer(
        dataclasses.replace(TRANSLATION, norm_first=norm_first), nnx.Rngs(0)
    )
    copy_attention(theirs.self_attn, ours.attention)
    copy_attention(theirs.multihead_attn, ours.cross)
    norms = {"norm1": "attention_norm", "norm2": "cross_norm", "norm3": "feed_forward_norm"}
    copy_rest(theirs, ours, norms)
    memory = np.random.default_rng(1).normal(size=(2, 5, 16)).astype(np.float32)
    real = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    causal = np.tril(np.ones((6, 6), bool))

    with torch.no_grad():
        expected = theirs(
            torch.tensor(np.asarray(X)), torch.tensor(memory), tgt_mask=torch.tensor(~causal),
            memory_key_padding_mask=torch.tensor(~real),
        )  # fmt: skip
    output = ours(
        X, jnp.array(causal)[None, None], jnp.array(memory), jnp.array(real)[:, None, None],
        key=None, execution=DEFAULT_EXECUTION,
    )  # fmt: skip

    np.testing.assert_allclose(output, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["attention.qkv", "cross.q", "cross.kv"])
def test_queries_keys_and_values_start_as_parts_of_one_matrix(name):
    """The matrix is D by 3 D, like PyTorch's in_proj_weight, in cross-attention too."""
    layer = TransformerDecoderLayer(TRANSLATION, nnx.Rngs(0))
    part, kernel = name.split(".")
    limit = np.sqrt(6 / (16 + 48))

    largest = float(jnp.abs(getattr(getattr(layer, part), kernel).kernel[...]).max())

    assert 0.95 * limit < largest <= limit
