"""The page report.html: a summary, scores, pictures, and the errors with a way to look inside.

It is self-contained: it loads nothing and runs no script. Links lead to pages that explore.py saved
beside it.
"""

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.drawing.charts import bar_chart, reliability_diagram
from bert_jax.drawing.confusion_matrix import confusion_matrix
from bert_jax.drawing.svg import STYLE as SVG_STYLE
from bert_jax.remote.addresses import address, is_address
from bert_jax.reports.summary import format_interval, format_score, summarize

Report = dict[str, Any]
MAX_CLASSES_DRAWN = 30
PAGES = "pages"  # in the folder of the report
EXPLORING = (
    "<p>“Look inside” has the command that saves a page on what the model made of the text: one"
    " click selects it, to be pasted into a terminal. Errors whose page was there when this report"
    " was written have a link to it.</p>"
)

_STYLE = """
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
         color: #24292f; background: #fff; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #d0d7de;
           vertical-align: top; }
  td.number { text-align: right; font-variant-numeric: tabular-nums; }
  .summary { font-size: 1.15rem; }
  .wide { overflow-x: auto; }
  details, td div { font-size: .85rem; min-width: 14rem; }
  code { display: block; user-select: all; white-space: pre-wrap; overflow-wrap: anywhere; }
  summary { cursor: pointer; }
  a, summary { color: #0969da; }
  @media (prefers-color-scheme: dark) {
    body { color: #e6edf3; background: #0d1117; } th, td { border-color: #30363d; }
    a, summary { color: #4493f8; }
  }
"""


class Explorer(NamedTuple):
    """Where errors can be explored."""

    model: str
    """Name of the model's directory."""
    folder: Path
    """Folder of the page; explored errors are saved to pages/ in it."""

    def command(self, page: str, text: str) -> str:
        """Return the command that saves a page of a text."""
        to = address(self.folder / page)
        to = Path(page).name if is_address(to) else to
        command = shlex.join(["python", "explore.py", self.model, "--save", to])
        return f"{command} {quote(text)}"


def quote(text: str) -> str:
    """Return a text for a shell, without characters that are lost when it is copied.

    A leading dash, which would begin an option, gets a space before it.
    """
    text = f" {text}" if text.startswith("-") else text
    if text.isprintable():
        return shlex.quote(text)
    escapes = {"\\": "\\\\", "'": "\\'", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
    return "$'" + "".join(escapes.get(character, character) for character in text) + "'"


def make_page(title: str, reports: Mapping[str, Report], explorer: Explorer | None = None) -> str:
    """Return report.html."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}{SVG_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
    ]
    for name, report in reports.items():
        parts += [
            f"<h2>{escape(name)}: {report['examples']:,} examples</h2>",
            *_section(name, report, explorer),
        ]
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _section(name: str, report: Report, explorer: Explorer | None) -> list[str]:
    return [
        f'<p class="summary">{escape(summarize(report))}</p>',
        *_scores(report),
        *_charts(report),
        *_errors(name, report, explorer),
    ]


def _scores(report: Report) -> list[str]:
    scores = [
        (name, format_score(s["value"]), format_interval(s)) for name, s in report["scores"].items()
    ]
    parts = [f"<p><strong>Warning: {escape(line)}</strong></p>" for line in report["warnings"]]
    parts += [_table(("score", "value", "95 % interval"), scores)]
    if "by_class" in report:
        names = list(next(iter(report["by_class"].values())))
        rows = [
            (label, *(_cell(name, values[name]) for name in names))
            for label, values in report["by_class"].items()
        ]
        header = ("label", *(name.replace("_", " ") for name in names))
        parts += ["<h3>By label</h3>", _table(header, rows)]
    return parts


def _charts(report: Report) -> list[str]:
    parts = []
    if "confusion" in report:
        labels, counts = report["confusion"]["labels"], report["confusion"]["counts"]
        if len(labels) <= MAX_CLASSES_DRAWN:
            parts += ["<h3>Confusion matrix (rows: true class, columns: predicted class)</h3>"]
            parts += [_wide(confusion_matrix(labels, counts))]
    if "calibration" in report:
        error = format_score(report["calibration"]["expected_error"])
        of = escape(report["calibration"]["of"])
        parts += [f"<h3>Calibration of {of} (expected calibration error: {error})</h3>"]
        parts += [_wide(reliability_diagram(report["calibration"]["bins"]))]
    groups = [(f"{g['shortest']}–{g['longest']}", g["correct"]) for g in report["by_length"]]
    return [*parts, "<h3>Mean correctness by length in tokens</h3>", _wide(bar_chart(groups))]


def _errors(name: str, report: Report, explorer: Explorer | None) -> list[str]:
    """Return the table of errors, each with the page that explores it, or the command for one."""
    if not report["wrong"]:
        return ["<h3>Errors</h3><p>None.</p>"]
    rows = [
        (
            error["text"],
            error["gold"],
            error["predicted"],
            "" if error["confidence"] is None else f"{error['confidence']:.3f}",
        )
        for error in report["wrong"]
    ]
    header = ("text", "true", "predicted", "confidence")
    parts = ["<h3>Errors, most confident first</h3>", *([EXPLORING] if explorer else [])]
    looks = [
        _look_inside(f"{PAGES}/{name}-{number}.html", error, explorer) if explorer else ""
        for number, error in enumerate(report["wrong"], start=1)
    ]
    return [*parts, _table(header, rows, looks)]


def _look_inside(page: str, error: Mapping[str, Any], explorer: Explorer) -> str:
    """Return a link to the page that explores an error, or the command that saves it."""
    if (explorer.folder / page).exists():
        return f'<div><a href="{escape(page)}">look inside</a></div>'
    command = explorer.command(page, error.get("input", error["text"]))
    return f"<details><summary>look inside</summary><code>{escape(command)}</code></details>"


def _cell(name: str, value: float | None) -> str:
    return format_score(value, 0) if name == "support" else format_score(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], looks: Sequence[str] = ()) -> str:
    """Return a table of texts; `looks` are HTML, for the end of each row's first cell."""

    def cell(text: str, more: str = "") -> str:
        kind = ' class="number"' if text[:1].isdigit() and " " not in text and not more else ""
        return f"<td{kind}>{escape(text)}{more}</td>"

    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join(
        f"<tr>{cell(row[0], look)}{''.join(map(cell, row[1:]))}</tr>"
        for row, look in zip(rows, looks or [""] * len(rows), strict=True)
    )
    return _wide(f"<table><tr>{head}</tr>{body}</table>")


def _wide(content: str) -> str:
    """Return HTML that scrolls by itself where it is wider than the page."""
    return f'<div class="wide">{content}</div>'
