"""Attention weights of every layer and head of a BERT, for a text or a pair of texts."""

import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from bert_jax.errors import DataError
from bert_jax.inspection.pictures import Panel, Picture
from bert_jax.labelled.batching import Packing
from bert_jax.labelled.packed import require_finite
from bert_jax.labelled.texts import TextExample, encode_texts
from bert_jax.models.architectures import encoder_of
from bert_jax.nn.layout import row_layout
from bert_jax.pretrained import Model

MAX_TOKENS = 128  # more words than that nobody reads in a picture
MAX_WEIGHTS = 1_000_000  # of all layers and heads: a few megabytes


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
    module = model.model
    with jax.default_matmul_precision("highest"):
        weights = np.asarray(_attention(*nnx.split(encoder_of(module)), tokens, lengths))
    require_finite([weights])
    notice = f"Only the first {length} tokens are shown." if encoded.truncated else None
    names = model.tokenizer.pieces(encoded.tokens)
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
    layout = row_layout(lengths, tokens.shape[1])
    return nnx.merge(graphdef, params).trace(tokens, layout).weights[:, 0]
