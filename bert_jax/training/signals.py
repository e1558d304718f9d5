"""SIGTERM, SIGHUP and Ctrl-C as a flag that the training loop checks after every step."""

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils


class StopSignal:
    """Context manager that catches SIGTERM, SIGHUP and SIGINT; all processes stop at the same step.

    The second SIGINT raises KeyboardInterrupt at once. SIGHUP, a closed terminal, is left alone
    where it is ignored, as under `nohup`. With `jax.distributed`, JAX's own preemption notifier
    handles SIGTERM and agrees on a step; the other signals are forwarded to it. Without it JAX's
    hook does nothing, and only the flag here counts.
    """

    def __init__(self) -> None:
        self._received = False
        self._interrupts = 0
        self._old: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("StopSignal needs the main thread: only it receives signals")
        self._distributed = jax.distributed.is_initialized()
        # A Python handler for SIGTERM would take the signal away from JAX's notifier.
        caught = [signal.SIGINT] if self._distributed else [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            caught.append(signal.SIGHUP)
        self._old = {number: signal.signal(number, self._receive) for number in caught}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def requested(self, step: int) -> bool:
        """Return whether to save and stop now; call it on every process after every step."""
        if self._distributed:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._received

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._received = True
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                raise KeyboardInterrupt
        if self._distributed:
            os.kill(os.getpid(), signal.SIGTERM)
        name = signal.Signals(number).name
        with contextlib.suppress(OSError):  # `print` is not reentrant in a signal handler
            os.write(2, f"\n{name}: finishing this step, saving, then stopping\n".encode())
