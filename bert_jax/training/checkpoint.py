"""Verified checkpoints: Orbax, with a SHA-256 manifest for each step.

A step is absent, complete, or detected as bad. Orbax writes and reads the arrays, but does not
notice a flipped bit. A step is therefore written to `<step>.saving/`, hashed and renamed to
`<step>/`; its manifest, `<step>.manifest.json`, is written last.
"""

import functools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from bert_jax.errors import CheckpointError, ConfigError, one_line
from bert_jax.training.checkpoint_arrays import ArrayStore, find_non_finite
from bert_jax.training.checkpoint_hashes import (
    BadStep,
    criterion,
    hash_files,
    list_steps,
    manifest_path,
    none_good,
    read_manifest,
    read_manifests,
    remove_leftovers,
    remove_step,
    set_aside,
    verify_files,
    write_manifest,
)
from bert_jax.training.rundir import versions

MAX_FAILURES = 3  # consecutive failed saves after which the run ends


class Checkpoints:
    """Checkpoints of one run.

    Every process creates one and calls its methods in the same order. Train inside
    `with checkpoints:`, which waits for a save in progress however the run ends.

    Args:
        folder: folder of the steps; created if absent. Hold the run's lock first.
        identity: values on which a run and its checkpoints must agree.
        keep_last: number of newest steps to keep, in addition to the one with the lowest
            `extra["metric"]`.
        may_differ: names that are ignored if they are in an older checkpoint's identity and not in
            `identity`.
        allow_unverified: use a step whose manifest is missing.
        log: prints one message to the user.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, str | None],
        keep_last: int,
        *,
        may_differ: Collection[str] = (),
        allow_unverified: bool = False,
        log: Callable[[str], None] = print,
    ):
        self.folder = Path(folder).absolute()
        self._identity, self._keep_last = dict(identity), keep_last
        self._may_differ = frozenset(may_differ)
        self._allow_unverified, self._log = allow_unverified, log
        self._first = jax.process_index() == 0
        self._store = ArrayStore()
        self._thread: threading.Thread | None = None
        self._failures, self._error = 0, ""
        if self._first:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Wait for a save in progress; its failure does not mask an exception from the body."""
        if kind is None:
            self.close()
        else:
            self._wait()
            self._store.close()

    def save(self, step: int, state: Any, extra: dict[str, Any], *, block: bool = False) -> None:
        """Start saving a pytree of global arrays; return once they are copied to the host.

        A failed save is logged and dropped. A step that is already saved is not saved again.

        Args:
            step: number of steps taken.
            state: arrays, stored under their paths.
            extra: JSON values to store with them. The step with the lowest `extra["metric"]` (a
                number, or several compared in order) is the best.
            block: wait until the step and its manifest are on disk.

        Raises:
            CheckpointError: three saves in a row failed, or one with `block`.
        """
        self._wait()
        done = self._agree(lambda: [manifest_path(self.folder, step).exists(), self._failures])
        self._raise_if_failed(done[1], MAX_FAILURES)
        if done[0]:
            return
        started = True
        try:
            self._store.save(self._saving(step), state)
        except Exception as error:  # a full disk shows as ValueError, OSError, or worse
            self._failed(step, error)
            started = False
        if started:
            self._thread = threading.Thread(target=self._finish, args=(step, extra))
            self._thread.start()
        if block:
            self._wait()
            self._raise_if_failed(self._agree(lambda: self._failures), 1)

    def restore(self, abstract_state: Any) -> tuple[Any, int, dict[str, Any]] | None:
        """Restore the newest good step, with the shapes, dtypes and shardings of `abstract_state`.

        Newer steps that are bad are set aside, with a message for each.

        Args:
            abstract_state: a pytree of `jax.ShapeDtypeStruct` with shardings, or of arrays.

        Returns:
            The state, its step and its `extra`; None if there are no steps.

        Raises:
            ConfigError: the step belongs to another run: other identity, names, shapes or dtypes.
            CheckpointError: there are steps, and none of them is good.
        """
        self._wait()
        bad: dict[int, str] = {}
        while True:
            choice = self._agree(lambda: self._choose(bad))
            if choice is None:
                return None
            if "error" in choice:
                kind = ConfigError if choice["kind"] == "config" else CheckpointError
                raise kind(*choice["error"])
            state = self._read(choice["step"], abstract_state)
            name = self._agree(functools.partial(find_non_finite, state))
            if not name:
                break
            bad[choice["step"]] = f"{name} holds NaN or Inf"
        if self._first:
            for step, reason in bad.items():
                self._set_aside(step, reason)
            if bad:
                lost = max(bad) - choice["step"]
                self._log(f"resuming from step {choice['step']}: {lost} steps are lost")
        return state, choice["step"], choice["extra"]

    def _read(self, step: int, abstract_state: Any) -> Any:
        try:
            return self._store.read(self.folder / str(step), abstract_state)
        except ConfigError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"checkpoint {step} in {self.folder} cannot be read: {one_line(error)}",
                "files that this version of orbax-checkpoint can read",
                "install the versions listed in the manifest, or restore the files from a backup",
            ) from error

    def close(self) -> None:
        """Wait for a save in progress; raise CheckpointError if the last three saves failed."""
        self._wait()
        self._store.close()
        self._raise_if_failed(self._failures, MAX_FAILURES)

    def _saving(self, step: int) -> Path:
        return self.folder / f"{step}.saving"

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _finish(self, step: int, extra: dict[str, Any]) -> None:
        try:
            self._store.wait()
            if self._first:
                self._commit(step, extra)
            self._failures = 0
        except Exception as error:
            self._failed(step, error)

    def _commit(self, step: int, extra: dict[str, Any]) -> None:
        final = self.folder / str(step)
        files = hash_files(self._saving(step), sync=True)
        if final.exists():
            self._set_aside(step, "it has no manifest, and a new save replaces it")
        os.rename(self._saving(step), final)
        manifest = {"step": step, "files": files, "identity": self._identity, "extra": extra}
        try:
            write_manifest(self.folder, {**manifest, "versions": versions(), "time": time.time()})
        except BaseException:
            os.rename(final, self._saving(step))
            raise
        self._prune()

    def _failed(self, step: int, error: Exception) -> None:
        self._failures += 1
        if self._first:
            for path in self.folder.glob(f"{step}.saving*"):
                shutil.rmtree(path, ignore_errors=True)
            manifest_path(self.folder, step).with_suffix(".tmp").unlink(missing_ok=True)
        self._error = f"step {step} was not saved: {one_line(error)}"
        self._log(f"warning: {self._error} (failure {self._failures} in a row)")

    def _raise_if_failed(self, failures: int, limit: int) -> None:
        if failures >= limit:
            raise CheckpointError(
                self._error or "another process could not save its part of the state",
                f"space for a checkpoint in {self.folder}",
                "free some space, then re-run the same command to resume",
            )

    def _prune(self) -> None:
        good = read_manifests(self.folder, {})
        best = min(good, key=lambda step: (criterion(good[step]), -step), default=None)
        for step in good.keys() - {*sorted(good)[-self._keep_last :], best}:
            try:
                remove_step(self.folder, step)
            except OSError as error:
                self._log(f"warning: step {step} could not be removed: {error}")

    def _set_aside(self, step: int, reason: str) -> None:
        self._log(
            f"checkpoint {step} is bad: {reason}; set aside as {set_aside(self.folder, step)}"
        )

    def _choose(self, bad: dict[int, str]) -> dict[str, Any] | None:
        """Return the newest good step or an error, as JSON values for the other processes."""
        steps = list_steps(self.folder)
        for step in [step for step in reversed(steps) if step not in bad]:
            try:
                if self._allow_unverified and not manifest_path(self.folder, step).exists():
                    self._log(f"warning: step {step} has no manifest and is used unverified")
                    return {"step": step, "extra": {}}
                manifest = read_manifest(self.folder, step)
                if error := self._identity_error(step, manifest["identity"]):
                    return {"kind": "config", "error": error}
                verify_files(self.folder / str(step), manifest)
                return {"step": step, "extra": manifest["extra"]}
            except BadStep as reason:
                bad[step] = str(reason)
        return {"kind": "checkpoint", "error": none_good(self.folder, bad)} if steps else None

    def _identity_error(self, step: int, saved: dict[str, str | None]) -> list[str] | None:
        given = self._identity
        saved = {k: v for k, v in saved.items() if k in given or k not in self._may_differ}
        names = [k for k in {**saved, **given} if saved.get(k) != given.get(k)]
        if not names:
            return None
        values = ", ".join(
            f"{k} (saved {saved.get(k, '(absent)')}, given {given.get(k, '(absent)')})"
            for k in names
        )
        return [
            f"checkpoint {step} in {self.folder} comes from another run: {values}",
            "the values that the checkpoint was saved with",
            "pass the saved values, or give a new run another name",
        ]

    def _agree(self, work: Callable[[], Any]) -> Any:
        """Run `work` on process 0; return its result on every process."""
        if jax.process_count() == 1:
            return work()
        text = json.dumps(work()).encode() if self._first else b""
        size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
        padded = np.frombuffer(text.ljust(size, b" "), np.uint8)
        return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes())
