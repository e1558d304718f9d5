"""A race of training steps: each side in a process of its own, block by block, in turns.

A script hands over its two makers, `make(options) -> (description, run_steps)`, and its options.
On a virtual machine a block is repeated while the host takes processor time away.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from quiet import time_quietly

Make = Callable[[argparse.Namespace], tuple[dict[str, Any], Callable[[int], float]]]


def run(
    script: str, parser: argparse.ArgumentParser, sides: Mapping[str, Make], title: str
) -> None:
    """Reads the command line, then races, or works as one of the sides.

    Args:
        script: the script's file, which is started once for each side.
        parser: its own options; --batch and --length, and those of the race, are added.
        sides: "jax" and "torch".
        title: says what is run, from the options: "base, {batch} x {length}".
    """
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="steps in a block")
    parser.add_argument("--torch-python", default=sys.executable, help="PyTorch's interpreter")
    parser.add_argument("--worker", choices=sides, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(sides[options.worker], options)
    else:
        race(script, options, title.format(**vars(options)))


def work(make: Make, options: argparse.Namespace) -> None:
    """A side's process: builds, then runs a block of steps for every line on standard input."""

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), flush=True)

    start = time.perf_counter()
    description, run_steps = make(options)
    run_steps(1)
    first = time.perf_counter() - start
    run_steps(1)
    say(description | {"first_step": first})
    for line in sys.stdin:
        num = int(line)
        start, busy = time.perf_counter(), time.process_time()
        loss = run_steps(num)
        busy, seconds = time.process_time() - busy, time.perf_counter() - start
        say({"seconds": seconds / num, "processor": busy / num, "loss": loss})


class Side:
    """A side's process, and what it measured."""

    def __init__(self, script: str, name: str, python: str):
        command = [python, script, *sys.argv[1:], "--worker", name]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.seconds: list[float] = []
        self.processor: list[float] = []
        self.last_processor = 0.0
        self.disturbed = ""

    def answer(self) -> dict[str, Any]:
        """Waits for the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.process.args} ended early, see above")
        return json.loads(line)

    def run_quietly(self, num: int) -> None:
        """Runs a block of steps, again while the machine's host disturbs it."""
        seconds, quiet = time_quietly(lambda: self._run_block(num))
        self.seconds.append(seconds)
        self.processor.append(self.last_processor)
        self.disturbed += "" if quiet else f"; the host disturbed block {len(self.seconds)}"

    def _run_block(self, num: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{num}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.last_processor = answer["processor"]
        return answer["seconds"]


def torch_is_missing(python: str) -> bool:
    """Whether the other side's libraries cannot be found."""
    names = ("torch", "transformers")
    if python == sys.executable:
        return any(importlib.util.find_spec(name) is None for name in names)
    code = f"import importlib.util as u, sys; sys.exit(any(not u.find_spec(n) for n in {names}))"
    return subprocess.run([python, "-c", code], check=False).returncode != 0


def race(script: str, options: argparse.Namespace, title: str) -> None:
    """Runs both sides in turns, and prints what they measured."""
    sides = {"jax": Side(script, "jax", sys.executable)}
    about = {"jax": sides["jax"].answer()}
    if torch_is_missing(options.torch_python):
        print("PyTorch's side is skipped: torch and transformers are not installed; pass")
        print("--torch-python with an interpreter that has them")
    else:
        sides["torch"] = Side(script, "torch", options.torch_python)
        about["torch"] = sides["torch"].answer()
    print(f"{title}; {options.rounds} blocks of {options.steps} steps in turns")
    for name, found in about.items():
        print(f"  {name}: {found['about']}; start and first step {found['first_step']:.1f} s")
    for _ in range(options.rounds):
        for side in sides.values():
            side.run_quietly(options.steps)
    speed = {}
    for name, side in sides.items():
        per_step = statistics.median(side.seconds)
        speed[name] = options.batch * options.length / per_step
        spread = f"{min(side.seconds):.3f} to {max(side.seconds):.3f}"
        rate, peak = speed[name] * about["jax"].get("flops", 0), about["jax"].get("peak")
        use = f", MFU {rate / peak:.1%}" if peak else f", {rate / 1e9:.0f} GFLOP/s (peak unknown)"
        use = (use if rate else "") + side.disturbed
        print(f"  {name}: {per_step:.3f} s a step ({spread}), {speed[name]:,.0f} tokens/s{use}")
        print(f"    {statistics.median(side.processor):.3f} s of processor time a step")
    if "torch" in speed:
        print(f"  ratio: ours is {speed['jax'] / speed['torch']:.2f} times as fast")
