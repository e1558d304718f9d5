"""Tags of words: marked in the text, and which words decided each."""

from collections.abc import Callable, Sequence

from bert_jax.errors import DataError
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

SAVED_WORDS = 40  # first words of a text whose tags a saved page explains
EXAMPLES = {
    "en": ["Ada Lovelace was born in London and wrote to Charles Babbage."],
    "ko": ["세종대왕은 1443년 한양에서 훈민정음을 만들었다."],
}


def tag_view(model: Model) -> View | None:
    """Return the view; None for a model that tags no words."""
    if model.reading.kind != "tagging":
        return None

    def predict(request: Json) -> Json:
        inputs, notices = read_inputs_of(request, ("text",))
        return {"predictions": predict_each(model, inputs), "notice": " ".join(notices) or None}

    def explain(request: Json) -> Json:
        inputs, _ = read_inputs_of(request, ("text",))
        word = request.get("word")
        if type(word) is not int:
            raise DataError(f"word = {str(word)[:40]!r}", "the number of a word", "reload")
        return {"explanations": explain_each(model, inputs, Target(word=word), request)}

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
            inputs = [{"text": text}]
            requests.append({"do": "predict", "inputs": inputs})
            requests += [
                {"do": "explain", "inputs": inputs, "word": word, "method": method}
                for word in range(min(len(text.split()), SAVED_WORDS))
                for method in METHODS
            ]
        return requests

    about = {
        "labels": list(model.labels),
        "examples": EXAMPLES[language],
        "max_rows": MAX_ROWS,
    }
    return View(
        "tag",
        "Tag",
        about,
        lambda request: dispatch(request, answers),
        to_save,
        lambda: warm_up(model, lambda text: {"text": text}),
    )
