"""Storage of pytrees by name with Orbax, which no other module uses.

Leaves are stored under their paths, such as "params/encoder/kernel", as one flat dict.
"""

import contextlib
import functools
import hashlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint._src.metadata.array_metadata_store import Store as ArrayMetadataStore
from orbax.checkpoint._src.metadata.array_metadata_store import Validator
from orbax.checkpoint.options import MultiprocessingOptions
from orbax.checkpoint.type_handlers import create_type_handler_registry

from bert_jax.errors import CheckpointError, ConfigError, one_line
from bert_jax.remote.reading import fetch
from bert_jax.training.checkpoint_hashes import (
    BadStep,
    criterion,
    none_good,
    read_manifests,
    verify_step,
)

_OS_ERROR = re.compile(r"os_error_code='(\d+)'")  # in TensorStore's errors


class ArrayStore:
    """Asynchronous store of pytrees of global arrays; all processes call it together.

    Args:
        shared: all processes of the job see the same folders. False: each one has its own, so that
            process 0 saves replicated arrays alone, and each process reads all of them.
    """

    def __init__(self, shared: bool = True) -> None:
        _silence_failed_saves()
        self._shared = shared or jax.process_count() == 1
        if self._shared:
            self._orbax = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())
        else:
            self._orbax = _make_checkpointer_of_one()
        self._saving = Path()

    def save(self, directory: Path, state: Any) -> None:
        """Copy the state to the host, then write it in the background.

        Raises:
            OSError: the operating system refuses it.
        """
        self._saving = directory
        stored = {k: x for k, x in _flatten(state).items() if x.size}  # Orbax: no empty arrays
        if not self._shared and jax.process_index() > 0:
            return
        with _os_errors(directory):
            self._orbax.save(directory, args=ocp.args.PyTreeSave(stored))

    def wait(self) -> None:
        """Wait until the directory is complete; raise the error of a failed write."""
        with _os_errors(self._saving):
            self._orbax.wait_until_finished()

    def close(self) -> None:
        """Stop the background threads."""
        self._orbax.close()

    def read(self, directory: Path, abstract_state: Any) -> Any:
        """Read arrays with exactly the names, shapes, dtypes and shardings of `abstract_state`.

        Raises:
            ConfigError: the directory holds other names, shapes or dtypes.
        """
        abstract = _flatten(abstract_state)
        stored = {k: x for k, x in abstract.items() if x.size}
        assert all(x.sharding is not None for x in abstract.values()), "shardings are needed"
        saved: Any = self._orbax.metadata(directory).item_metadata
        _require_equal(directory, saved, {k: _physical(x) for k, x in stored.items()})
        item = {k: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
                for k, x in stored.items()}  # fmt: skip
        args = ocp.args.PyTreeRestore(
            item, restore_args=ocp.checkpoint_utils.construct_restore_args(item)
        )
        restored = self._orbax.restore(directory, args=args)
        # Once more, by dtype: keys of other random generators have the same metadata.
        _require_equal(directory, restored, stored)
        for name, x in abstract.items():
            if not x.size:
                restored[name] = jax.numpy.zeros(x.shape, x.dtype)
        leaves = [jax.device_put(restored[name], x.sharding) for name, x in abstract.items()]
        return jax.tree.unflatten(jax.tree.structure(abstract_state), leaves)


class _OneProcess(Validator):
    """No check that every process has written: one writes for all."""

    def validate_all_array_metadatas(self, *args: Any, **options: Any) -> None:
        pass


def _make_checkpointer_of_one() -> ocp.AsyncCheckpointer:
    """Make a checkpointer that waits for no other process, and writes replicated arrays whole."""
    number = jax.process_index()
    alone = MultiprocessingOptions(
        primary_host=number, active_processes={number}, barrier_sync_key_prefix=f"{number}"
    )
    whole = ocp.type_handlers.ArrayHandler(
        primary_host=number, use_replica_parallel=False, array_metadata_store=ArrayMetadataStore()
    )
    handler = ocp.PyTreeCheckpointHandler(
        multiprocessing_options=alone,
        type_handler_registry=create_type_handler_registry((jax.Array, whole)),
        array_metadata_validator=_OneProcess(),
    )
    return ocp.AsyncCheckpointer(handler, multiprocessing_options=alone)


@contextlib.contextmanager
def _os_errors(directory: Path) -> Iterator[None]:
    """Raise TensorStore's errors as the operating system's, where those are their cause."""
    try:
        yield
    except ValueError as error:
        if code := _OS_ERROR.search(str(error)):
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(directory)) from None
        raise


def _silence_failed_saves() -> None:
    """Print nothing while a save fails: its error is raised by `save` or `wait`.

    Orbax logs it several times with hundreds of lines of tracebacks, and asyncio reports each write
    that ends after the first error.
    """
    for logger in logging.getLogger("absl"), logging.getLogger("asyncio"):
        logger.addFilter(_is_no_failed_save)
    if not isinstance(sys.unraisablehook, functools.partial):
        sys.unraisablehook = functools.partial(_unless_loop_is_closed, sys.unraisablehook)


def _is_no_failed_save(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    by_orbax = "orbax" in Path(record.pathname).parts
    return record.levelno < logging.ERROR or not (by_orbax or _OS_ERROR.search(str(error)))


def _unless_loop_is_closed(report: Callable[[Any], Any], unraisable: Any) -> None:
    error = unraisable.exc_value
    if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
        report(unraisable)


def read_params(directory: Path) -> dict[str, Any]:
    """Read only `params`, as a nested dict of NumPy arrays; no abstract state is needed."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as orbax:
        saved = orbax.metadata(directory).item_metadata
        names = [name for name in saved if name.startswith("params/")]
        as_numpy = ocp.args.PyTreeRestore(
            item=dict.fromkeys(names, 0),
            restore_args={name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names},
            partial_restore=True,
        )
        return _nest(orbax.restore(directory, args=as_numpy))["params"]


def find_non_finite(state: Any) -> str:
    """Return the name of an array with NaN or Inf in this process's shards; "" if there is none."""
    for name, x in _flatten(state).items():
        if jax.numpy.issubdtype(x.dtype, np.inexact):
            shards = x.addressable_shards if isinstance(x, jax.Array) else []
            parts = {str(s.index): s.data for s in shards} or {"": x}
            if not all(np.isfinite(np.asarray(part)).all() for part in parts.values()):
                return name
    return ""


def hash_arrays(tree: Any) -> str:
    """Return the SHA-256 of a tree of arrays and plain values."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _flatten(state: Any) -> dict[str, Any]:
    """Return the leaves of a pytree by path, such as "params/encoder/kernel"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    flat = {jax.tree_util.keystr(p, simple=True, separator="/"): x for p, x in leaves}
    assert len(flat) == len(leaves), "two leaves of the state have the same path"
    return flat


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, x in flat.items():
        *folders, last = name.split("/")
        inner = nested
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[last] = x
    return nested


def _physical(x: Any) -> Any:
    """Return the shape of a typed PRNG key's data; other arrays unchanged."""
    typed_key = jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.eval_shape(jax.random.key_data, x) if typed_key else x


def _require_equal(directory: Path, saved: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise ConfigError for differences that Orbax would silently cast, pad or drop."""

    def describe(arrays: Mapping[str, Any], name: str) -> str:
        x = arrays.get(name)
        return "nothing" if x is None else f"{getattr(x.dtype, 'name', x.dtype)}{list(x.shape)}"

    pairs = [(k, describe(saved, k), describe(expected, k)) for k in sorted({**saved, **expected})]
    wrong = [f"{name} (saved {x}, expected {y})" for name, x, y in pairs if x != y]
    if wrong:
        more = f", and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise ConfigError(
            f"checkpoint {directory} does not fit this model: {', '.join(wrong[:8])}{more}",
            "the same names, shapes and dtypes",
            "pass the configuration that the checkpoint was saved with",
        )


def load_params(
    folder: Path, which: str = "newest", log: Callable[[str], None] = print
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Load the parameters of a verified step for inference; nothing on disk is changed.

    Args:
        folder: a run's directory, or its folder of checkpoints.
        which: "newest", or "best" for the lowest `extra["metric"]`.
        log: prints a warning for each bad step in whose place another one is used.

    Returns:
        The state's `params` as a nested dict of NumPy arrays, the step's `extra` and its identity.

    Raises:
        CheckpointError: no step is good.
    """
    folder = Path(folder).absolute()
    if folder.name != "checkpoints":
        fetch(folder)  # in a job of several processes, only the first has the newest steps
    folder = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
    bad: dict[int, str] = {}
    good = read_manifests(folder, bad)
    order = sorted(good, reverse=True)
    if which == "best":
        order.sort(key=lambda step: criterion(good[step]))
    for step in order:
        try:
            verify_step(folder / str(step), good[step])
            params = read_params(folder / str(step))
            if name := find_non_finite(params):
                raise BadStep(f"{name} holds NaN or Inf")
        except Exception as error:  # Orbax's too: a run in progress may have removed the step
            bad[step] = one_line(error)
            continue
        for other, reason in sorted(bad.items()):
            log(f"warning: checkpoint {other} is bad: {reason}; step {step} is used")
        return params, good[step]["extra"], good[step]["identity"]
    raise CheckpointError(*none_good(folder, bad))
