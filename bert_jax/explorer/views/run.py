"""Run: the curves of training runs while they go, their data and their evaluations."""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bert_jax.errors import DataError, UserError
from bert_jax.explorer.metrics import MetricsFile
from bert_jax.explorer.run_reports import (
    describe_data,
    describe_evaluations,
    majority_share,
    read_data_report,
)
from bert_jax.explorer.runs import (
    METRICS,
    alerts_of,
    baselines_of,
    find_runs,
    is_run,
    last_command,
    last_lines,
    read_config,
    read_log,
    state_of,
)
from bert_jax.explorer.view import Json, View
from bert_jax.filesystem import read_text
from bert_jax.remote.addresses import find_address
from bert_jax.remote.reading import refresh

MAX_CHOSEN = 8  # runs over each other
NUM_FIRST = 4  # runs of a folder that are shown at first: the newest ones
STORE_SECONDS = 60.0  # between two looks into an object store
REPORT_SECONDS = 5.0  # between two looks at a run's reports
MAX_PAGE = 1 << 25  # bytes of a report.html


def run_view(folder: Path) -> View:
    """Return the view of a run, beside the others of its folder, or of a folder of runs."""
    shown = ShownRuns(folder)

    def answer(request: Json) -> Json:
        shown.look_into_store()
        asked = read_asked(request)
        runs, has_more = shown.find()
        return {
            "runs": [*runs],
            "has_more": has_more,
            "chosen": [shown.describe(name, known) for name, known in asked.items()],
        }

    def to_save(texts: Sequence[str]) -> list[Json]:
        return [{"runs": [{"name": name} for name in shown.first()]}]

    about = {
        "first": shown.first(),
        "own": shown.own,
        "max_chosen": MAX_CHOSEN,
        "is_stored": find_address(folder) is not None,
        "store_seconds": STORE_SECONDS,
    }
    return View("run", "Run", about, answer, to_save, page=shown.page)


class ShownRuns:
    """The runs of a page: those in a folder, or one and those beside it.

    Args:
        folder: a run, or a folder of runs.
    """

    def __init__(self, folder: Path):
        self._is_stored = find_address(folder) is not None
        self.own: str | None = folder.absolute().name if is_run(folder) else None
        self._folder, self._root = folder, folder.absolute().parent if self.own else folder
        self._opened: dict[str, OpenedRun] = {}
        self._looked = time.monotonic()

    def look_into_store(self) -> None:
        """Fetch what is new of a run in an object store, but seldom."""
        if self._is_stored and time.monotonic() - self._looked >= STORE_SECONDS:
            self._looked = time.monotonic()
            refresh(self._folder)

    def find(self) -> tuple[dict[str, Path], bool]:
        """Return the runs by name, the page's own first, and whether there are more."""
        if self.own is None:
            return find_runs(self._root)
        own = {self.own: self._folder.absolute()}
        if self._is_stored:  # others may have copies too, but old ones
            return own, False
        runs, has_more = find_runs(self._root)
        return own | runs, has_more

    def first(self) -> list[str]:
        """Return the names of the runs that are shown at first."""
        if self.own is not None:
            return [self.own]

        def age(item: tuple[str, Path]) -> float:
            path = item[1] / METRICS
            return -path.stat().st_mtime if path.exists() else 0.0

        runs, _ = self.find()
        return [name for name, _ in sorted(runs.items(), key=age)[:NUM_FIRST]]

    def open(self, name: str) -> "OpenedRun | None":
        """Return a run by its name; None where there is none."""
        folder = self.find()[0].get(name)
        if folder is None:
            self._opened.pop(name, None)
        elif name not in self._opened:
            self._opened[name] = OpenedRun(folder)
        return self._opened.get(name)

    def describe(self, name: str, known: Json) -> Json:
        """Return what a page does not have of a run yet."""
        run = self.open(name)
        if run is None:
            return {"name": name, "error": ["There is no such run.", None, None]}
        try:
            return {"name": name, **run.describe(known)}
        except UserError as error:
            return {"name": name, "error": error.lines}

    def page(self, path: str) -> str | None:
        """Return an evaluation's report.html by "RUN/evaluation/…"; None if there is none."""
        for name in self.find()[0]:
            if path.startswith(f"{name}/") and (run := self.open(name)):
                inside = path.removeprefix(f"{name}/")
                if any(inside == x["page"] for x in run.reports()["evaluations"]):
                    return read_text(run.folder / inside, MAX_PAGE)
        return None


class OpenedRun:
    """A run that is read while it goes on."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.metrics = MetricsFile(folder / METRICS)
        self._reports: Json = {}
        self._read_at = 0.0

    def describe(self, known: Json) -> Json:
        """Return the state, the new points, and the reports if they are others than the page's."""
        is_behind = self.metrics.read()
        config, log = read_config(self.folder), read_log(self.folder)
        reports = self.reports()
        state = state_of(self.folder, self.metrics, log, config)
        details = {
            "script": script_of(config),
            "alerts": alerts_of(log),
            "log": last_lines(log),
            "command": last_command(self.folder),
            "baselines": reports["baselines"] | baselines_of(config, log, reports["data_report"]),
            "data": reports["data"],
            "evaluations": reports["evaluations"],
        }
        version = hashlib.sha256(json.dumps(details).encode()).hexdigest()[:16]
        return {
            "state": state._asdict(),
            "last": self.metrics.last,
            "is_behind": is_behind,
            "curves": self.metrics.send(known.get("curves")),
            "version": version,
            "details": None if known.get("details") == version else details,
        }

    def reports(self) -> Json:
        """Return the reports of data and evaluations, which are looked at every few seconds."""
        if not self._reports or time.monotonic() - self._read_at >= REPORT_SECONDS:
            config = read_config(self.folder)
            data = self._reports.get("data_report") or read_data_report(self.folder, config)
            evaluations = describe_evaluations(self.folder)
            share = majority_share(evaluations)
            baseline = {"name": "most frequent class", "value": share}
            self._reports = {
                "data_report": data,
                "data": data and {"name": config["data"], "block": describe_data(data)},
                "evaluations": evaluations,
                "baselines": {"accuracy": [baseline]} if share else {},
            }
            self._read_at = time.monotonic()
        return self._reports


def script_of(config: Json) -> str:
    """Return the script that makes runs of a configuration."""
    scripts = {
        "source_length": "train_translator.py",
        "criterion_sizes": "copytask.py",
        "masking": "pretrain.py",
        "task": "finetune.py",
    }
    return next((script for field, script in scripts.items() if field in config), "")


def read_asked(request: Json) -> dict[str, Json]:
    """Return the runs that a request asks for, with what the page has of each.

    Raises:
        DataError: the request has another form.
    """
    asked = request.get("runs")
    if not isinstance(asked, list) or len(asked) > MAX_CHOSEN:
        raise DataError(f"runs = {str(asked)[:40]!r}", f"at most {MAX_CHOSEN}", "reload the page")
    found: dict[str, Json] = {}
    for run in asked:
        if not isinstance(run, dict) or not isinstance(run.get("name"), str):
            raise DataError(f"a run = {str(run)[:40]!r}", "an object with a name", "reload")
        curves: Any = run.get("curves")
        match curves:
            case None:
                known = None
            case [int(version), {"train": int(), "eval": int()} as counts]:
                known = version, counts
            case _:
                raise DataError(f"curves = {str(curves)[:40]!r}", "[version, counts]", "reload")
        found[run["name"]] = {"curves": known, "details": run.get("details")}
    return found
