"""BERT's pretraining heads, and the classification head of the families that have no pooler."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from bert_jax.config import BertConfig
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.linear import LayerNorm, Linear, activate
from bert_jax.nn.matmul import unembed


class MaskedLanguageHead(nnx.Module):
    """LN(act(x W + b)) Eᵀ + c, where E is the word embedding, an argument because it is tied."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs):
        width, init = config.embedding_size, truncated_normal(config.initializer_range)
        self.dense = Linear((config.hidden_size,), (width,), init, rngs)
        self.norm = LayerNorm(width, config.layer_norm_eps)
        self.bias = nnx.Param(jnp.zeros(config.vocab_size))
        self.activation = config.hidden_act

    def __call__(
        self, x: Float[Array, "B P D"], embedding: Float[Array, "V E"]
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


class ClassificationHead(nnx.Module):
    """act(x W + b) U + c on the vector of [CLS], with dropout before both layers.

    Args:
        config: the encoder's configuration.
        num_labels: number of logits C.
        activation: as `activate` takes it.
        rngs: RNG streams of the initial values.
    """

    def __init__(self, config: BertConfig, num_labels: int, activation: str, rngs: nnx.Rngs):
        width, init = config.hidden_size, truncated_normal(config.initializer_range)
        self.dense = Linear((width,), (width,), init, rngs)
        self.out_proj = Linear((width,), (num_labels,), init, rngs)
        self.activation = activation
        self.dropout_rates = (config.head_dropout_prob, config.head_dropout_prob)

    def __call__(
        self, cls: Float[Array, "B J D"], key: PRNGKeyArray | None
    ) -> Float[Array, "B J C"]:
        """Return logits; a key of None disables dropout."""
        keys = split_key(key, 2)
        x = self.dense(dropout(cls, keys[0], self.dropout_rates[0]))
        x = dropout(activate(self.activation, x), keys[1], self.dropout_rates[1])
        return self.out_proj(x)
