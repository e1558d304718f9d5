"""The page itself: one template for the server and for saved pages."""

import json
from importlib.resources import files
from string import Template
from typing import Any

from bert_jax.explorer.opening import Opened

STATIC = files("bert_jax.explorer") / "static"
TYPES = {".css": "text/css", ".js": "text/javascript"}


def scripts() -> dict[str, str]:
    """Return the scripts of the page: names as they import each other, and their paths in static/.

    "views/fill.js" is imported as "explorer/views/fill.js".
    """
    return {f"explorer/{path}": path for path in static_files(".js")}


def styles() -> list[str]:
    """Return the paths of the style sheets in static/: page.css first, which others build on."""
    return sorted(static_files(".css"), key=lambda path: path != "page.css")


def static_files(suffix: str) -> list[str]:
    """Return the paths in static/ that end in a suffix."""
    folders = {"": STATIC, "views/": STATIC / "views"}
    return sorted(
        f"{prefix}{file.name}"
        for prefix, folder in folders.items()
        for file in folder.iterdir()
        if file.name.endswith(suffix)
    )


def read_static(path: str) -> str:
    """Return a file of static/."""
    return STATIC.joinpath(*path.split("/")).read_text(encoding="utf-8")


def describe(opened: Opened) -> dict[str, Any]:
    """Return what the page's script needs to know of the model and its views."""
    views = [{"name": v.name, "title": v.title, "about": v.about} for v in opened.views]
    return {"model": opened.name, "about": opened.about, "views": views}


def fill_template(
    policy: str, style: str, imports: dict[str, str], data: dict[str, Any], nonce: str
) -> str:
    """Return the page.

    Args:
        policy: its content security policy, "" where a header has it.
        style: the elements of its style.
        imports: its import map: names of scripts → addresses.
        data: what its script reads.
        nonce: of its inline scripts; letters and digits.
    """
    return Template(read_static("index.html")).substitute(
        policy=policy,
        style=style,
        imports=in_script({"imports": imports}),
        data=in_script(data),
        nonce=nonce,
    )


def in_script(value: Any) -> str:
    """Return JSON that ends no <script> and opens no comment: every "<" is an escape in it."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
