"""Manifests of checkpoint hashes: the size and SHA-256 of every file of a step.

`<step>.manifest.json` is written next to `<step>/`, last, and holds a checksum of itself too.
"""

import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from bert_jax.errors import one_line, os_error_reason
from bert_jax.remote.reading import fetch_again, fetch_step


class BadStep(Exception):
    """A step that is damaged or incomplete; the message is the reason."""


class UnreadableStep(BadStep):
    """A step whose files the operating system refuses to read; the files may be good."""


def manifest_path(folder: Path, step: int) -> Path:
    """Return the path of a step's manifest."""
    return folder / f"{step}.manifest.json"


def list_steps(folder: Path) -> list[int]:
    """Return the steps that have a directory or a manifest, ascending."""
    # `glob` would take a folder that cannot be read for an empty one: a new run.
    entries = os.listdir(folder) if folder.is_dir() else []
    names = (name.removesuffix(".manifest.json") for name in entries)
    return sorted({int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name)})


def remove_leftovers(folder: Path) -> None:
    """Remove the files of saves and removals that were cut short when the process died."""
    for path in folder.glob("*.deleting"):
        path.with_suffix(".manifest.json").unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("*.saving*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("*.manifest.tmp"):
        path.unlink(missing_ok=True)


def remove_unfinished(folder: Path, step: int) -> None:
    """Remove the files of a failed save, whose last writes may still be under way."""
    deadline = time.monotonic() + 5
    while (paths := [*folder.glob(f"{step}.saving*")]) and time.monotonic() < deadline:
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
        time.sleep(0.05)
    manifest_path(folder, step).with_suffix(".tmp").unlink(missing_ok=True)


def remove_step(folder: Path, step: int) -> None:
    """Remove a step, so that a half-removed step is never taken for a complete one."""
    doomed = folder / f"{step}.deleting"
    if (folder / str(step)).exists():
        os.rename(folder / str(step), doomed)
    manifest_path(folder, step).unlink(missing_ok=True)
    shutil.rmtree(doomed, ignore_errors=True)


def prune_steps(
    folder: Path,
    keep_last: int,
    keep_every: int | None,
    ignored: Collection[int],
    log: Callable[[str], None],
) -> None:
    """Remove all steps but the newest `keep_last`, the best, and multiples of `keep_every`.

    Those in `ignored` stay.
    """
    steps = read_manifests(folder, {})
    good = {step: manifest for step, manifest in steps.items() if step not in ignored}
    kept = {step for step in good if keep_every and step % keep_every == 0}
    for step in good.keys() - kept - {*sorted(good)[-keep_last:], best_step(good)}:
        try:
            remove_step(folder, step)
        except OSError as error:
            log(f"warning: step {step} could not be removed: {one_line(error)}")


def set_aside(folder: Path, step: int) -> str:
    """Rename a step and its manifest to `<step>.bad-<utc>`; return that name."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside, count = f"{step}.bad-{now}", 1
    while (folder / aside).exists():
        aside, count = f"{step}.bad-{now}-{count}", count + 1
    for path, name in (
        (folder / str(step), aside),
        (manifest_path(folder, step), f"{aside}.manifest.json"),
    ):
        if path.exists():
            os.rename(path, folder / name)
    return aside


def hash_files(directory: Path, sync: bool = False) -> dict[str, dict[str, Any]]:
    """Return the size and SHA-256 of every file in a directory; with `sync`, fsync each first."""

    def describe(path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            if sync:
                os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
        return {"size": path.stat().st_size, "sha256": digest.hexdigest()}

    def refuse(error: OSError) -> None:
        raise error  # a folder that cannot be read is not an empty one

    walk = os.walk(directory, onerror=refuse)
    paths = sorted(Path(parent, name) for parent, _, names in walk for name in names)
    paths = [path for path in paths if path.is_file()]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        hashes = list(pool.map(describe, paths))
    for path in {path.parent for path in paths if sync}:
        _sync(path)
    return {str(p.relative_to(directory)): about for p, about in zip(paths, hashes, strict=True)}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of `manifest["step"]` atomically: temporary file, fsync, rename."""
    path = manifest_path(folder, manifest["step"])
    partial = path.with_suffix(".tmp")
    with partial.open("w", encoding="utf-8") as file:
        json.dump({**manifest, "checksum": _checksum(manifest)}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    _sync(folder)


def read_manifest(folder: Path, step: int) -> dict[str, Any]:
    """Read and check a manifest.

    Raises:
        UnreadableStep: the operating system refuses to read it.
        BadStep: it is missing, damaged or another step's.
    """
    path = manifest_path(folder, step)
    try:
        if not path.is_file():  # a pipe would never end
            raise BadStep(f"{path.name} is missing")
        manifest = json.loads(path.read_text(encoding="utf-8"))
        checksum = manifest.pop("checksum")
    except OSError as error:
        raise UnreadableStep(f"{path.name} cannot be read: {os_error_reason(error)}") from None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise BadStep(f"{path.name} is damaged: {one_line(error)}") from None
    if checksum != _checksum(manifest):
        raise BadStep(f"{path.name} was changed: it does not match its own checksum")
    if manifest.get("step") != step:
        raise BadStep(f"{path.name} belongs to step {manifest.get('step')}")
    for key in ("files", "identity", "extra"):
        if not isinstance(manifest.get(key), dict):
            raise BadStep(f"{path.name} has no {key}")
    return manifest


def read_manifests(folder: Path, bad: dict[int, str]) -> dict[int, dict[str, Any]]:
    """Read every step's manifest; the reasons why others are bad are added to `bad`."""
    good = {}
    for step in list_steps(folder):
        try:
            good[step] = read_manifest(folder, step)
        except BadStep as reason:
            bad[step] = str(reason)
    return good


def verify_files(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Compare every file with the manifest, cheap checks first.

    Raises:
        UnreadableStep: the operating system refuses to read a file.
        BadStep: a file is missing or was changed; the message names it.
    """
    try:
        for name, about in manifest["files"].items():
            path = directory / name
            if not path.is_file():
                raise BadStep(f"file {name} is missing")
            if path.stat().st_size != about["size"]:
                raise BadStep(f"file {name} has {path.stat().st_size} bytes, not {about['size']}")
        hashes = hash_files(directory)
    except OSError as error:
        name = os.path.relpath(error.filename, directory) if error.filename else "a file"
        reason = os_error_reason(error)
        raise UnreadableStep(f"file {name} cannot be read: {reason}") from None
    for name, about in manifest["files"].items():
        if hashes.get(name) != about:
            raise BadStep(f"file {name} was changed: its SHA-256 is not the one in the manifest")


def verify_step(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Verify a step; of one in an object store, a copy that may be damaged is fetched once more.

    Raises:
        BadStep: as `verify_files`.
        DataError: the store cannot be read.
    """
    fetch_step(directory)
    try:
        verify_files(directory, manifest)
    except BadStep:
        if not fetch_again(directory):
            raise
        verify_files(directory, manifest)


def _checksum(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def criterion(manifest: Mapping[str, Any]) -> tuple[float, ...]:
    """Return `extra["metric"]`, a number or several, as a tuple: the lowest is the best step's.

    It is infinite if there is none, or if it holds NaN.
    """
    metric = manifest["extra"].get("metric")
    numbers = tuple(metric) if isinstance(metric, list) else (metric,)
    valid = all(isinstance(x, int | float) and x == x for x in numbers)
    return numbers if valid else (float("inf"),)


def best_step(manifests: Mapping[int, Mapping[str, Any]]) -> int | None:
    """Return the step with the lowest criterion, the newest of equal ones; None without steps."""
    order = sorted(manifests, reverse=True)
    return min(order, key=lambda step: criterion(manifests[step]), default=None)


def none_good(folder: Path, bad: Mapping[int, str]) -> tuple[str, str, str]:
    """Return the three lines of the error for a folder without a good step."""
    reasons = "".join(f"\n    step {step}: {reason}" for step, reason in sorted(bad.items()))
    readable = "make the files readable, " if "cannot be read" in reasons else ""
    return (
        f"no usable checkpoint in {folder}{reasons}",
        "a step whose files match its manifest",
        f"{readable}restore the files from a backup, or start a new run under another name"
        + (" (or pass --allow-unverified)" if "missing" in reasons else ""),
    )
