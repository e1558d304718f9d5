"""Attention: where every head of every layer looks, for a text or a pair."""

from collections.abc import Iterator, Sequence

from bert_jax.explorer.view import Json, View, lengths_to_prepare, text_of
from bert_jax.explorer.views.fill import choose_examples
from bert_jax.inspection.attention import attention, longest_input
from bert_jax.labelled.batching import BUCKETS
from bert_jax.pretrained import Model

SEPARATOR = "\t"  # between the two texts of a pair on the command line, in every view


def attention_view(model: Model) -> View:
    """Return the view."""

    def answer(request: Json) -> Json:
        text, cut = text_of(request)
        text_b, cut_b = text_of(request, "text_b") if request.get("text_b") else (None, None)
        found = attention(model, text, text_b)
        notice = found.notice or cut or cut_b
        return found._replace(notice=notice).picture().as_json()

    def to_save(texts: Sequence[str]) -> list[Json]:
        takes_pairs = model.config.takes_pairs
        return [split_pair(x) if takes_pairs else {"text": x, "text_b": ""} for x in texts]

    def prepare() -> Iterator[None]:
        for length in lengths_to_prepare(longest_input(model), BUCKETS):
            attention(model, "a " * length, max_tokens=length)
            yield

    about = {
        "examples": choose_examples(model.tokenizer),
        "takes_pairs": model.config.takes_pairs,
        "separator": SEPARATOR,
        "longest": longest_input(model),
    }
    return View("attention", "Attention", about, answer, to_save, prepare)


def split_pair(text: str) -> Json:
    """Return the request of a text, or of a pair that is written with a tab between."""
    first, separator, second = text.partition(SEPARATOR)
    return {"text": first, "text_b": second} if separator else {"text": text, "text_b": ""}
