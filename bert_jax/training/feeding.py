"""Feeding of the devices: batches arrive before they are needed, and results are read late."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np

from bert_jax.training.parallel import DataParallel

AHEAD = 2  # batches on the devices beside the one that is computed
MAX_IN_FLIGHT = 2  # more can deadlock collectives on CPU, and gains nothing

T = TypeVar("T")


def feed(
    batches: Iterable[dict[str, np.ndarray]], parallel: DataParallel
) -> Iterator[dict[str, jax.Array]]:
    """Yield batches on the devices, each of them put there AHEAD batches early.

    Transfers are asynchronous, so it needs no thread: what the caller has dispatched keeps the
    devices busy while the next batch is read. An error of `batches` is raised in its place.
    """
    return look_ahead(map(parallel.put_batch, batches), AHEAD)


def compute_ahead(
    compute: Callable[[dict[str, jax.Array]], Any],
    batches: Iterable[dict[str, np.ndarray]],
    parallel: DataParallel,
) -> Iterator[Any]:
    """Yield `compute(batch)` of each batch, on the host, while later ones are read and computed.

    Args:
        compute: calls a program of `parallel.shard`.
        batches: host batches.
        parallel: devices.
    """
    results = map(compute, feed(batches, parallel))
    return map(parallel.get, look_ahead(results, MAX_IN_FLIGHT))


def look_ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """Yield all items, each after `count` more have been taken.

    An exception of `items` is raised after the items before it, as without looking ahead.
    """
    waiting: deque[T] = deque()
    failure: Exception | None = None
    try:
        for item in items:
            waiting.append(item)
            if len(waiting) > count:
                yield waiting.popleft()
    except Exception as error:
        failure = error
    yield from waiting
    if failure is not None:
        raise failure
