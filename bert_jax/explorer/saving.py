"""A page in one file: scripts, style, and the answers to the requests that its views expect."""

import base64
import secrets
from collections.abc import Sequence
from typing import Any

from bert_jax.errors import UserError
from bert_jax.explorer.opening import Opened
from bert_jax.explorer.page import describe, fill_template, read_static, scripts, styles
from bert_jax.explorer.view import Json, View

POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
    " script-src 'nonce-{nonce}' data:; style-src 'nonce-{nonce}'; img-src data:\">"
)


def save_page(opened: Opened, texts: Sequence[str]) -> str:
    """Return a page that shows some texts without a server and without a network.

    Args:
        opened: the model and its views.
        texts: what it shows; a view that has nothing to show of them is left out.
    """
    answers = {view.name: answers_of(view, texts) for view in opened.views}
    opened = opened._replace(views=[view for view in opened.views if answers[view.name]])
    nonce = secrets.token_hex(16)
    data: dict[str, Any] = describe(opened)
    data["saved"] = {"texts": list(texts), "answers": answers}
    imports = {name: data_address(read_static(path)) for name, path in scripts().items()}
    style = f'<style nonce="{nonce}">{"".join(map(read_static, styles()))}</style>'
    return fill_template(POLICY.format(nonce=nonce), style, imports, data, nonce)


def answers_of(view: View, texts: Sequence[str]) -> list[tuple[Json, Json]]:
    """Return the requests that a view makes of some texts, with their answers or errors."""
    answers = []
    for request in view.to_save(texts):
        try:
            answers.append((request, view.answer(request)))
        except UserError as error:
            answers.append((request, {"error": error.lines}))
    return answers


def data_address(script: str) -> str:
    """Return a script as a data: address."""
    return f"data:text/javascript;base64,{base64.b64encode(script.encode()).decode()}"
