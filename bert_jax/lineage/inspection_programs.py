"""Programs that look into a translator: the best hypotheses, then their attention in one pass."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bert_jax.lineage.batch_decoding import SPECIAL_TOKENS
from bert_jax.lineage.config import SearchConfig
from bert_jax.lineage.decoding import Penalties, SearchSize, search_n_best
from bert_jax.lineage.subwords import PAD
from bert_jax.lineage.transformer import Transformer, causal_mask
from bert_jax.lineage.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer
from bert_jax.lineage.translation import decoder_input
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.nn.trace import visit_layers
from bert_jax.nn.transformer import attention_weights
from bert_jax.training.step import Params

NUM_ALTERNATIVES = 5  # next tokens that are kept of every step
FREE = -1  # stands where a forced prefix has no token


class Looked(NamedTuple):
    """What one pass over N targets of the same source shows."""

    log_p: Float[Array, "N T"]
    """Log-probability of each token, after those before it."""
    best: Float[Array, "N T A"]
    """Log-probabilities of the most probable tokens of each step."""
    tokens: Int[Array, "N T A"]
    """Ids of those tokens."""
    weights: dict[str, Float[Array, "L N H _ _"]]
    """Attention of each layer and head, by kind: "source" and, of a Transformer, "target" and
    "encoder"."""


@partial(jax.jit, static_argnums=(0, 1, 2))
def search_hypotheses(
    merge: Callable[[Params], Any],
    search: SearchConfig,
    num_best: int,
    params: Params,
    source: Int[Array, "1 S"],
    prefix: Int[Array, "T"],
) -> tuple[Int[Array, "N T"], Float[Array, "N"]]:
    """Return the best hypotheses of one sentence, and their scores.

    Args:
        merge: of `build_translator`.
        search: beams and penalties.
        num_best: hypotheses N.
        params: of the model.
        source: token ids with END.
        prefix: tokens with which every hypothesis begins, then FREE up to the most tokens T of a
            hypothesis. Scores are those of what follows.
    """
    model, mask, max_length = merge(params), source != PAD, prefix.shape[0]
    limits = jnp.minimum(mask.sum(axis=1) + search.extra_tokens, max_length)
    memory = model.encode(source, mask)
    state = model.init_state(memory, max_length)
    repeated = jax.tree.map(lambda x: jnp.repeat(x, search.num_beams, axis=0), memory)

    def step(state: Any, tokens: Array, t: Array) -> tuple[Any, Array, Array]:
        state, logits, alignment = model.step(repeated, state, tokens, t)
        forced_V = jnp.where(jnp.arange(logits.shape[-1]) == prefix[t], 0.0, -jnp.inf)
        forced = jnp.broadcast_to(forced_V, logits.shape)
        return state, jnp.where(prefix[t] == FREE, logits, forced), alignment

    size = SearchSize(max_length, search.num_beams, num_best)
    penalties = Penalties(search.length_penalty, search.coverage_penalty)
    tokens, scores = search_n_best(step, state, limits, mask, size, SPECIAL_TOKENS, penalties)
    return tokens[0], scores[0]


@partial(jax.jit, static_argnums=0)
def look(
    merge: Callable[[Params], Any],
    params: Params,
    source: Int[Array, "1 S"],
    target: Int[Array, "N T"],
) -> Looked:
    """Run a model over targets that are given."""
    model = merge(params)
    source = jnp.broadcast_to(source, (target.shape[0], source.shape[1]))
    run = _look_transformer if isinstance(model, Transformer) else _look_lstm
    logits, weights = run(model, source, source != PAD, target)
    log_p_NTV = jax.nn.log_softmax(logits)
    log_p_NT = jnp.take_along_axis(log_p_NTV, target[..., None], axis=-1)[..., 0]
    best, tokens = jax.lax.top_k(log_p_NTV, min(NUM_ALTERNATIVES, log_p_NTV.shape[-1]))
    return Looked(log_p_NT, best, tokens, weights)


def _look_lstm(
    model: Any,
    source: Int[Array, "N S"],
    mask: Bool[Array, "N S"],
    target: Int[Array, "N T"],
) -> tuple[Float[Array, "N T V"], dict[str, Array]]:
    """Return logits, and the alignment weights [1, N, 1, T, S]."""
    memory = model.encode(source, mask)

    def advance(state: Any, inputs: tuple[Array, Array]) -> tuple[Any, tuple[Array, Array]]:
        state, logits, alignment = model.step(memory, state, *inputs)
        return state, (logits, alignment)

    inputs = decoder_input(target).T, jnp.arange(target.shape[1])
    state = model.init_state(memory, target.shape[1])
    _, (logits_TNV, alignment_TNS) = jax.lax.scan(advance, state, inputs)
    return logits_TNV.swapaxes(0, 1), {"source": alignment_TNS.swapaxes(0, 1)[None, :, None]}


def _look_transformer(
    model: Transformer,
    source: Int[Array, "N S"],
    mask: Bool[Array, "N S"],
    target: Int[Array, "N T"],
) -> tuple[Float[Array, "N T V"], dict[str, Array]]:
    """Return logits, and the weights of the decoder to source and target, and of the encoder."""
    execution, key_mask, causal = DEFAULT_EXECUTION, mask[:, None, None], causal_mask(len(target.T))

    def visit_encoder(layer: TransformerEncoderLayer, x: Array) -> tuple[Array, Array]:
        weights = _self_attention(layer, x, key_mask)
        return layer(x, key_mask, key=None, execution=execution), weights

    def visit_decoder(layer: TransformerDecoderLayer, x: Array) -> tuple[Array, tuple]:
        to_target = _self_attention(layer, x, causal)
        attended = layer.add_attention(x, causal, [None] * 2, execution)
        query = layer.cross.q(layer.cross_norm(attended) if layer.norm_first else attended)
        to_source = attention_weights(query, layer.cross.project(memory).k, key_mask)
        x = layer(x, causal, memory, key_mask, key=None, execution=execution)
        return x, (to_source, to_target)

    embedded = model.embed(source, key=None, execution=execution)
    memory, encoder = visit_layers(model.encoder_layers, embedded, visit_encoder)
    memory = model.encoder_norm(memory) if model.config.norm_first else memory
    x = model.embed(decoder_input(target), key=None, execution=execution)
    x, (to_source, to_target) = visit_layers(model.decoder_layers, x, visit_decoder)
    return model.logits(x), {"source": to_source, "target": to_target, "encoder": encoder}


def _self_attention(
    layer: TransformerEncoderLayer | TransformerDecoderLayer,
    x: Float[Array, "N T D"],
    mask: Bool[Array, "#N 1 #T T"],
) -> Float[Array, "N H T T"]:
    q, k, _ = layer.attention.project(layer.attention_norm(x) if layer.norm_first else x)
    return attention_weights(q, k, mask)
