"""Race two implementations of a training step, each in its own process, in alternating blocks.

A script passes a `make(options) -> (description, run_steps)` for each side, and its options. On a
virtual machine, a block is repeated while the host takes CPU time away.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quiet import time_quietly

MakeSide = Callable[[Any], tuple[dict[str, Any], Callable[[int], float]]]


def run(
    script: str, parser: argparse.ArgumentParser, sides: Mapping[str, MakeSide], title: str
) -> None:
    """Parse the command line, then run the race, or one side of it as a worker.

    Args:
        script: the script's file, which is started once for each side.
        parser: the script's options, with --batch and --length; those of the race are added.
        sides: "jax" and "torch".
        title: a heading that is formatted with the options: "base, {batch} x {length}".
    """
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="steps per block")
    parser.add_argument(
        "--torch-python", default=sys.executable, help="Python interpreter that has PyTorch"
    )
    parser.add_argument("--worker", choices=sides, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        run_worker(sides[options.worker], options)
    else:
        race(script, options, title.format(**vars(options)))


def run_worker(make: MakeSide, options: Any) -> None:
    """Build one side, then run a block of steps for every line on standard input.

    Two steps are run before the description is sent, so that they may add to it.
    """

    def send(message: dict[str, Any]) -> None:
        print(json.dumps(message), flush=True)

    start = time.perf_counter()
    description, run_steps = make(options)
    run_steps(1)
    first = time.perf_counter() - start
    run_steps(1)
    send(description | {"first_step": first})
    for line in sys.stdin:
        num_steps = int(line)
        start, cpu_start = time.perf_counter(), time.process_time()
        loss = run_steps(num_steps)
        cpu, seconds = time.process_time() - cpu_start, time.perf_counter() - start
        send({"seconds": seconds / num_steps, "processor": cpu / num_steps, "loss": loss})


class Side:
    """The process of one side, whose command ends in `run_worker`, and its measurements."""

    def __init__(self, command: Sequence[str]):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.seconds: list[float] = []
        self.processor: list[float] = []
        self.last_processor = 0.0
        self.disturbed = ""

    def close(self) -> None:
        """End the process, which waits for the next block."""
        self.process.communicate()

    def receive(self) -> dict[str, Any]:
        """Wait for the next message of the process."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.process.args} ended early; see its error above")
        return json.loads(line)

    def run_quietly(self, num_steps: int) -> None:
        """Run a block of steps, again while the host disturbs it."""
        seconds, quiet = time_quietly(lambda: self._run_block(num_steps))
        self.seconds.append(seconds)
        self.processor.append(self.last_processor)
        self.disturbed += "" if quiet else f"; the host disturbed block {len(self.seconds)}"

    def _run_block(self, num_steps: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{num_steps}\n")
        self.process.stdin.flush()
        message = self.receive()
        self.last_processor = message["processor"]
        return message["seconds"]


def torch_is_missing(python: str) -> bool:
    """Return True if torch or transformers is not installed for an interpreter."""
    names = ("torch", "transformers")
    if python == sys.executable:
        return any(importlib.util.find_spec(name) is None for name in names)
    code = f"import importlib.util as u, sys; sys.exit(any(not u.find_spec(n) for n in {names}))"
    return subprocess.run([python, "-c", code], check=False).returncode != 0


def race(script: str, options: argparse.Namespace, title: str) -> None:
    """Run both sides in alternating blocks and print their measurements."""

    def start(name: str, python: str) -> Side:
        return Side([python, script, *sys.argv[1:], "--worker", name])

    sides = {"jax": start("jax", sys.executable)}
    descriptions = {"jax": sides["jax"].receive()}
    if torch_is_missing(options.torch_python):
        print("PyTorch's side is skipped: torch and transformers are not installed; pass")
        print("--torch-python with an interpreter that has them")
    else:
        sides["torch"] = start("torch", options.torch_python)
        descriptions["torch"] = sides["torch"].receive()
    print(f"{title}; {options.rounds} alternating blocks of {options.steps} steps")
    flops, peak = descriptions["jax"].get("flops", 0), descriptions["jax"].get("peak")
    for name, description in descriptions.items():
        seconds = description["first_step"]
        print(f"  {name}: {description['about']}; start and first step {seconds:.1f} s")
    for _ in range(options.rounds):
        for side in sides.values():
            side.run_quietly(options.steps)
    speed = {}
    for name, side in sides.items():
        per_step = statistics.median(side.seconds)
        speed[name] = options.batch * options.length / per_step
        bounds = f"{min(side.seconds):.3f} to {max(side.seconds):.3f}"
        rate = speed[name] * flops
        use = f", MFU {rate / peak:.1%}" if peak else f", {rate / 1e9:.0f} GFLOP/s (peak unknown)"
        use = (use if rate else "") + side.disturbed
        print(f"  {name}: {per_step:.3f} s per step ({bounds}), {speed[name]:,.0f} tokens/s{use}")
        print(f"    {statistics.median(side.processor):.3f} s of CPU time per step")
    if "torch" in speed:
        print(f"  ratio: ours is {speed['jax'] / speed['torch']:.2f} times as fast")
