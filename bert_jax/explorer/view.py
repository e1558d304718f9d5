"""A view of the page: a tab that asks questions of a model."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from bert_jax.errors import DataError

Json = dict[str, Any]
MAX_PREPARED = 128  # tokens of the longest texts whose programs are compiled at the start
MAX_CHARS = 20_000  # of a text; a model's longest input is a fraction of it


class View(NamedTuple):
    """A tab of the page.

    Requests come from a browser: `answer` checks them, and raises a UserError for a bad one.
    """

    name: str
    """Of its script, static/views/NAME.js, and of its address, /api/NAME."""
    title: str
    """On its tab."""
    about: Json
    """What the page needs at once: examples, labels, limits."""
    answer: Callable[[Json], Json]
    """Answer one request; one at a time, in any thread."""
    to_save: Callable[[Sequence[str]], list[Json]]
    """Texts → the requests whose answers a saved page holds."""
    prepare: Callable[[], Iterable[object]] = tuple
    """Compile what requests need: a program for each item, those of short texts first. It is read
    once, in the background, in turns with other views'."""
    page: Callable[[str], str | None] = lambda path: None
    """HTML of its own at /pages/NAME/PATH, which runs no script; None where there is none."""


def text_of(request: Json, name: str = "text") -> tuple[str, str | None]:
    """Return a text of a request, at most MAX_CHARS of it, and a notice if it was cut.

    Raises:
        DataError: it is absent, or no text.
    """
    text = request.get(name)
    if not isinstance(text, str):
        raise DataError(f"{name} = {str(text)[:40]!r}", "a text", "reload the page")
    if len(text) <= MAX_CHARS:
        return text, None
    return text[:MAX_CHARS], f"The text was cut after {MAX_CHARS:,} characters."


def lengths_to_prepare(longest: int, lengths: Iterable[int]) -> list[int]:
    """Return the lengths whose programs are compiled at the start, in increasing order.

    A longer text is rare, and its program takes long to run: it waits for the first such text.

    Args:
        longest: input of the model, itself a length.
        lengths: of the inputs that a program takes.
    """
    return sorted({min(length, longest) for length in lengths if length <= MAX_PREPARED})
