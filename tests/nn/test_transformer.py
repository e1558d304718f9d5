"""The stack computes the same however it is run, and padding does not matter."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bert_jax.config import BertConfig, TransformerConfig
from bert_jax.nn.compute import PLAIN, Compute
from bert_jax.nn.layout import block_diagonal_mask
from bert_jax.nn.stack import apply_layers, stack_layers
from bert_jax.nn.transformer import DecoderLayer, EncoderLayer
from tests.extras import need

CONFIG = BertConfig(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
    initializer_range=0.2,
)  # fmt: skip
KEY = jax.random.key(1, impl="philox4x32")
IDS = jnp.array([[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 1, 1]])
MASK = block_diagonal_mask(IDS)
X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 16)), jnp.float32)


@functools.cache
def stack():
    return jax.jit(
        lambda: nnx.split(stack_layers(lambda rngs: EncoderLayer(CONFIG, rngs), 2, nnx.Rngs(0)))
    )()


@functools.cache
def compiled(compute):
    """(params, x, key) -> output and gradients of a loss over the real tokens."""
    graphdef, _ = stack()

    def loss(params, x, key):
        y = apply_layers(nnx.merge(graphdef, params), x, MASK, key=key, compute=compute)
        real = jnp.where(IDS[..., None] > 0, y, 0).astype(jnp.float32)
        return jnp.square(real - 0.1).sum(), y

    return jax.jit(lambda *args: jax.grad(loss, argnums=(0, 1), has_aux=True)(*args)[::-1])


def assert_close(found, wanted, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), found, wanted)


@pytest.mark.parametrize(
    "compute",
    [
        Compute(remat=True),
        pytest.param(Compute(unroll=True), marks=pytest.mark.heavy),
        pytest.param(Compute(remat=True, unroll=True), marks=pytest.mark.heavy),
    ],
    ids=str,
)
def test_loop_unrolled_and_remat_are_equal(compute):
    _, params = stack()
    assert_close(compiled(compute)(params, X, KEY), compiled(PLAIN)(params, X, KEY))


def test_remat_keeps_less():
    graphdef, params = stack()

    def kept(compute):
        def out(params):
            return apply_layers(nnx.merge(graphdef, params), X, MASK, key=None, compute=compute)

        _, backward = jax.eval_shape(lambda params: jax.vjp(out, params), params)
        return sum(x.size for x in jax.tree.leaves(backward))

    assert kept(Compute(remat=True)) < 0.7 * kept(PLAIN)


def test_the_stack_is_its_layers_one_after_the_other_each_with_its_own_key():
    graphdef, params = stack()

    @jax.jit
    def one_by_one(params, x, key):
        for i, layer_key in enumerate(jax.random.split(key, 2)):
            layer = nnx.merge(graphdef, jax.tree.map(lambda p, i=i: p[i], params))
            x = layer(x, MASK, key=layer_key, compute=PLAIN)
        return x

    assert_close(one_by_one(params, X, KEY), compiled(PLAIN)(params, X, KEY)[0])


def test_layers_start_differently():
    kernels = stack()[1]["feed_forward"]["up"]["kernel"][...]
    assert kernels.shape == (2, 16, 32)
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1


def test_padding_does_not_matter():
    _, params = stack()
    other = X.at[0, 5].set(100.0)
    y, (grads, dx) = compiled(PLAIN)(params, X, None)
    y_other, (grads_other, _) = compiled(PLAIN)(params, other, None)
    assert_close(y[0, :5], y_other[0, :5])
    assert_close(grads, grads_other)
    assert not dx[0, 5].any()
    assert dx[0, 4].any()


def test_a_sequence_does_not_see_its_neighbours():
    _, params = stack()
    other = X.at[0, :3].mul(-1)
    y, y_other = (compiled(PLAIN)(params, x, None)[0] for x in (X, other))
    assert_close(y[0, 3:5], y_other[0, 3:5])
    assert np.abs(y[0, :3] - y_other[0, :3]).max() > 0.1


def test_bfloat16_is_near_and_its_gradients_are_float32():
    _, params = stack()
    wanted, _ = compiled(PLAIN)(params, X, None)
    low = compiled(Compute(dtype="bfloat16"))
    found, (grads, _) = low(params, X.astype(jnp.bfloat16), None)
    assert found.dtype == jnp.bfloat16
    assert {g.dtype.name for g in jax.tree.leaves(grads)} == {"float32"}
    assert 1e-4 < np.abs(np.asarray(found, np.float32) - wanted).max() < 0.1


def test_a_layer_is_post_norm():
    layer = EncoderLayer(CONFIG, nnx.Rngs(0))
    y = jax.jit(lambda x: layer(x, MASK, key=None, compute=PLAIN))(X)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(-1), 1, atol=1e-5)


TRANSLATION = TransformerConfig(
    hidden_size=16, num_attention_heads=2, intermediate_size=32, vocab_size=9,
    hidden_dropout_prob=0.0,
)  # fmt: skip


def copy_attention(torch_attention, ours, width=16):
    """PyTorch's fused projection [3 D, D] into our kernels."""
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
    """Feed-forward and norms."""
    for linear, kernel in ((theirs.linear1, ours.feed_forward.up),
                           (theirs.linear2, ours.feed_forward.down)):  # fmt: skip
        kernel.kernel[...] = jnp.array(linear.weight.detach().numpy().T)
        kernel.bias[...] = jnp.array(linear.bias.detach().numpy())
    for norm, name in norms.items():
        getattr(ours, name).scale[...] = jnp.array(getattr(theirs, norm).weight.detach().numpy())
        getattr(ours, name).bias[...] = jnp.array(getattr(theirs, norm).bias.detach().numpy())


def randomize(module, torch):
    """Norms and biases start as ones and zeros: random ones show more."""
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
    theirs.train()  # in evaluation PyTorch takes another path
    ours = EncoderLayer(dataclasses.replace(TRANSLATION, norm_first=norm_first), nnx.Rngs(0))
    copy_attention(theirs.self_attn, ours.attention)
    copy_rest(theirs, ours, {"norm1": "attention_norm", "norm2": "feed_forward_norm"})
    real = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], bool)

    with torch.no_grad():
        wanted = theirs(torch.tensor(np.asarray(X)), src_key_padding_mask=torch.tensor(~real))
    found = ours(X, jnp.array(real)[:, None, None], key=None, compute=PLAIN)

    np.testing.assert_allclose(found[real], wanted.numpy()[real], atol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_layer_is_torchs(norm_first):
    torch = need("torch")
    theirs = torch.nn.TransformerDecoderLayer(
        16, 2, 32, dropout=0.0, batch_first=True, norm_first=norm_first
    )
    randomize(theirs, torch)
    ours = DecoderLayer(dataclasses.replace(TRANSLATION, norm_first=norm_first), nnx.Rngs(0))
    copy_attention(theirs.self_attn, ours.attention)
    copy_attention(theirs.multihead_attn, ours.cross)
    norms = {"norm1": "attention_norm", "norm2": "cross_norm", "norm3": "feed_forward_norm"}
    copy_rest(theirs, ours, norms)
    memory = np.random.default_rng(1).normal(size=(2, 5, 16)).astype(np.float32)
    real = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    causal = np.tril(np.ones((6, 6), bool))

    with torch.no_grad():
        wanted = theirs(
            torch.tensor(np.asarray(X)), torch.tensor(memory), tgt_mask=torch.tensor(~causal),
            memory_key_padding_mask=torch.tensor(~real),
        )  # fmt: skip
    found = ours(
        X, jnp.array(causal)[None, None], jnp.array(memory), jnp.array(real)[:, None, None],
        key=None, compute=PLAIN,
    )  # fmt: skip

    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["attention.qkv", "cross.q", "cross.kv"])
def test_queries_keys_and_values_start_as_parts_of_one_matrix(name):
    """D by 3 D, as `nn.MultiheadAttention`'s in_proj_weight, in cross-attention too."""
    layer = DecoderLayer(TRANSLATION, nnx.Rngs(0))
    part, kernel = name.split(".")
    limit = np.sqrt(6 / (16 + 48))

    largest = float(jnp.abs(getattr(getattr(layer, part), kernel).kernel[...]).max())

    assert 0.95 * limit < largest <= limit
