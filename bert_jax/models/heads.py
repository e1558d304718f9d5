"""BERT's pretraining heads: masked language modelling and next-sentence prediction."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from bert_jax.config import BertConfig
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.linear import LayerNorm, Linear, activate
from bert_jax.nn.matmul import unembed


class MaskedLanguageHead(nnx.Module):
    """LN(act(x W + b)) Eᵀ + c, where E is the word embedding, an argument because it is tied."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        width = config.hidden_size
        self.dense = Linear((width,), (width,), truncated_normal(config.initializer_range), rngs)
        self.norm = LayerNorm(width, config.layer_norm_eps)
        self.bias = nnx.Param(jnp.zeros(config.vocab_size))
        self.activation = config.hidden_act

    def __call__(
        self, x: Float[Array, "B P D"], embedding: Float[Array, "V D"]
    ) -> Float[Array, "B P V"]:
        """Return logits over the vocabulary, in float32."""
        x = self.norm(activate(self.activation, self.dense(x)))
        logits = unembed(x, embedding.astype(x.dtype))
        return logits + self.bias[...].astype(jnp.float32)[None, None]


class NextSentenceHead(nnx.Module):
    """x W + b on the pooled vector; class 1 means that B comes from another document."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        init = truncated_normal(config.initializer_range)
        self.dense = Linear((config.hidden_size,), (2,), init, rngs)

    def __call__(self, pooled: Float[Array, "B J D"]) -> Float[Array, "B J 2"]:
        """Return logits of both classes, in float32."""
        return self.dense(pooled).astype(jnp.float32)
