"""Attributions: how much each token of a text contributed to an output of a fine-tuned model.

What is explained is a log-odds, log p / (1 - p), not a logit or a probability. A logit of a
softmax can be any number, because adding a constant to all classes changes nothing; a probability
near 1 hardly moves, so that its gradient vanishes where the model is certain. The logit of a label
of a multilabel model is a log-odds as it is; a score is explained itself. For an answer it is the
sum of the log-odds of its first and its last token, each against all other tokens of the window.

The baseline is the same text with [MASK] in the place of every word: in pretraining the encoder
has learned that a word stands there which it cannot see. [PAD] is never attended to while BERT
trains, so its embedding means nothing. [CLS], [SEP], positions and segments stay.
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from bert_jax.labelled.batching import EncodedText
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.nn.layout import row_layout
from bert_jax.pretrained import Model

Method = Literal["integrated_gradients", "gradient_x_input"]
STEPS = 16  # of Gauss-Legendre quadrature along the path
MIN_LENGTH = 16  # texts are padded to powers of 2 from here, each of which is compiled once
CHUNK_TOKENS = 1024  # tokens whose gradients are computed together
EXCLUDED = -1e30  # logit of tokens of padding


class Output(NamedTuple):
    """An output of a model for one encoded text."""

    index: int = 0
    """The class, label or tag; 0 for a score."""
    token: int = 0
    """The token at which a tag is read, or the first one of an answer."""
    last_token: int = 0
    """The last token of an answer."""


class Attribution(NamedTuple):
    """Contributions of tokens to an output."""

    values: Float[np.ndarray, " T"]
    """Of each token, in the output's unit: above 0 if it speaks for it, below if against."""
    output: float
    """The output for the text."""
    baseline: float
    """The output with [MASK] in the place of all words; integrated gradients sum to the
    difference."""


def attribute(
    model: Model,
    text: EncodedText,
    output: Output,
    method: Method = "integrated_gradients",
    steps: int = STEPS,
) -> Attribution:
    """Compute the contribution of each token to an output.

    Integrated gradients (Sundararajan et al. 2017, equation 1) follow the straight path from the
    baseline b to the word embeddings x: (x - b) · ∫ ∇f(b + α (x - b)) dα, by Gauss-Legendre
    quadrature. They are complete: their sum is the output's difference from the baseline's, up to
    the error of the quadrature. Gradient × input (Shrikumar et al. 2016) is x · ∇f(x), from one
    gradient, and sums to nothing in particular.

    Args:
        model: a fine-tuned model.
        text: one text, as the model's task encodes it.
        output: the output to explain.
        method: the method.
        steps: points of the quadrature.
    """
    length = max(MIN_LENGTH, 1 << (len(text.tokens) - 1).bit_length())
    tokens = np.zeros(length, np.int32)
    tokens[: len(text.tokens)] = text.tokens
    second = len(text.tokens) - text.first_length
    graphdef, state = nnx.split(model.model)
    with jax.default_matmul_precision("float32"):
        values, ends = _attribute(
            graphdef,
            model.task.kind if model.task else "",
            method,
            state,
            tokens,
            np.array([text.first_length, second], np.int32),
            np.isin(tokens, [model.tokenizer.cls_id, model.tokenizer.sep_id], invert=True),
            model.tokenizer.mask_id,
            _path(method, steps, max(1, CHUNK_TOKENS // length)),
            np.array(output, np.int32),
        )
    at_baseline, at_text = np.asarray(ends, float).tolist()
    return Attribution(np.asarray(values)[: len(text.tokens)], at_text, at_baseline)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _attribute(
    graphdef: Any,
    kind: str,
    method: Method,
    state: Any,
    tokens: Int[Array, " T"],
    lengths: Int[Array, "2"],
    is_word: Bool[Array, " T"],
    mask_id: Int[Array, ""],
    path: Float[Array, "2 C N"],
    output: Int[Array, "3"],
) -> tuple[Float[Array, " T"], Float[Array, "2"]]:
    """Return the tokens' contributions, and the outputs for the baseline and for the text."""
    table = nnx.merge(graphdef, state).bert.embeddings.word[...]
    x = table[tokens]
    b = jnp.where(is_word[:, None], table[mask_id][None], x)

    def f(vectors: Float[Array, "T D"]) -> Float[Array, ""]:
        model = nnx.merge(graphdef, state)
        # The text's own vectors become the embedding table, and its tokens their numbers.
        model.bert.embeddings.word = nnx.Param(vectors)
        numbers = jnp.arange(len(vectors))[None]
        layout = row_layout(lengths[None, None], len(vectors))
        logits = model(numbers, layout, execution=DEFAULT_EXECUTION)[0]
        return _explained(kind, logits, lengths.sum(), output)

    def gradients(alphas: Float[Array, " N"]) -> tuple[Float[Array, " N"], Float[Array, "N T D"]]:
        return jax.vmap(lambda alpha: jax.value_and_grad(f)(b + alpha * (x - b)))(alphas)

    alphas_CN, weights_CN = path
    outputs_CN, gradients_CNTD = jax.lax.map(gradients, alphas_CN)
    mean_TD = jnp.einsum("CN,CNTD->TD", weights_CN, gradients_CNTD)
    factor_TD = x - b if method == "integrated_gradients" else x
    return (factor_TD * mean_TD).sum(axis=-1), outputs_CN.reshape(-1)[:2]


def _path(method: Method, steps: int, chunk: int) -> Float[np.ndarray, "2 C N"]:
    """Return points between baseline (0) and text (1), and their weights, in C chunks of N.

    The first two points are the ends; of the integral they have no share.

    Args:
        method: the method.
        steps: points of the quadrature.
        chunk: the largest N.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    inner = (nodes + 1) / 2, weights / 2
    if method == "gradient_x_input":
        inner = (), ()
    alphas = np.array([0, 1, *inner[0]], np.float32)
    shares = np.array([0, float(method == "gradient_x_input"), *inner[1]], np.float32)
    num_chunks = -(-len(alphas) // chunk)
    size = -(-len(alphas) // num_chunks)
    padding = (0, num_chunks * size - len(alphas))
    return np.stack([np.pad(x, padding).reshape(num_chunks, size) for x in (alphas, shares)])


def _explained(
    kind: str, logits: Float[Array, "_ C"], length: Int[Array, ""], output: Int[Array, "3"]
) -> Float[Array, ""]:
    """Return the number to explain from the logits of one text, [1, C], or of its tokens.

    `output` has the fields of an `Output`.
    """
    index, token, last_token = output
    if kind == "question_answering":
        is_token = jnp.arange(len(logits)) < length
        starts, ends = jnp.where(is_token, logits.T, EXCLUDED)
        return log_odds(starts, token) + log_odds(ends, last_token)
    if kind == "tagging":
        return log_odds(logits[token], index)
    if kind == "classification":
        return log_odds(logits[0], index)
    return logits[0, index]


def log_odds(logits: Float[Array, " C"], index: Int[Array, ""]) -> Float[Array, ""]:
    """Return log p / (1 - p) of one class of a softmax."""
    if len(logits) == 1:
        return logits[0]
    others = jnp.where(jnp.arange(len(logits)) == index, -jnp.inf, logits)
    return logits[index] - jax.nn.logsumexp(others)
