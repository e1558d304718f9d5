"""Attention weights of every layer and head of a BERT, for a text or a pair of texts."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from bert_jax.errors import DataError
from bert_jax.inspection.pictures import Panel, Picture
from bert_jax.labelled.batching import Packing
from bert_jax.labelled.packed import require_finite
from bert_jax.labelled.texts import TextExample, encode_texts
from bert_jax.models.architectures import encoder_of
from bert_jax.models.bert import Bert
from bert_jax.models.modernbert import ModernBert
from bert_jax.nn.execution import DEFAULT_EXECUTION, cast_params
from bert_jax.nn.layout import RowLayout, SequenceIds, row_layout
from bert_jax.nn.rotary import rotary_angles, rotate
from bert_jax.nn.transformer import EncoderLayer, attention_weights, unstack_layers
from bert_jax.nn.windowed import window_mask
from bert_jax.pretrained import Model

MAX_TOKENS = 128  # more words than that nobody reads in a picture
MAX_WEIGHTS = 1_000_000  # of all layers and heads: a few megabytes

Visited = TypeVar("Visited")


class Attention(NamedTuple):
    """Attention of every layer and head of a BERT over one text or pair."""

    tokens: list[str]
    """[CLS] and [SEP] included; "##" marks a piece that continues a word."""
    segments: list[int]
    """0 or, in the second text of a pair, 1."""
    weights: Float[np.ndarray, "L H T T"]
    """How much each token, of the third axis, attends to each of the fourth; rows add up to 1."""
    notice: str | None = None
    """Set if tokens were left out."""

    def picture(self, title: str = "Attention") -> Picture:
        """Return a panel for each layer."""
        panels = [
            Panel(
                f"Layer {number}", self.tokens, self.tokens, weights,
                row_groups=self.segments, column_groups=self.segments,
            )
            for number, weights in enumerate(self.weights, 1)
        ]  # fmt: skip
        return Picture(title, panels, self.notice)


def attention(
    model: Model, text: str, text_b: str | None = None, max_tokens: int = MAX_TOKENS
) -> Attention:
    """Return the attention weights of every layer and head, in float32.

    They are those of evaluation, without dropout. The first text of about a length compiles.

    Args:
        model: any model that `bert_jax.load` returns.
        text: the text; an empty one is [CLS] [SEP].
        text_b: the second text of a pair.
        max_tokens: longest input; see `longest_input`.

    Raises:
        DataError: a pair, for a model with one segment.
        CheckpointError: the model computes NaN or Inf.

    Example:
        >>> found = attention(bert_jax.load("runs/demo"), "The bank of the river.")
        >>> found.weights[0, 3].shape  # layer 1, head 4: (num_tokens, num_tokens)
        (8, 8)
    """
    if text_b is not None and not model.config.takes_pairs:
        raise DataError(
            "two texts, but this model has one segment (type_vocab_size 1)",
            "one text, or a model with two segments",
            "leave out the second text",
        )
    longest = min(max_tokens, longest_input(model))
    (encoded,) = encode_texts([TextExample("", text, text_b)], model.tokenizer, longest)
    length = len(encoded.tokens)
    packing = Packing(model.config.max_position_embeddings, model.tokenizer.pad_id)
    tokens = np.full((1, packing.bucket(length)), model.tokenizer.pad_id, np.int32)
    tokens[0, :length] = encoded.tokens
    segments = [int(index >= encoded.first_length) for index in range(length)]
    lengths = np.array([[[encoded.first_length, length - encoded.first_length]]], np.int32)
    graphdef, params = nnx.split(encoder_of(model.model))
    with jax.default_matmul_precision("highest"):
        weights = np.asarray(_attention(graphdef, params, tokens, lengths))
    require_finite([weights])
    notice = f"Only the first {length} tokens are shown." if encoded.truncated else None
    names = model.tokenizer.tokens(encoded.tokens)
    return Attention(names, segments, weights[:, :, :length, :length], notice)


def longest_input(model: Model) -> int:
    """Return the most tokens whose attention is computed: fewer, the more heads a model has."""
    config = model.config
    num_heads = config.num_hidden_layers * config.num_attention_heads
    longest = min(MAX_TOKENS, math.isqrt(MAX_WEIGHTS // num_heads))
    return max(8, min(longest, config.max_position_embeddings))


@functools.partial(jax.jit, static_argnums=0)
def _attention(
    graphdef: Any, params: Any, tokens: Int[Array, "1 T"], lengths: Int[Array, "1 1 2"]
) -> Float[Array, "L H T T"]:
    """Return the weights of all layers; those of padding are meaningless."""
    encoder = nnx.merge(graphdef, cast_params(params, "float32"))
    layout = row_layout(lengths, tokens.shape[1])
    look = _look_modern if isinstance(encoder, ModernBert) else _look_bert
    return look(encoder, tokens, layout)


def _look_bert(
    encoder: Bert, tokens: Int[Array, "1 T"], layout: RowLayout
) -> Float[Array, "L H T T"]:
    mask = SequenceIds(layout.sequence_ids, layout.sequence_ids).mask
    x = encoder.embeddings(tokens, layout, key=None, execution=DEFAULT_EXECUTION)

    def visit(layer: EncoderLayer, x: Array) -> tuple[Array, Array]:
        q, k, _ = layer.attention.project(x)
        x = layer(x, mask, key=None, execution=DEFAULT_EXECUTION)
        return x, attention_weights(q, k, mask)

    _, weights_L1HTT = visit_layers(encoder.layers, x, visit)
    return weights_L1HTT[:, 0]


def _look_modern(
    encoder: ModernBert, tokens: Int[Array, "1 T"], layout: RowLayout
) -> Float[Array, "L H T T"]:
    config, ids = encoder.config, SequenceIds(layout.sequence_ids, layout.sequence_ids)
    x = encoder.embeddings(tokens, key=None, execution=DEFAULT_EXECUTION)
    width = config.hidden_size // config.num_attention_heads
    others = [] if encoder.layers is None else unstack_layers(encoder.layers)
    weights = []
    for index, layer in enumerate([encoder.first_layer, *others]):
        is_local = config.is_local(index)
        theta = config.local_rope_theta if is_local else config.global_rope_theta
        window, mask = config.window if is_local else None, ids.mask
        if window is not None:
            mask = window_mask(ids, window, None)
        angles = rotary_angles(layout.positions, width, theta)
        normal = x if layer.attention_norm is None else layer.attention_norm(x)
        qk_1T2HK = rotate(layer.attention.qkv(normal)[:, :, :2], angles)
        weights.append(attention_weights(qk_1T2HK[:, :, 0], qk_1T2HK[:, :, 1], mask)[0])
        x = layer(x, ids, angles, window, key=None, execution=DEFAULT_EXECUTION)
    return jnp.stack(weights)


def visit_layers(
    layers: nnx.Module, x: Array, visit: Callable[[Any, Array], tuple[Array, Visited]]
) -> tuple[Array, Visited]:
    """Apply stacked layers one after the other, in float32, and look at what each receives.

    Args:
        layers: of `stack_layers`.
        x: input of the first layer.
        visit: `(layer, input) -> (output, what to return of this layer)`.

    Returns:
        The output of the last layer, and what `visit` returned, stacked along a first axis.
    """
    graphdef, params = nnx.split(layers)
    return jax.lax.scan(
        lambda x, params: visit(nnx.merge(graphdef, params), x), x, cast_params(params, "float32")
    )
