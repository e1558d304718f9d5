"""Logging of a run: its command, metrics and messages, in files and on the terminal.

Only process 0 writes. Nothing here ends a training run: after a full disk or a closed terminal,
one warning is printed and training continues.
"""

import contextlib
import json
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

import jax
import numpy as np
import rich.console
import rich.progress

from bert_jax.errors import UserError, one_line, warn
from bert_jax.filesystem import open_regular, open_to_append, write_text
from bert_jax.progress import close_display, open_display
from bert_jax.training.rundir import command_line, environment, redact
from bert_jax.training.trackers import WandbTracker


class Log(Protocol):
    """Log that the training loop writes to; `RunLog` is one."""

    def train(self, step: int, values: dict[str, float]) -> None:
        """Record the mean metrics of the steps since the last record."""

    def eval(self, step: int, values: dict[str, float]) -> None:
        """Record an evaluation."""

    def info(self, text: str) -> None:
        """Print a line."""


class RunLog:
    """Log of a run in its directory and on the terminal; does nothing on other processes than 0.

    Args:
        folder: the run's directory; created if absent.
        total_steps: steps of the progress bar.
        tensorboard: also write TensorBoard files.
        tracker: also send the metrics to Weights & Biases.

    Raises:
        UserError: `tensorboard` without the [track] extra.
    """

    def __init__(
        self,
        folder: Path,
        total_steps: int,
        tensorboard: bool = False,
        tracker: WandbTracker | None = None,
    ):
        self.folder = Path(folder)
        self._active = jax.process_index() == 0
        self._lock = threading.Lock()  # checkpoints log from their own thread
        self._total, self._warned = total_steps, False
        self._metrics: TextIO | None = None
        self._bar: rich.progress.Progress | None = None
        self._board: Any = None
        self._new_board = _tensorboard_writer() if tensorboard else None  # all, or none, refuse
        self._tracker = tracker if self._active else None
        if self._active:
            self._attempt(os.makedirs, self.folder, 0o777, True)
            self._attempt(self._start_bar)

    def resume(self, step: int) -> None:
        """Write environment and command; drop earlier records after `step`.

        Call it once, before the first record; a new run starts at step 0. A run that is refused
        earlier, because its configuration is not the checkpoint's, leaves the directory unchanged.
        """
        if self._active:
            self._attempt(self._describe_run)
            self._attempt(self._resume, step)
        if self._tracker:
            self._tracker.start(self.folder, step)

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """Record training metrics; the terminal shows loss, accuracy, speed, MFU and ETA."""
        self._record("train", step, values)

    def eval(self, step: int, values: Mapping[str, float]) -> None:
        """Record metrics of the held-out split."""
        self._record("eval", step, values)

    def info(self, text: str) -> None:
        """Print a line and append it to `train.log`."""
        if self._active:
            self._attempt(self._print, redact(text))

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close(failed=error[0] is not None)

    def close(self, failed: bool = False) -> None:
        """Stop the progress bar and close the files."""
        if self._tracker:
            self._tracker.close(failed)
        if self._bar is not None:
            self._attempt(close_display)
        for part in self._metrics, self._board:
            if part is not None:
                self._attempt(part.close)
        self._bar = self._metrics = self._board = None

    def _record(self, split: str, step: int, values: Mapping[str, float]) -> None:
        if self._active:
            self._attempt(self._write_metrics, split, step, values)
            self._attempt(self._show, split, step, values)
        if self._tracker:
            self._tracker.record(split, step, values)

    def _attempt(self, work: Callable, *args: Any) -> None:
        """Run `work`, which writes to a file or a terminal; warn if it fails, but only once."""
        try:
            with self._lock:
                work(*args)
        except (OSError, ValueError) as error:  # ValueError: the file or stream is closed
            if not self._warned:
                self._warned = True
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    warn(f"logging is incomplete: {one_line(error)}")

    def _describe_run(self) -> None:
        write_text(self.folder / "environment.json", json.dumps(environment(), indent=2) + "\n")
        with open_to_append(self.folder / "command.txt") as file:
            file.write(f"# {time.strftime('%Y-%m-%dT%H:%M:%S%z')} {socket.gethostname()}\n")
            file.write(f"{command_line([sys.executable, *sys.argv])}\n")

    def _start_bar(self) -> None:
        console = rich.console.Console()
        if console.is_terminal:
            self._bar = open_display(console)
            self._task = self._bar.add_task("training", total=self._total, text="")

    def _resume(self, step: int) -> None:
        path = self.folder / "metrics.jsonl"
        if path.exists():
            kept = "".join(f"{json.dumps(x)}\n" for x in read_metrics(path) if x["step"] <= step)
            write_text(path, kept)
        if self._new_board is not None:
            self._board = self._new_board(str(self.folder / "tb"), purge_step=step + 1)
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def _write_metrics(self, split: str, step: int, values: Mapping[str, float]) -> None:
        if self._metrics is None:
            self._metrics = open_to_append(self.folder / "metrics.jsonl")
        floats = {name: float(value) for name, value in values.items()}
        finite = {name: x if math.isfinite(x) else None for name, x in floats.items()}  # no NaN
        line = {"step": step, "split": split, "time": round(time.time(), 3), **finite}
        print(json.dumps(line), file=self._metrics, flush=True)
        if self._board is not None:
            for name, x in finite.items():
                if x is not None:
                    self._board.add_scalar(f"{split}/{name}", x, step)

    def _show(self, split: str, step: int, values: Mapping[str, float]) -> None:
        if split == "train":  # the rest is in metrics.jsonl
            brief = ("loss", "accuracy", "tokens_per_second", "mfu", "eta_seconds")
            values = {name: x for name, x in values.items() if name.endswith(brief)}
        parts = describe_values(values)
        if self._bar is not None and split == "train":
            done = f"{step:,} of {self._total:,} steps, {step / self._total:.0%}"
            shown = (parts.get(name) for name in ("loss", "tokens_per_second", "mfu", "eta"))
            text = "  ".join([done, *filter(None, shown)])
            self._bar.update(self._task, completed=step, text=text)
            return
        name = "" if split == "train" else f"{split} "
        self._print(f"{name}step {step}/{self._total}  " + "  ".join(parts.values()))

    def _print(self, text: str) -> None:
        def show(text: str) -> None:
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False)
            else:
                print(text)

        try:
            print_or_discard(text, show)
        finally:
            with open_to_append(self.folder / "train.log") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def print_or_discard(text: str, show: Callable[..., None] = print) -> None:
    """Print a line with `show`; if stdout is closed, raise OSError and discard what follows.

    Later prints, and Python's own at the exit, would fail too, and change the exit code.
    """
    try:
        show(text)
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the records of a `metrics.jsonl`, without lines that a crash cut short or damaged."""
    with open_regular(path) as file:
        texts = file.read().decode("utf-8", errors="replace").split("\n")
    lines = []
    for text in texts:
        with contextlib.suppress(ValueError, RecursionError):
            line = json.loads(text)
            if (
                isinstance(line, dict)
                and type(line.get("step")) is int
                and line.get("split") in ("train", "eval")
            ):
                lines.append(line)
    return lines


def with_progress(
    values: Mapping[str, float], step: int, num_steps: int, schedule: Callable[[int], Any]
) -> dict[str, float]:
    """Add the learning rate and the remaining time to a step's metrics."""
    progress = {"learning_rate": _learning_rate(schedule, step - 1)}
    if rate := values.get("steps_per_second"):
        progress["eta_seconds"] = (num_steps - step) / rate
    return {**values, **progress}


def _learning_rate(schedule: Callable[[int], Any], step: int) -> float:
    """Return a step's learning rate, computed on the CPU: elsewhere it waits for steps in flight.

    Where JAX_PLATFORMS leaves the CPU out, it is computed on the default device.
    """
    device = None
    with contextlib.suppress(RuntimeError):
        device = jax.local_devices(backend="cpu")[0]
    with jax.default_device(device):
        return float(np.asarray(schedule(step)))


def describe_values(values: Mapping[str, float]) -> dict[str, str]:
    """Format metrics as short texts: {"loss": "loss 2.3450", "mfu": "MFU 41.2%"}, loss first."""
    formats = {
        "loss": lambda x: f"loss {x:.4f}",
        "tokens_per_second": lambda x: f"{x:,.0f} tokens/s",
        "mfu": lambda x: f"MFU {x:.1%}",
        "eta_seconds": lambda x: f"ETA {_duration(x)}",
    }
    first = [name for name in formats if name in values]
    rest = [name for name in values if name not in formats]
    return {
        name.removesuffix("_seconds"): formats.get(name, lambda x, n=name: f"{n} {x:.4g}")(
            float(values[name])
        )
        for name in [*first, *rest]
    }


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


def _tensorboard_writer() -> Callable[..., Any]:
    try:
        import tensorboardX
    except ImportError:
        raise UserError(
            "tensorboard = True needs tensorboardX, which is not installed",
            "the [track] extra",
            'pip install "bert_jax[track]", or run without tensorboard',
        ) from None
    return tensorboardX.SummaryWriter
