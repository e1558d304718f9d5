"""SIGTERM and Ctrl-C become a question that the training loop asks after every step."""

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils


class StopSignal:
    """Notes SIGTERM and SIGINT while it is entered; all processes learn of it at the same step.

    The second SIGINT raises KeyboardInterrupt at once. Where `jax.distributed` is up, JAX's own
    notifier takes SIGTERM and agrees on a step; SIGINT is handed on to it. Without it JAX's hook
    does nothing, and the flag here is all there is.
    """

    def __init__(self) -> None:
        self._received = False
        self._interrupts = 0
        self._old: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("StopSignal needs the main thread: only it receives signals")
        self._distributed = jax.distributed.is_initialized()
        # Python's handler for SIGTERM would take the signal away from JAX's notifier.
        taken = [signal.SIGINT] if self._distributed else [signal.SIGINT, signal.SIGTERM]
        self._old = {number: signal.signal(number, self._receive) for number in taken}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def requested(self, step: int) -> bool:
        """Whether to save and stop now; every process asks after every step, and all agree."""
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
        with contextlib.suppress(OSError):  # print could be interrupted by itself here
            os.write(2, f"\n{name}: finishing this step, saving, then stopping\n".encode())
