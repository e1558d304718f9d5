"""SVG primitives: elements, escaped text, and one style for light and dark."""

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

STYLE = """
  text { font-family: system-ui, sans-serif; fill: #24292f; } .title { font-weight: 600; }
  polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round; }
  .page { fill: #ffffff; } .frame { fill: none; stroke: #8c959f; } .grid { stroke: #d0d7de; }
  .more { fill: #0b57d0; } .less { fill: #b35900; } .share { fill: #0b57d0; }
  .train { stroke: #8fb8e8; } .eval { stroke: #0b57d0; stroke-width: 2.5; }
  .other-train { stroke: #dfb48a; } .other-eval { stroke: #b35900; stroke-width: 2.5; }
  .base { stroke: #b35900; stroke-dasharray: 6 4; }
  .label { fill: #b35900; stroke: #ffffff; stroke-width: 4; paint-order: stroke; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .page { fill: #0d1117; } .grid { stroke: #30363d; }
    .more { fill: #8cc0ff; } .less { fill: #f0a050; }
    .train { stroke: #3f70ab; } .eval { stroke: #8cc0ff; } .base { stroke: #f0a050; }
    .other-train { stroke: #94632f; } .other-eval { stroke: #f0a050; }
    .label { fill: #f0a050; stroke: #0d1117; }
  }
"""
# What XML 1.0 (section 2.2) has no way to write: most control characters, lone surrogates.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(content: str) -> str:
    """Return a text as markup; a character that XML does not allow becomes U+FFFD."""
    return html.escape(_NOT_XML.sub("\ufffd", content))


def element(tag: str, content: str = "", **attributes: object) -> str:
    """Return one element around `content`, which is markup.

    Attributes are named as in SVG, with `class_` for class and `text_anchor` for text-anchor.
    Their values are escaped; floats are rounded to three decimals.
    """
    start = tag
    for name, value in attributes.items():
        start += f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"'
    return f"<{start}>{content}</{tag}>" if content else f"<{start}/>"


def text(x: float, y: float, content: str, rotate: float = 0, **attributes: object) -> str:
    """Return escaped text at (x, y), rotated clockwise around that point by degrees."""
    if rotate:
        attributes["transform"] = f"rotate({rotate} {_value(x)} {_value(y)})"
    return element("text", escape(content), x=x, y=y, **attributes)


def rect(
    x: float, y: float, width: float, height: float, content: str = "", **attributes: object
) -> str:
    """Return a rectangle whose upper left corner is (x, y)."""
    return element("rect", content, x=x, y=y, width=width, height=height, **attributes)


def fragment(parts: Iterable[str], font_size: int = 12, **attributes: object) -> str:
    """Return an `<svg>` element for an HTML page that contains `STYLE`."""
    attributes |= {"font_size": font_size, "xmlns": "http://www.w3.org/2000/svg"}
    return element("svg", "\n".join(parts), **attributes)


def document(parts: Iterable[str], corner: int = 0, **attributes: Any) -> str:
    """Return an SVG file: `STYLE`, a background whose corners have a radius, then the parts."""
    background = element("rect", class_="page", width="100%", height="100%", rx=corner)
    return fragment([f"<style>{STYLE}</style>", background, *parts], **attributes) + "\n"


def stack_pictures(pictures: Sequence[str]) -> str:
    """Combine documents that have a width and a height into one, from top to bottom."""
    parts, width, height = [], 0.0, 0.0
    for picture in pictures:
        size = re.match(r'<svg [^>]*width="([\d.]+)" height="([\d.]+)"', picture)
        assert size, "a picture without width and height"
        parts.append(f'<svg y="{_value(height)}"' + picture.removeprefix("<svg"))
        width, height = max(width, float(size[1])), height + float(size[2])
    return document(parts, width=width, height=height)


def shorten(label: str, longest: int) -> str:
    """Return a label of at most `longest` characters; one that is cut ends in "…"."""
    return label if len(label) <= longest else label[: longest - 1] + "…"


def text_width(label: str) -> int:
    """Estimate the width of a text in pixels; Korean letters take twice that of Latin ones."""
    return math.ceil(7 * sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in label))


def _value(value: object) -> str:
    return f"{round(value, 3):.12g}" if isinstance(value, float) else escape(str(value))
