"""The ten minutes on a GPU: everything that only a device can show, in one table.

    python -m benchmarks.accelerator --minutes 10

Stages run one after the other, in order of worth, each in its own process and within its own time;
after each of them --output has table.json and table.md, and a stage that is stopped keeps the lines
that it had finished. Nothing is downloaded: text, sentences and weights are generated.

On a GPU or TPU, one device trains BERT-base in bfloat16. On a CPU, or with --size toy, the same
stages run on a model of two narrow layers, in a minute or two: to try the benchmark, not the CPU.

PyTorch takes part if the package torch is installed, with CUDA; or pass --torch-python. The exit
code is 1 if a stage or a check has failed.
"""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.accelerator.stages import RESULTS, STAGES, Stage
from benchmarks.accelerator.table import (
    Row,
    append_row,
    file_name,
    format_value,
    has_failed,
    markdown,
    read_rows,
    write_table,
)
from bert_jax.config.check import require
from bert_jax.errors import ConfigError, report_user_errors

LEAST_SECONDS = 20  # a stage is not started in less


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    minutes: float = 10.0
    """Time for everything; the limit of each stage grows and shrinks with it."""
    output: str = "runs/accelerator"
    """Folder for table.json, table.md and a log of each stage."""
    size: Literal["auto", "full", "toy"] = "auto"
    """"full": BERT-base; "toy": a tiny model; "auto": full, but toy on a CPU."""
    only: tuple[str, ...] = ()
    """Stages to run, by their names in the table; "device" always runs. Empty: all."""
    torch_python: str = sys.executable
    """Python interpreter that has PyTorch."""

    def __post_init__(self):
        require(self.minutes > 0, "minutes", self.minutes, "a positive number")
        names = [stage.name for stage in STAGES]
        for name in self.only:
            if name not in names:
                raise ConfigError(
                    f"no stage is named {name!r}", f"some of {names}", "correct --only"
                )


def main(options: Options) -> int:
    """Run the stages; return the exit code."""
    began = time.monotonic()
    folder = Path(options.output)
    results = folder / RESULTS

    # --- Start afresh -------------------------------------------------------------------------
    folder.mkdir(parents=True, exist_ok=True)
    results.unlink(missing_ok=True)
    shutil.rmtree(folder / "work", ignore_errors=True)
    (folder / "work").mkdir()

    # --- Stages, the first of which finds out on what --------------------------------------------
    chosen = [s for s in STAGES if s.always or not options.only or s.name in options.only]
    for stage in chosen:
        left = 60 * options.minutes - (time.monotonic() - began)
        if left < min(LEAST_SECONDS, 6 * options.minutes):
            append_row(results, Row(stage.name, "stage", note="not run: no time is left"))
            continue
        start = time.monotonic()
        limit = min(left, stage.seconds * options.minutes / 10)
        if failure := run_stage(options, stage, limit):
            append_row(results, Row(stage.name, "stage", note=failure, passed=False))
        rows = read_rows(results)
        write_table(folder, rows)
        print(f"{stage.name}: {time.monotonic() - start:.0f} s", flush=True)
        for row in rows:
            if row.stage == stage.name:
                value = format_value(row.value, row.unit)
                failed = "  FAILED" if row.passed is False else ""
                print(f"  {row.name:32} {value:>16}  {row.note}{failed}", flush=True)
        if failure and stage.always:
            break

    # --- The table ------------------------------------------------------------------------------
    rows = read_rows(results)
    write_table(folder, rows)
    print("\n".join(["", *markdown(rows), "", f"written to {folder}/table.md and table.json"]))
    return int(has_failed(rows))


def run_stage(options: Options, stage: Stage, limit: float) -> str | None:
    """Run a stage in a process of its own; return why it failed, or None.

    Args:
        options: options of the benchmark, which the process gets too.
        stage: the stage.
        limit: seconds after which it is killed, with all processes that it started.
    """
    arguments = [stage.name, options.output, options.size, options.torch_python]
    log = Path(options.output) / f"{file_name(stage.name)}.log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.accelerator.stages", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            return f"stopped after {limit:.0f} s, its time; see {log}"
        finally:  # also after Ctrl-C, and for processes that the stage left behind
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code == 0:
        return None
    lines: Sequence[str] = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return f"exit code {code}: {last[:200]}; see {log}"


@report_user_errors
def command_line() -> int:
    """Read the command line and run `main`; return the exit code."""
    return main(tyro.cli(Options, description=__doc__))


if __name__ == "__main__":
    sys.exit(command_line())
