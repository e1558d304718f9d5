"""Verified checkpoints: Orbax, with a SHA-256 manifest for each step.

A step is absent, complete, or detected as bad. Orbax writes and reads the arrays, but does not
notice a flipped bit. A step is therefore written to `<step>.saving/`, hashed and renamed to
`<step>/`; its manifest, `<step>.manifest.json`, is written last.
"""

import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from bert_jax.errors import (
    CheckpointError,
    ConfigError,
    UserError,
    one_line,
    os_error_as_user_error,
)
from bert_jax.remote.addresses import find_address
from bert_jax.remote.reading import fetch_step
from bert_jax.remote.writing import publish
from bert_jax.training.checkpoint_arrays import ArrayStore, find_non_finite
from bert_jax.training.checkpoint_hashes import (
    BadStep,
    UnreadableStep,
    hash_files,
    list_steps,
    manifest_path,
    none_good,
    prune_steps,
    read_manifest,
    remove_leftovers,
    remove_unfinished,
    set_aside,
    verify_step,
    write_manifest,
)
from bert_jax.training.identity import ResumeRules, require_same_run
from bert_jax.training.processes import agree
from bert_jax.training.rundir import HeldFolder, versions

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
        keep_every: keep the steps that are multiples of it too.
        rules: how the identity of an older checkpoint may differ.
        allow_unverified: use a step whose manifest is missing.
        log: prints one message to the user.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, str | None],
        keep_last: int,
        *,
        keep_every: int | None = None,
        rules: ResumeRules = ResumeRules(),  # noqa: B008  # immutable
        allow_unverified: bool = False,
        log: Callable[[str], None] = print,
    ):
        self.folder = Path(folder).absolute()
        self._identity, self._kept = dict(identity), (keep_last, keep_every)
        self._rules, self._allow_unverified, self._log = rules, allow_unverified, log
        self._first = jax.process_index() == 0
        self._store = ArrayStore(shared=find_address(self.folder) is None)
        self._thread: threading.Thread | None = None
        self._failures, self._error = 0, ""
        self._remedy = "a folder that can be written", "see the reason"
        self._held: HeldFolder | None = None
        self._unreadable: set[int] = set()  # steps that stay, but count as absent
        agree(self._open_folder)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Wait for a save in progress; its failure does not mask an exception from the body."""
        if kind is None:
            self.close()
        else:
            self._close()

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
            CheckpointError: three saves in a row failed, or one with `block`; or the folder was
                removed or renamed.
        """
        self._wait()
        saved, failures = agree(lambda: [self._is_saved(step), self._failures])
        self._raise_if_failed(failures, MAX_FAILURES)
        if saved:
            return
        started = True
        try:
            self._store.save(self._saving(step), state)
        except Exception as error:  # a full disk shows as OSError, ValueError, or worse
            self._failed(step, error)
            started = False
        if started:
            self._thread = threading.Thread(target=self._finish, args=(step, extra))
            self._thread.start()
        if block:
            self._wait()
            self._raise_if_failed(agree(lambda: self._failures), 1)

    def restore(self, abstract_state: Any) -> tuple[Any, int, dict[str, Any]] | None:
        """Restore the newest good step, with the shapes, dtypes and shardings of `abstract_state`.

        Newer steps that are bad are set aside, with a message for each; those that only cannot be
        read stay until a new save of the same step replaces them.

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
        while choice := agree(lambda: self._choose(bad)):
            state = self._read(choice["step"], abstract_state)
            name = agree(functools.partial(find_non_finite, state))
            if not name:
                break
            bad[choice["step"]] = f"{name} holds NaN or Inf"
        if choice is None:
            return None
        agree(lambda: self._report_bad(bad, choice["step"]))
        return state, choice["step"], choice["extra"]

    def _report_bad(self, bad: dict[int, str], used: int) -> None:
        """Log why newer steps are not used; set those aside that are damaged."""
        for step, reason in bad.items():
            if step in self._unreadable:
                self._log(f"warning: checkpoint {step} stays where it is, unused: {reason}")
            else:
                self._set_aside(step, reason)
        if bad:
            self._log(f"resuming from step {used}: {max(bad) - used} steps are lost")
        if self._unreadable:
            self._log("to use them, stop this run, make the files readable, and resume")

    def _read(self, step: int, abstract_state: Any) -> Any:
        directory = fetch_step(self.folder / str(step))
        try:
            return self._store.read(directory, abstract_state)
        except ConfigError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"checkpoint {step} in {self.folder} cannot be read: {one_line(error)}",
                "files that this version of orbax-checkpoint can read",
                "install the versions listed in the manifest, or restore the files from a backup",
            ) from error

    def _close(self) -> None:
        self._wait()
        self._store.close()
        if self._held:
            self._held.close()
            self._held = None

    def _open_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._held = HeldFolder(self.folder)
        remove_leftovers(self.folder)

    def _is_saved(self, step: int) -> bool:
        """Return whether a step is on disk; raise CheckpointError if the folder is gone."""
        if self._held and not self._held.is_in_place():
            raise CheckpointError(
                f"{self.folder} was removed or renamed while the run trained; step {step} is lost",
                "the folder that the run began with",
                "if it was renamed, rename it back; then re-run the same command",
            )
        return step not in self._unreadable and manifest_path(self.folder, step).exists()

    def close(self) -> None:
        """Wait for a save in progress; raise CheckpointError if the last three saves failed."""
        self._close()
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
            unused = "cannot be read" if step in self._unreadable else "has no manifest"
            self._set_aside(step, f"it {unused}, and a new save replaces it")
        os.rename(self._saving(step), final)
        manifest = {"step": step, "files": files, "identity": self._identity, "extra": extra}
        try:
            write_manifest(self.folder, {**manifest, "versions": versions(), "time": time.time()})
        except BaseException:
            os.rename(final, self._saving(step))
            raise
        self._unreadable.discard(step)
        prune_steps(self.folder, *self._kept, self._unreadable, self._log)
        publish(self.folder.parent)  # the whole run, whose log is as new as its checkpoint

    def _failed(self, step: int, error: Exception) -> None:
        # A run in an object store that another machine has taken over ends at once.
        self._failures += MAX_FAILURES if isinstance(error, ConfigError) else 1
        if self._first:
            remove_unfinished(self.folder, step)
        self._error = f"step {step} was not saved: {one_line(error)}"
        if isinstance(error, UserError):
            self._error = f"step {step} was not saved: {error.lines[0]}"
            self._remedy = error.lines[1:]
        elif isinstance(error, OSError):
            _, expected, fix = os_error_as_user_error(error).lines
            self._remedy = expected, fix.split(", or ")[0]  # not "another folder": it is this run
        self._log(
            f"warning: {self._error} (failure {self._failures} in a row); training continues until"
            f" failure {MAX_FAILURES}: {self._remedy[1]}"
        )

    def _raise_if_failed(self, failures: int, limit: int) -> None:
        if failures >= limit:
            expected, fix = self._remedy
            raise CheckpointError(
                self._error or "another process could not save its part of the state",
                f"{expected}, for a checkpoint in {self.folder}",
                f"{fix}; then re-run the same command to resume",
            )

    def _set_aside(self, step: int, reason: str) -> None:
        self._log(
            f"checkpoint {step} is bad: {reason}; set aside as {set_aside(self.folder, step)}"
        )

    def _choose(self, bad: dict[int, str]) -> dict[str, Any] | None:
        """Return the newest good step and its `extra`, and why newer ones are not used."""
        steps = list_steps(self.folder)
        for step in [step for step in reversed(steps) if step not in bad]:
            try:
                if self._allow_unverified and not manifest_path(self.folder, step).exists():
                    self._log(f"warning: step {step} has no manifest and is used unverified")
                    return {"step": step, "extra": {}}
                manifest = read_manifest(self.folder, step)
                source = f"checkpoint {step} in {self.folder}"
                require_same_run(source, manifest["identity"], self._identity, self._rules)
                verify_step(self.folder / str(step), manifest)
                return {"step": step, "extra": manifest["extra"]}
            except BadStep as reason:
                bad[step] = str(reason)
                if isinstance(reason, UnreadableStep):
                    self._unreadable.add(step)
        if steps:
            raise CheckpointError(*none_good(self.folder, bad))
        return None
