"""Answers that the views of predictions share: which words decided, and what is compiled first."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from bert_jax.errors import DataError
from bert_jax.explorer.view import Json, lengths_to_prepare, text_of
from bert_jax.inspection.attributions import MIN_LENGTH, Method
from bert_jax.inspection.explanations import Target, explain
from bert_jax.labelled.inputs import as_input
from bert_jax.pretrained import Model
from bert_jax.tokenizer.tokenizer import Tokenizer

MAX_INPUTS = 2  # that are shown side by side
METHODS: tuple[Method, ...] = get_args(Method)
LENGTHS = tuple(MIN_LENGTH << i for i in range(8))  # to which inspection pads a text
NUM_OTHERS = 4  # tokens that stand beside a text or passage: [CLS], a question's "a", two [SEP]


def read_inputs_of(request: Json, names: Sequence[str]) -> tuple[list[dict[str, str]], list[str]]:
    """Return the inputs of a request, and notices about those that were cut.

    Args:
        request: {"inputs": [{name: text, …}, …]}.
        names: names of texts; all but the first may be absent, for a text that is no pair.

    Raises:
        DataError: they have another form.
    """
    given = request.get("inputs")
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_INPUTS:
        raise DataError(f"inputs = {str(given)[:40]!r}", "one input or two", "reload the page")
    inputs, notices = [], []
    for values in given:
        if not isinstance(values, dict):
            raise DataError(f"an input = {str(values)[:40]!r}", "an object", "reload the page")
        texts = {}
        for name in names:
            if name != names[0] and values.get(name) is None:
                continue
            texts[name], notice = text_of(values, name)
            notices += [notice] if notice else []
        inputs.append(texts)
    return inputs, list(dict.fromkeys(notices))


def predict_each(model: Model, examples: Sequence[dict[str, str]]) -> list[Json | None]:
    """Return the prediction for each input, or an error; None where there is no text yet."""
    given = [all(text.strip() for text in example.values()) for example in examples]
    predictions = iter(
        model.predict_inputs(
            [
                as_input(example)
                for example, is_given in zip(examples, given, strict=True)
                if is_given
            ]
        )
    )
    return [next(predictions) if is_given else None for is_given in given]


def explain_each(
    model: Model, examples: Sequence[dict[str, str]], target: Target, request: Json
) -> list[Json | None]:
    """Return which words decided in each input; None where there is no text yet.

    Args:
        model: the model.
        examples: as `Model.predict` takes them.
        target: what is explained.
        request: has the "method".

    Raises:
        DataError: there is no such method.
    """
    method = request.get("method")
    if method not in METHODS:
        raise DataError(f"method = {str(method)[:40]!r}", f"one of {', '.join(METHODS)}", "reload")
    answers: list[Json | None] = []
    for example in examples:
        if not all(text.strip() for text in example.values()):
            answers.append(None)
            continue
        found = explain(model, example, target, method)
        words = [
            {"start": word.start, "end": word.end, "part": word.part, "value": round(value, 5)}
            for word, value in zip(found.words, found.values.tolist(), strict=True)
        ]
        answers.append(
            {
                "label": found.label,
                "words": words,
                "output": found.output,
                "baseline": found.baseline,
                "sum": float(found.values.sum()),
            }
        )
    return answers


def choose_language(tokenizer: Tokenizer, texts: Mapping[str, str]) -> str:
    """Return the language, a key of `texts`, that a vocabulary has the longest pieces of."""

    def num_pieces(name: str) -> float:
        ids = tokenizer.encode(texts[name])
        return math.inf if tokenizer.unk_id in ids else len(ids) / len(texts[name])

    return min(texts, key=num_pieces)


def dispatch(request: Json, answers: Mapping[str, Callable[[Json], Json]]) -> Json:
    """Return the answer to what a request wants "do"ne.

    Raises:
        DataError: it is none of the answers.
    """
    wanted = request.get("do")
    if not isinstance(wanted, str) or wanted not in answers:
        raise DataError(f"do = {str(wanted)[:40]!r}", f"one of {', '.join(answers)}", "reload")
    return answers[wanted](request)


def warm_up(model: Model, make_input: Callable[[str], dict[str, Any]]) -> Iterator[None]:
    """Compile what predicts and explains texts, length by length."""
    for length in lengths_to_prepare(model.max_length, LENGTHS):
        given = make_input("a " * (length - NUM_OTHERS))
        model.predict([given])
        yield
        for method in METHODS:
            explain(model, given, method=method)
            yield
