"""Classes, labels and scores of texts: how probable, which words decided, and tables of texts."""

from collections.abc import Callable, Sequence

from bert_jax.explorer.explaining import (
    METHODS,
    choose_language,
    dispatch,
    explain_each,
    predict_each,
    read_inputs_of,
    warm_up,
)
from bert_jax.explorer.tables import MAX_ROWS, predict_table
from bert_jax.explorer.view import Json, View
from bert_jax.inspection.explanations import Target
from bert_jax.pretrained import Model

KINDS = ("classification", "multilabel", "regression")
SAVED_LABELS = 3  # most probable ones that a saved page explains
EXAMPLES = {
    "en": [
        "A boring start, but the ending was wonderful and the actors were great.",
        "I wanted to like it, but the story was terrible.",
    ],
    "ko": [
        "배우들 연기는 좋았지만 이야기가 너무 지루했다.",
        "기대 안 했는데 정말 재미있게 봤습니다!",
        "시간이 아깝다. 다시는 안 본다.",
    ],
}


def classify_view(model: Model) -> View | None:
    """Return the view; None for a model that gives texts no class and no score."""
    kind = model.reading.kind
    if kind not in KINDS:
        return None
    takes_pairs = model.config.takes_pairs
    columns = model.reading.columns if isinstance(model.reading.columns, dict) else {}

    def predict(request: Json) -> Json:
        inputs, notices = read_inputs_of(request, ("text", "text_b"))
        predictions = predict_each(model, [as_example(texts) for texts in inputs])
        return {"predictions": predictions, "notice": " ".join(notices) or None}

    def explain(request: Json) -> Json:
        inputs, _ = read_inputs_of(request, ("text", "text_b"))
        label = request.get("label")
        target = Target(label=None if label is None else str(label))
        examples = [as_example(texts) for texts in inputs]
        return {"explanations": explain_each(model, examples, target, request)}

    texts_of = {name: " ".join(texts) for name, texts in EXAMPLES.items()}
    language = choose_language(model.tokenizer, texts_of)
    answers: dict[str, Callable[[Json], Json]] = {
        "predict": predict,
        "explain": explain,
        "table": lambda request: predict_table(model, request.get("table")),
    }

    def to_save(texts: Sequence[str]) -> list[Json]:
        requests: list[Json] = []
        for text in texts:
            inputs = [as_input_of_page(text)]
            requests.append({"do": "predict", "inputs": inputs})
            (prediction,) = predict(requests[-1])["predictions"]
            for label in probable_labels(prediction or {}):
                requests += [
                    {"do": "explain", "inputs": inputs, "label": label, "method": method}
                    for method in METHODS
                ]
        return requests

    about = {
        "kind": kind,
        "labels": list(model.labels),
        "thresholds": list(getattr(model.task, "thresholds", ())),
        "takes_pairs": takes_pairs,
        "is_pair": takes_pairs and bool(columns.get("text_b")),
        "examples": EXAMPLES[language],
        "max_rows": MAX_ROWS,
        "saved_labels": SAVED_LABELS,
    }
    return View(
        "classify",
        "Score" if kind == "regression" else "Classify",
        about,
        lambda request: dispatch(request, answers),
        to_save,
        lambda: warm_up(model, lambda text: {"text": text}),
    )


def as_example(texts: dict[str, str]) -> dict[str, str]:
    """Return a text or a pair as `Model.predict` takes it."""
    if "text_b" not in texts:
        return {"text": texts["text"]}
    return {"sentence1": texts["text"], "sentence2": texts["text_b"]}


def as_input_of_page(text: str) -> Json:
    """Return a text of a saved page, or a pair with a tab between, as its request holds it."""
    first, tab, second = text.partition("\t")
    return {"text": first} | ({"text_b": second} if tab else {})


def probable_labels(prediction: Json) -> list[str | None]:
    """Return the labels that a saved page explains; [None] for a score."""
    if "error" in prediction or not prediction:
        return []
    probabilities: dict[str, float] = prediction.get("probabilities", {})
    if not probabilities:
        return [None]
    return [*sorted(probabilities, key=lambda label: -probabilities[label])[:SAVED_LABELS]]
