"""Agreement between the processes of a job: one answer for all, and the same options and data."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from bert_jax.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    UserError,
    os_error_as_user_error,
)

_KINDS: dict[str, type[UserError]] = {
    kind.__name__: kind for kind in (UserError, ConfigError, DataError, CheckpointError)
}


def agree(work: Callable[[], Any]) -> Any:
    """Run `work` on process 0; return its JSON result on every process.

    Raises:
        UserError: `work` raised it, or an OSError; every process raises it, so that none waits.
    """
    if jax.process_count() == 1:
        return work()
    answer: dict[str, Any] = {}
    if jax.process_index() == 0:
        try:
            answer = {"result": work()}
        except UserError as error:
            answer = {"kind": type(error).__name__, "error": error.lines}
        except OSError as error:
            user_error = os_error_as_user_error(error)
            answer = {"kind": type(user_error).__name__, "error": user_error.lines}
    answer = json.loads(_broadcast(json.dumps(answer).encode()))
    if "error" in answer:
        raise _KINDS[answer["kind"]](*answer["error"])
    return answer["result"]


def everywhere(holds: bool) -> bool:
    """Return whether something holds in every process; all processes call it together."""
    if jax.process_count() == 1:
        return holds
    return bool(np.all(multihost_utils.process_allgather(np.int32(holds))))


def share_array(work: Callable[[], np.ndarray], like: np.ndarray) -> np.ndarray:
    """Run `work` on process 0; return its array, the same bits on every process.

    The work may take minutes if the processes have agreed on anything before: only the first
    collective of a job waits no longer than it takes to connect.

    Args:
        work: returns an array of the shape and dtype of `like`.
        like: any such array.

    Raises:
        UserError: as `agree`.
    """
    array = like

    def run() -> None:
        nonlocal array
        array = work()

    agree(run)
    if jax.process_count() == 1:
        return array
    return np.asarray(multihost_utils.broadcast_one_to_all(array))


def require_agreement(values: Mapping[str, str | None]) -> None:
    """Compare values by name between all processes; all processes call it together.

    Raises:
        ConfigError: they differ; every process raises it, with the names and both values.
    """
    if jax.process_count() == 1:
        return
    text = json.dumps(dict(values), sort_keys=True).encode()
    digest = np.frombuffer(hashlib.sha256(text).digest(), np.uint8)
    digests = np.asarray(multihost_utils.process_allgather(digest))
    if (digests == digests[0]).all():
        return
    other = int(np.flatnonzero((digests != digests[0]).any(axis=1))[0])
    sizes = np.asarray(multihost_utils.process_allgather(np.int32(len(text))))
    padded = np.frombuffer(text.ljust(int(sizes.max()), b" "), np.uint8)
    texts = np.asarray(multihost_utils.process_allgather(padded))
    first, second = (json.loads(texts[process].tobytes()) for process in (0, other))
    differences = ", ".join(
        f"{name} (process 0: {first.get(name)}, process {other}: {second.get(name)})"
        for name in {**first, **second}
        if first.get(name) != second.get(name)
    )
    raise ConfigError(
        f"the processes of this job disagree: {differences}",
        "the same options, data and versions on every process",
        "start every process with the same command, on copies of the same files",
    )


def _broadcast(text: bytes) -> bytes:
    """Return process 0's text on every process."""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    padded = np.frombuffer(text[:size].ljust(size, b" "), np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes()
