"""Vectors of words: nearest ones, and the senses of a word as clusters.

Three comparisons mean something. The embeddings of the vocabulary, compared with each other, are a
word before any context. Vectors of words in their sentences, of one layer, are compared with each
other: the two senses of a word part there. What the vocabulary has for a word in its sentence is
what the masked-LM head makes of its vector, if the model has one; comparing the vectors of the
last layer with the embeddings of the first means nothing, because they are no vectors of one space.

Cosines of one layer are compared with each other, not with 1: vectors of a layer share a direction,
so that unrelated words are similar too (Ethayarajh 2019).
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.cluster.hierarchy
from flax import nnx
from jaxtyping import Array, Float, Int

from bert_jax.inspection.words import Word, words_of_texts
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.packed import require_finite
from bert_jax.labelled.texts import encode_single
from bert_jax.models.architectures import encoder_of
from bert_jax.nn.layout import row_layout
from bert_jax.pretrained import Model

MIN_LENGTH = 16  # sentences are padded to powers of 2 from here
MIN_NORM = 1e-12  # a vector of zeros stays one


class Sentence(NamedTuple):
    """A sentence as a model sees it."""

    text: str
    encoded: EncodedText
    words: list[Word]
    states: Float[np.ndarray, "layers T D"]
    """Vectors of its tokens: the embeddings, then the output of each layer."""


class Occurrence(NamedTuple):
    """A word where it stands in a sentence."""

    sentence: int
    """Index of the sentence."""
    start: int
    """Its first character."""
    end: int
    """Its last character + 1."""
    first: int
    """Its first token."""
    stop: int
    """Its last token + 1."""


class Clusters(NamedTuple):
    """Vectors in two clusters, with mean cosines between different vectors."""

    labels: Int[np.ndarray, " N"]
    """0 or 1; the first vector is in cluster 0."""
    within: float | None
    """Mean cosine in the clusters; None if each has one vector."""
    between: float | None
    """Mean cosine between the clusters; None if there is one cluster."""


def read_sentences(model: Model, texts: Sequence[str]) -> list[Sentence]:
    """Run an encoder on sentences and keep the vectors of all layers; long ones are cut.

    Args:
        model: any model.
        texts: the sentences.

    Raises:
        CheckpointError: the model computes NaN or Inf.
    """
    if not texts:
        return []
    tokenizer = model.tokenizer
    longest = model.config.max_position_embeddings
    encoded = [encode_single(i, tokenizer, longest) for i in tokenizer.encode_batch(texts)]
    size = max(len(text.tokens) for text in encoded)
    length = max(MIN_LENGTH, 1 << (size - 1).bit_length())
    tokens = np.full((1 << (len(texts) - 1).bit_length(), length), tokenizer.pad_id, np.int32)
    lengths = np.zeros((len(tokens), 1, 2), np.int32)
    for row, text in enumerate(encoded):
        tokens[row, : len(text.tokens)] = text.tokens
        lengths[row, 0, 0] = len(text.tokens)
    graphdef, state = nnx.split(model.model)
    with jax.default_matmul_precision("float32"):
        states = np.asarray(_layers(graphdef, state, tokens, lengths))
    require_finite([states])
    return [
        Sentence(
            text, ids, words_of_texts([text], ids, tokenizer), states[:, row, : len(ids.tokens)]
        )
        for row, (text, ids) in enumerate(zip(texts, encoded, strict=True))
    ]


@functools.partial(jax.jit, static_argnums=0)
def _layers(
    graphdef: Any, state: Any, tokens: Int[Array, "B T"], lengths: Int[Array, "B 1 2"]
) -> Float[Array, "layers B T D"]:
    """Return the embeddings of tokens, and the output of each layer."""
    encoder = encoder_of(nnx.merge(graphdef, state))
    return encoder.trace(tokens, row_layout(lengths, tokens.shape[1])).states


def find_occurrences(
    sentences: Sequence[Sentence], word: str, ignore_case: bool = True
) -> list[Occurrence]:
    """Return where words begin with some letters, so that 배가 and 배를 are found as 배.

    Args:
        sentences: the sentences.
        word: the letters.
        ignore_case: take capital and small letters for the same.
    """
    sought = word.strip()
    if not sought:
        return []
    found = []
    for index, (text, _, words, _) in enumerate(sentences):
        for known in words:
            start, end = known.start, known.start + len(sought)
            part = text[start:end]
            if part != sought and not (ignore_case and part.casefold() == sought.casefold()):
                continue
            last = known
            for other in words:  # 배 in 배가; "New York" is two words
                if other.start < end:
                    last = other
            found.append(Occurrence(index, start, max(end, known.end), known.first, last.stop))
    return found


def occurrence(sentence: int, word: Word) -> Occurrence:
    """Return a word of a sentence as an occurrence."""
    return Occurrence(sentence, word.start, word.end, word.first, word.stop)


def vectors_of(
    sentences: Sequence[Sentence], occurrences: Sequence[Occurrence], layer: int
) -> Float[np.ndarray, "N D"]:
    """Return the mean vector of each occurrence's tokens in a layer, scaled to length 1.

    Args:
        sentences: the sentences.
        occurrences: words in them, at least one.
        layer: 0 for the embeddings, then 1, 2, …
    """
    means = [
        sentences[one.sentence].states[layer, one.first : one.stop].mean(axis=0)
        for one in occurrences
    ]
    return unit(np.stack(means))


def unit(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Return vectors scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), MIN_NORM)


def principal_plane(
    vectors: Float[np.ndarray, "N D"],
) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "2"]]:
    """Return vectors on their first two principal components, and each one's share of variance.

    The signs are such that the largest coordinate of each component is above 0.
    """
    centered = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centered, full_matrices=False)
    points = np.zeros((len(vectors), 2), np.float32)
    shares = np.zeros(2, np.float32)
    count = min(2, len(s))
    points[:, :count] = u[:, :count] * s[:count]
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)
    total = float(np.square(s).sum())
    if total > MIN_NORM:
        shares[:count] = np.square(s[:count]) / total
    return points, shares


def two_clusters(vectors: Float[np.ndarray, "N D"]) -> Clusters:
    """Divide vectors of length 1 into two clusters, by average linkage of their cosines."""
    if len(vectors) < 2:
        return Clusters(np.zeros(len(vectors), np.int64), None, None)
    cosines = np.clip(vectors @ vectors.T, -1, 1)
    upper = np.triu_indices(len(vectors), 1)
    tree = scipy.cluster.hierarchy.linkage(1 - cosines[upper].astype(float), "average")
    labels = scipy.cluster.hierarchy.fcluster(tree, 2, "maxclust")
    labels = (labels != labels[0]).astype(np.int64)
    is_same = labels[upper[0]] == labels[upper[1]]
    within, between = cosines[upper][is_same], cosines[upper][~is_same]
    return Clusters(
        labels,
        float(within.mean()) if len(within) else None,
        float(between.mean()) if len(between) else None,
    )


def nearest(
    vector: Float[np.ndarray, " D"], vectors: Float[np.ndarray, "N D"], count: int
) -> list[tuple[int, float]]:
    """Return the nearest vectors of length 1 to another one, and their cosines."""
    cosines = vectors @ vector
    order = np.argsort(-cosines, kind="stable")[:count]
    return [(int(i), float(cosines[i])) for i in order]


def nearest_in_vocabulary(
    model: Model, tokens: Sequence[int], count: int
) -> list[tuple[str, float]]:
    """Return the tokens whose embeddings are nearest to those of a word, and their cosines.

    Args:
        model: any model.
        tokens: the word's tokens; the mean of their embeddings is compared.
        count: how many to return; the word itself is left out.
    """
    encoder = model.params.get("bert", model.params)
    table = np.asarray(encoder["embeddings"]["word"])[: model.tokenizer.vocab_size]
    mean = unit(table[list(tokens)].mean(axis=0)[None])[0]
    found = nearest(mean, unit(table), count + len(tokens))
    kept = [(i, cosine) for i, cosine in found if i not in tokens]
    names = model.tokenizer.pieces([i for i, _ in kept[:count]])
    return [(name, cosine) for name, (_, cosine) in zip(names, kept, strict=False)]


def expected_instead(
    model: Model, vector: Float[np.ndarray, " D"], token: int, count: int
) -> list[tuple[str, float]]:
    """Return the tokens that a masked-LM head expects in the place of another one.

    The probabilities are those that remain once the token itself is left out.

    Args:
        model: a model with a masked-LM head.
        vector: the token's vector in the last layer; the sentence is not masked.
        token: the token.
        count: how many to return.
    """
    graphdef, state = nnx.split(model.model)
    logits = np.array(_head(graphdef, state, vector[None, None])[0, 0], float)
    logits[token] = -np.inf
    logits = logits[: model.tokenizer.vocab_size]
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities, kind="stable")[:count]
    names = model.tokenizer.pieces(order.tolist())
    return [(name, float(probabilities[i])) for name, i in zip(names, order, strict=True)]


@functools.partial(jax.jit, static_argnums=0)
def _head(graphdef: Any, state: Any, vectors: Float[Array, "1 1 D"]) -> Float[Array, "1 1 V"]:
    """Return the masked-LM head's logits."""
    model = nnx.merge(graphdef, state)
    return model.mlm(vectors, model.bert.embeddings.word[...])
