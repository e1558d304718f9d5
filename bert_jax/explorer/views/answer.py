"""Questions about a passage: answers marked in it, and which words decided."""

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

EXAMPLES = {
    "en": (
        "Who wrote the first program?",
        "Charles Babbage planned the Analytical Engine, a machine that could compute anything. Ada"
        " Lovelace wrote the first program for it in 1843.",
    ),
    "ko": (
        "훈민정음은 언제 만들어졌는가?",
        "세종대왕은 1443년에 훈민정음을 만들었고, 1446년에 이를 반포하였다.",
    ),
}


def answer_view(model: Model) -> View | None:
    """Return the view; None for a model that answers no questions."""
    if model.reading.kind != "question_answering":
        return None

    def predict(request: Json) -> Json:
        inputs, notices = read_inputs_of(request, ("question", "context"))
        return {"predictions": predict_each(model, inputs), "notice": " ".join(notices) or None}

    def explain(request: Json) -> Json:
        inputs, _ = read_inputs_of(request, ("question", "context"))
        span = request.get("span")
        if not isinstance(span, list) or [type(x) for x in span] != [int, int]:
            raise DataError(f"span = {str(span)[:40]!r}", "[start, end]", "reload the page")
        target = Target(span=(span[0], span[1]))
        return {"explanations": explain_each(model, inputs, target, request)}

    answers: dict[str, Callable[[Json], Json]] = {
        "predict": predict,
        "explain": explain,
        "table": lambda request: predict_table(model, request.get("table")),
    }

    def to_save(texts: Sequence[str]) -> list[Json]:
        requests: list[Json] = []
        for text in texts:
            question, _, context = text.partition("\t")
            inputs = [{"question": question, "context": context}]
            requests.append({"do": "predict", "inputs": inputs})
            (prediction,) = predict(requests[-1])["predictions"]
            requests += [
                {
                    "do": "explain",
                    "inputs": inputs,
                    "span": [answer["start"], answer["end"]],
                    "method": method,
                }
                for answer in (prediction or {}).get("n_best", [])
                for method in METHODS
            ]
        return requests

    texts_of = {name: " ".join(pair) for name, pair in EXAMPLES.items()}
    question, context = EXAMPLES[choose_language(model.tokenizer, texts_of)]
    about = {"examples": [{"question": question, "context": context}], "max_rows": MAX_ROWS}
    return View(
        "answer",
        "Answer",
        about,
        lambda request: dispatch(request, answers),
        to_save,
        lambda: warm_up(model, lambda text: {"question": "a", "context": text}),
    )
