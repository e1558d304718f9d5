"""Runs as a page shows them: which there are, how far each is, and the baselines of its losses."""

import json
import math
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.errors import UserError
from bert_jax.explorer.metrics import MetricsFile
from bert_jax.filesystem import open_regular, read_json_object
from bert_jax.remote.addresses import find_address

METRICS, LOG, CONFIG, LOCK = "metrics.jsonl", "train.log", "config.json", "LOCK"
MAX_RUNS = 200  # that a page lists
MAX_ENTRIES = 5000  # of a folder that are looked at
MAX_LOG_BYTES = 1 << 18  # of a log that are read, at its start and at its end
MAX_LOG_LINES = 12
SILENT_SECONDS = 600.0  # of a run on another machine, until it counts as stopped
SILENT_RECORDS = 5  # or as long as so many records take
_STEP = re.compile(r"\bstep (\d+)/(\d+)\b")
_TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
_ALERT = re.compile(r"warning: |NaN or Inf")
_BASELINES = re.compile(r"baselines: MLM loss (\d+\.\d+)")


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run of any script, also one that has just begun."""
    has = {name: (folder / name).is_file() for name in (METRICS, LOG, CONFIG)}
    return has[METRICS] or (has[LOG] and has[CONFIG])


def find_runs(folder: Path) -> tuple[dict[str, Path], bool]:
    """Return the runs in a folder and in its folders, by name, and whether there are more.

    A run with several seeds is a folder of runs: "reviews/seed-0".
    """
    runs: dict[str, Path] = {}
    for path in _folders(folder):
        inside = [] if is_run(path) else [*_folders(path)]
        for run in [path, *inside]:
            if is_run(run):
                if len(runs) == MAX_RUNS:
                    return runs, True
                runs[str(run.relative_to(folder))] = run
    return runs, False


def _folders(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder by name; none of one that cannot be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        found = [entry for entry, _ in zip(entries, range(MAX_ENTRIES), strict=False)]
        names = [entry.name for entry in found if entry.is_dir()]
        yield from (folder / name for name in sorted(names))


class State(NamedTuple):
    """How far a run is."""

    name: str
    """running, finished or stopped; silent: of another machine, and without news for long."""
    step: int
    total: int | None
    """Steps of the whole run, where they are known."""
    age: float | None
    """Seconds since its last sign of life."""
    eta: float | None
    """Seconds until its end, while it runs."""


def state_of(folder: Path, metrics: MetricsFile, log: str, config: Mapping[str, Any]) -> State:
    """Return how far a run is.

    Args:
        folder: the run.
        metrics: its records, as far as they are read.
        log: its train.log, see `read_log`.
        config: its configuration.
    """
    step, total = metrics.step, total_steps(log, config)
    signs = [_modified(folder / name) for name in (METRICS, LOG)]
    last = max((x for x in [*signs, metrics.last_time] if x is not None), default=None)
    age = None if last is None else max(0.0, time.time() - last)
    holder = "elsewhere" if find_address(folder) else lock_holder(folder)
    if holder == "alive":
        name = "running"
    elif is_finished(folder, step, total):
        name = "finished"
    elif holder == "elsewhere":
        name = "running" if age is not None and age < _patience(metrics) else "silent"
    else:
        name = "stopped"
    eta = metrics.last.get("train", {}).get("eta_seconds") if name == "running" else None
    return State(name, step, total, age, eta)


def lock_holder(folder: Path) -> str | None:
    """Return whether the process that has locked a run is alive; None if there is none.

    "alive": it runs on this machine; "elsewhere": it is of another machine, or of this one's past
    in a container of another name. The lock itself is not touched: a run may want it just now.
    """
    text = ""
    with suppress(OSError, UserError), open_regular(folder / LOCK) as file:
        text = file.read(1000).decode("utf-8", "replace")
    try:
        about = json.loads(text)
        host, pid = about["host"], int(about["pid"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if host != socket.gethostname():
        return "elsewhere"
    try:
        os.kill(pid, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:  # it is another user's
        return "alive"
    return "alive" if pid > 0 else None


def is_finished(folder: Path, step: int, total: int | None) -> bool:
    """Return whether a run has come to its end, which may be before its last step."""
    if total is not None and step >= total:
        return True
    written = _modified(folder / METRICS) or math.inf
    reports = evaluation_reports(folder)
    return any((_modified(path) or 0.0) >= written - 1 for path in reports)


def evaluation_reports(folder: Path) -> list[Path]:
    """Return the report.json files of a run's evaluations, in the order of their steps."""
    root = folder / "evaluation"
    found = [path / "report.json" for path in [root, *_folders(root)]]
    steps = [path for path in found if path.is_file()]
    return sorted(steps, key=lambda path: (len(path.parent.name), path.parent.name))


def total_steps(log: str, config: Mapping[str, Any]) -> int | None:
    """Return the steps of a whole run, by its newest log line or by its configuration."""
    found = [*_STEP.finditer(log)]
    if found:
        return int(found[-1][2])
    loop = config.get("loop")
    steps = loop.get("steps") if isinstance(loop, dict) else None
    return steps if type(steps) is int and steps > 0 else None


def _patience(metrics: MetricsFile) -> float:
    """Return how long a run on another machine may be silent."""
    if metrics.first_time is None or metrics.last_time is None:
        return SILENT_SECONDS
    seconds = (metrics.last_time - metrics.first_time) / max(metrics.num_records - 1, 1)
    return max(SILENT_SECONDS, SILENT_RECORDS * seconds)


def _modified(path: Path) -> float | None:
    with suppress(OSError):
        return path.stat().st_mtime
    return None


def read_config(folder: Path) -> dict[str, Any]:
    """Return a run's configuration; {} where there is none that can be read."""
    with suppress(UserError):
        return read_json_object(folder / CONFIG)
    return {}


def read_log(folder: Path) -> str:
    """Return a run's train.log; the middle of a long one is left out."""
    with suppress(UserError, OSError), open_regular(folder / LOG) as file:
        start = file.read(MAX_LOG_BYTES)
        size = file.seek(0, os.SEEK_END)
        rest = max(len(start), size - MAX_LOG_BYTES)
        file.seek(rest)
        gap = b"\n" if rest > len(start) else b""
        return (start + gap + file.read(MAX_LOG_BYTES)).decode("utf-8", "replace")
    return ""


def alerts_of(log: str) -> list[str]:
    """Return the newest warnings of a log, each once, with the date of its last time."""
    found: dict[str, str] = {}
    for line in log.splitlines():
        if _ALERT.search(line):
            date = _TIMESTAMP.match(line)
            text = line[date.end() :] if date else line
            found.pop(text, None)
            found[text] = line
    return [line[:1000] for line in found.values()][-MAX_LOG_LINES:]


def last_lines(log: str) -> list[str]:
    """Return the newest lines of a log."""
    return [line[:1000] for line in log.splitlines()[-MAX_LOG_LINES:]]


def last_command(folder: Path) -> str | None:
    """Return the command of a run's last start."""
    with suppress(UserError, OSError), open_regular(folder / "command.txt") as file:
        lines = file.read(MAX_LOG_BYTES).decode("utf-8", "replace").splitlines()
        return next((line[:2000] for line in reversed(lines) if not line.startswith("#")), None)
    return None


def baselines_of(
    config: Mapping[str, Any], log: str, data: Mapping[str, Any] | None
) -> dict[str, list[dict[str, Any]]]:
    """Return what the metrics of a run are to be compared with: {metric: [{"name", "value"}]}.

    Args:
        config: the run's configuration.
        log: its train.log, which has the baselines of pretraining even without the data.
        data: the data report, where it can be read.
    """
    found: dict[str, list[dict[str, Any]]] = {}

    def add(metric: str, name: str, value: object) -> None:
        if isinstance(value, int | float) and 0 < value < math.inf:
            found.setdefault(metric, []).append({"name": name, "value": float(value)})

    model, data = config.get("model"), data or {}
    size = model.get("vocab_size") if isinstance(model, dict) else None
    size = data.get("vocab_size", size)
    uniform = math.log(size) if type(size) is int and size > 1 else None
    if "criterion_sizes" in config:
        add("loss", "random bits", math.log(2))
        add("bit_error", "random bits", 0.5)
    elif "source_length" in config:
        add("nll", "all tokens alike", uniform)
    elif "masking" in config:
        logged = _BASELINES.search(log)
        unigram = data.get("unigram_loss", data.get("unigram_entropy"))
        add("mlm_loss", "unigram model", unigram or (float(logged[1]) if logged else None))
        add("mlm_loss", "all tokens alike", uniform)
        for share in _nsp_majority(data, log):
            entropy = -sum(x * math.log(x) for x in (share, 1 - share) if x > 0)
            add("nsp_loss", "label frequencies", entropy)
            add("nsp_accuracy", "most frequent label", share)
    return found


def _nsp_majority(data: Mapping[str, Any], log: str) -> list[float]:
    """Return the share of the more frequent NSP label in the longest held-out rows, or nothing."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        datasets = data["datasets"]
        splits = datasets[max(datasets, key=int)]["splits"]
        return [float(splits.get("eval", splits["train"])["nsp_majority"])]
    found = re.findall(r"(\d\.\d+) \(T=(\d+)\)", log) if "NSP accuracy" in log else []
    return [float(max(found, key=lambda x: int(x[1]))[0])] if found else []
