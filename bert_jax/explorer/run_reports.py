"""The reports of a run, of its data and of its evaluations, as blocks that a page shows.

A block has "facts" (names and values), "tables" and "warnings", all as text. A report may be of an
earlier version, or damaged: what it lacks is left out.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bert_jax.corpus.datasets import REPORT
from bert_jax.errors import UserError
from bert_jax.explorer.runs import evaluation_reports
from bert_jax.filesystem import read_json_object
from bert_jax.remote.addresses import as_path, find_address, is_address
from bert_jax.remote.reading import fetch

Block = dict[str, Any]
MAX_EVALUATIONS = 8  # the newest ones
MAX_ROWS = 40  # of a table
MAX_LABELS = 12  # of a confusion matrix
MAX_TEXT = 300  # characters of a cell
SPLITS = ("train", "eval")


def read_data_report(run: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the report of a run's prepared data; None where it cannot be read.

    Data of an object store are read only for a run that is in one too: a page of local files needs
    no network.
    """
    name = config.get("data")
    if not isinstance(name, str):
        return None
    places = [name] if is_address(name) or Path(name).is_absolute() else [name, *_beside(run, name)]
    for place in places:
        with suppress(UserError, OSError):
            path = as_path(f"{place}/{REPORT}")
            if is_address(place) and find_address(run) is not None:
                path = fetch(path)
            if path.is_file():
                return read_json_object(path, 1 << 28)
    return None


def _beside(run: Path, name: str) -> list[Path]:
    """Return where relative data may be if the page is started elsewhere than the run was."""
    return [folder / name for folder in [*run.absolute().parents][1:4]]


def describe_data(report: Mapping[str, Any]) -> Block:
    """Return the block of a data report."""
    text, by_split = _part(report, "text"), _part(report, "text_by_split")
    splits = [text, *(_part(by_split, split) for split in SPLITS)]
    sizes = ("documents", "lines", "sentences", "characters", "bytes", "tokens")
    rows = [[name, *(number(x.get(name)) for x in splits)] for name in sizes if name in text]
    facts = [
        ("vocabulary", number(report.get("vocab_size"))),
        ("tokens never seen", number(text.get("tokens_never_seen"))),
        ("characters per token", number(text.get("characters_per_token"))),
        ("[UNK]", percent(text.get("unk_share"))),
        ("duplicate documents", percent(text.get("duplicate_document_share"))),
        ("duplicate lines", percent(text.get("duplicate_line_share"))),
        ("unigram entropy, nats", number(report.get("unigram_entropy"))),
        ("unigram loss, nats", number(report.get("unigram_loss"))),
    ]
    tables = [_table("Text", ["", "all", *SPLITS], rows), _rows_of(_part(report, "datasets"))]
    left_out = _part(report, "bad_input")
    bad = [[reason, number(_part(left_out, reason).get("count"))] for reason in left_out]
    tables.append(_table("Left out", ["", "count"], bad))
    return _block(facts, tables, report.get("warnings"))


def _rows_of(datasets: Mapping[str, Any]) -> Block:
    """Return the table of the rows of each length."""
    rows = []
    for length in datasets:
        for split, values in _part(_part(datasets, length), "splits").items():
            if isinstance(values, dict):
                texts = values.get("pairs", values.get("sequences"))
                rows.append(
                    [f"T{length} {split}", number(values.get("rows")), number(texts)]
                    + [percent(values.get(name)) for name in ("row_fill", "cut_share")]
                    + [percent(values.get("nsp_majority"))]
                )
    columns = ["", "rows", "texts", "fill", "cut off", "most frequent NSP label"]
    return _table("Rows", columns, rows)


def describe_evaluations(run: Path) -> list[dict[str, Any]]:
    """Return a run's evaluations, the newest first.

    Each is {"name": step or "", "page": path of its report.html in the run or None, "parts":
    [{"name": data set, "block"}]}.
    """
    evaluations = []
    for path in reversed(evaluation_reports(run)[-MAX_EVALUATIONS:]):
        with suppress(UserError):
            report = read_json_object(path, 1 << 26)
            page = path.with_name("report.html")
            step = "" if path.parent.name == "evaluation" else path.parent.name
            parts = {"": report} if not _is_by_data_set(report) else report
            evaluations.append(
                {
                    "name": step,
                    "page": str(page.relative_to(run)) if page.is_file() else None,
                    "parts": [
                        {"name": name, "block": describe_evaluation(part)}
                        for name, part in parts.items()
                    ],
                }
            )
    return evaluations


def _is_by_data_set(report: Mapping[str, Any]) -> bool:
    return bool(report) and all(isinstance(x, dict) for x in report.values())


def describe_evaluation(report: Mapping[str, Any]) -> Block:
    """Return the block of one data set's evaluation, of any script."""
    facts, tables = [], []
    for name, value in report.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            facts.append((name, number(value)))
    for name, score in _part(report, "scores").items():
        value = score if isinstance(score, dict) else {"value": score}
        interval = [number(value.get(end)) for end in ("low", "high") if end in value]
        facts.append(
            (name, number(value.get("value")) + (f" ({' – '.join(interval)})" * bool(interval)))
        )
    tables.append(_confusion(_part(report, "confusion")))
    by_class = _part(report, "by_class")
    tables.append(
        _records("By class", [{"": k, **v} for k, v in by_class.items() if isinstance(v, dict)])
    )
    if isinstance(report.get("sizes"), list):
        tables.append(_records("By length", report["sizes"]))
    return _block(facts, tables, report.get("warnings"))


def _confusion(confusion: Mapping[str, Any]) -> Block:
    """Return the confusion matrix as a table; rows are the labels of the data."""
    labels, counts = confusion.get("labels"), confusion.get("counts")
    if not isinstance(labels, list) or not isinstance(counts, list) or len(labels) > MAX_LABELS:
        return _table("Confusion", [], [])
    rows = [
        [str(label), *map(number, row)]
        for label, row in zip(labels, counts, strict=False)
        if isinstance(row, list)
    ]
    return _table("Confusion", ["data ↓ prediction →", *labels], rows) | {"is_confusion": True}


def majority_share(evaluations: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the share of the most frequent class in the newest evaluation; None without one."""
    with suppress(IndexError, KeyError, ValueError, StopIteration):
        tables = evaluations[0]["parts"][0]["block"]["tables"]
        rows = next(table["rows"] for table in tables if table.get("is_confusion"))
        sums = [sum(int(x.replace(",", "")) for x in row[1:]) for row in rows]
        return max(sums) / sum(sums) if sum(sums) else None
    return None


def _records(title: str, records: Sequence[Any]) -> Block:
    """Return a table of records with the same fields."""
    found = [record for record in records if isinstance(record, dict)]
    columns = [*dict.fromkeys(name for record in found for name in record)]
    return _table(title, columns, [[number(x.get(name)) for name in columns] for x in found])


def _table(title: str, columns: Sequence[Any], rows: Sequence[Sequence[str]]) -> Block:
    cut = [[cell[:MAX_TEXT] for cell in row] for row in rows[:MAX_ROWS]]
    return {
        "title": title,
        "columns": [str(column)[:MAX_TEXT] for column in columns],
        "rows": cut,
        "num_more": max(len(rows) - MAX_ROWS, 0),
    }


def _block(facts: Sequence[tuple[str, str]], tables: Sequence[Block], warnings: object) -> Block:
    found = warnings if isinstance(warnings, list) else []
    return {
        "facts": [[name, value[:MAX_TEXT]] for name, value in facts if value],
        "tables": [table for table in tables if table["rows"]],
        "warnings": [str(line)[:1000] for line in found][:MAX_ROWS],
    }


def _part(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object in an object; {} where there is none."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def number(value: object) -> str:
    """Return a value as text; "" for none."""
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def percent(value: object) -> str:
    """Return a share as text; "" for none."""
    return f"{value:.2%}" if isinstance(value, int | float) else ""
