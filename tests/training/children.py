"""Real child processes for tests of signals, kills and several processes."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def start(script: str, *args: object, devices: int = 2) -> subprocess.Popen:
    """Start `python -c script args` with pipes; end it with `finish`."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"},
    )


def finish(process: subprocess.Popen, seconds: float = 120) -> tuple[int, str, str]:
    """Wait for a process; return its exit code, stdout and stderr.

    After `seconds` the test fails, and the process gets SIGKILL (JAX's preemption notifier
    swallows SIGTERM).
    """
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"no end after {seconds} s\n{out}\n{err}") from None
    return process.returncode, out, err


def run(script: str, *args: object, devices: int = 2) -> tuple[int, str, str]:
    """Run `python -c script args` to its end."""
    return finish(start(script, *args, devices=devices))


JOIN = """
import jax, sys
jax.distributed.initialize(f"127.0.0.1:{sys.argv[1]}", 2, int(sys.argv[2]),
                           heartbeat_timeout_seconds=10)
"""


def start_pair(script: str, *args: object) -> list[subprocess.Popen]:
    """Start two processes of one job over loopback.

    In `script`, `sys.argv[2]` is the index of the process, and `sys.argv[3:]` are `args`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [start(JOIN + script, port, process, *args) for process in range(2)]


def finish_pair(pair: list[subprocess.Popen], seconds: float = 120) -> list[tuple[int, str, str]]:
    """Wait for both processes; kill the other one if one does not end, see `finish`."""
    try:
        return [finish(process, seconds) for process in pair]
    finally:
        for process in pair:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.communicate()
