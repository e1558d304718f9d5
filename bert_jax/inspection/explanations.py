"""Explanations of a prediction: which words decided, for and against."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from bert_jax.errors import ConfigError
from bert_jax.inspection.attributions import STEPS, Attribution, Method, Output, attribute
from bert_jax.inspection.words import (
    Word,
    words_of_passage,
    words_of_tagged,
    words_of_texts,
)
from bert_jax.labelled.batching import EncodedText
from bert_jax.labelled.inputs import as_input
from bert_jax.pretrained import Model
from bert_jax.tasks.question_answering import QuestionAnswering


class Target(NamedTuple):
    """The part of a prediction to explain; what is None follows the prediction."""

    label: str | None = None
    """A class, label or tag; None: the most probable."""
    word: int = 0
    """The word whose tag is explained."""
    span: tuple[int, int] | None = None
    """First character and last + 1 of an answer in its passage; None: the best answer."""


PREDICTED = Target()


class Explanation(NamedTuple):
    """Words of a text with their contributions to an output; see `attributions`."""

    label: str
    """The class, label or tag; "score", or the text of an answer."""
    words: list[Word]
    """The words that the model read."""
    values: Float[np.ndarray, " N"]
    """The contribution of each word, the sum over its tokens."""
    output: float
    """The output for the text: a log-odds, or a score."""
    baseline: float
    """The output with [MASK] in the place of every word."""


def explain(
    model: Model,
    example: str | tuple[str, str] | dict[str, Any],
    target: Target = PREDICTED,
    method: Method = "integrated_gradients",
    steps: int = STEPS,
) -> Explanation:
    """Explain a prediction of a fine-tuned model by the words of its input.

    Args:
        model: the model.
        example: an input, as `Model.predict` takes it.
        target: the part of the prediction to explain.
        method: "integrated_gradients", whose sum is `output` - `baseline`, or "gradient_x_input".
        steps: points along the path of integrated gradients.

    Raises:
        ConfigError: the model was not fine-tuned, or the target does not exist.
        DataError: an input without a text.

    Example:
        >>> explanation = explain(bert_jax.load("examples/nsmc_classifier"), "정말 재밌는 영화")
        >>> for word, value in zip(explanation.words, explanation.values):
        ...     print(f"{word.text} {value:+.1f}")
    """
    (prediction,) = model.predict([example])  # refuses what cannot be explained
    task, tokenizer = model.task, model.tokenizer
    assert task is not None
    parsed = task.parse(as_input(example).read, "input 1")
    encoded = task.encode([parsed], tokenizer, model.max_length)
    if isinstance(task, QuestionAnswering):
        span = target.span or (prediction["start"], prediction["end"])
        text, output = _find_answer(encoded, span)
        words = words_of_passage(parsed.question, parsed.context, text, tokenizer)
        label = parsed.context[slice(*span)]
    elif task.kind == "tagging":
        text, token, words = _find_word(encoded, words_of_tagged(parsed, encoded), target.word)
        label = target.label or prediction["tags"][target.word]
        output = Output(_index(task.labels, label), token)
    else:
        text = encoded[0]
        texts = [parsed.text] if parsed.text_b is None else [parsed.text, parsed.text_b]
        words = words_of_texts(texts, text, tokenizer)
        probabilities = prediction.get("probabilities", {task.labels[0]: 1.0})
        label = target.label or max(probabilities, key=probabilities.__getitem__)
        output = Output(_index(task.labels, label))
    return _sum_over_words(label, words, attribute(model, text, output, method, steps))


def _sum_over_words(label: str, words: list[Word], found: Attribution) -> Explanation:
    values = np.array([found.values[word.first : word.stop].sum() for word in words])
    return Explanation(label, words, values, found.output, found.baseline)


def _index(labels: Sequence[str], label: str) -> int:
    """Return the number of a label.

    Raises:
        ConfigError: there is none of this name.
    """
    if label not in labels:
        raise ConfigError(
            f"label = {label!r} is none of the model's"[:200],
            f"one of {', '.join(labels[:8])}",
            "choose another label",
        )
    return labels.index(label)


def _find_word(
    encoded: Sequence[EncodedText], windows: Sequence[list[Word]], word: int
) -> tuple[EncodedText, int, list[Word]]:
    """Return the window that a word is in, its first token there, and the window's words.

    Raises:
        ConfigError: the sentence has fewer words.
    """
    index = word
    for text, words in zip(encoded, windows, strict=True):
        if 0 <= index < len(words):
            return text, words[index].first, words
        index -= len(words)
    total = sum(map(len, windows))
    raise ConfigError(
        f"word = {word}, but the sentence has {total}", f"0 to {total - 1}", "choose another word"
    )


def _find_answer(
    encoded: Sequence[EncodedText], span: tuple[int, int]
) -> tuple[EncodedText, Output]:
    """Return the window where an answer has most context, and its tokens there.

    Raises:
        ConfigError: no window has the answer's first and last token.
    """
    best = None
    for text in encoded:
        starts, ends = text.targets["char_start"], text.targets["char_end"]
        if span[0] not in starts or span[1] not in ends:
            continue
        first = starts.index(span[0])
        last = len(ends) - 1 - ends[::-1].index(span[1])  # pieces of one syllable share its end
        begin = next(i for i, start in enumerate(starts) if start >= 0)  # of the passage
        context = min(first - begin, len(starts) - 2 - last)
        if first <= last and (best is None or context > best[0]):
            best = context, text, Output(0, first, last)
    if best is None:
        raise ConfigError(
            f"span = {span}: no tokens of the passage begin and end there",
            'the "start" and "end" of a predicted answer',
            "choose another span",
        )
    return best[1:]
